"""Train NeuMF (He et al., WWW 2017) as RecBole does by default, in numpy, to tell what its recipe reaches by its protocol.

    python scripts/bench-models/neumf.py --input u.data --seeds 1 2 3

Ratings of each user are divided 8:1:1 at random and all count as positive; all items but those of the first two parts are ranked for the third. The recipe, from
recbole/model/general_recommender/neumf.py and the yaml files beside it: vectors of 64 from a normal distribution of 0.01, layers of 128 and 64 with the start of torch.nn.Linear, a dropout of 0.1 before
each, binary cross-entropy over one uniform negative for each positive, 1,024 of either in a batch, Adam over whole tables with a rate of 0.001; it stops when MRR@10 of the second part has not been better for
10 passes. Needs numpy and scipy.
"""

import argparse

import numpy as np
from scipy.sparse import csr_matrix

FACTORS, LAYERS, DROPOUT, BATCH, RATE, PATIENCE, MOST = 64, (128, 64), 0.1, 1024, 0.001, 10, 300


def divide(path, rng):
    """Return three matrices users x items of bool: what is for training, validation and test."""
    users, items = np.loadtxt(path, dtype=np.int64, usecols=(0, 1)).T
    users, items = np.unique(users, return_inverse=True)[1], np.unique(items, return_inverse=True)[1]
    parts = np.zeros((3, users.max() + 1, items.max() + 1), bool)
    for user in range(parts.shape[1]):
        own = rng.permutation(items[users == user])
        tenth = max(1, len(own) // 10)
        for part, ids in zip(parts, np.split(own, [len(own) - 2 * tenth, len(own) - tenth])):
            part[user, ids] = True
    return parts


class Net:
    def __init__(self, users, items, rng):
        self.rng, self.steps = rng, 0
        tables = {"user": users, "item": items, "user-deep": users, "item-deep": items}
        self.values = {name: rng.normal(0, 0.01, (rows, FACTORS)) for name, rows in tables.items()}
        width = 2 * FACTORS
        for k, units in enumerate(LAYERS):
            self.dense(f"{k}", width, units)
            width = units
        self.dense("out", FACTORS + width, 1)
        self.values = {name: x.astype(np.float32) for name, x in self.values.items()}
        self.moments = {name: (np.zeros_like(x), np.zeros_like(x)) for name, x in self.values.items()}

    def dense(self, name, width, units):
        bound = width**-0.5
        self.values["w" + name] = self.rng.uniform(-bound, bound, (width, units))
        self.values["b" + name] = self.rng.uniform(-bound, bound, units)

    def learn(self, user, item, liked):
        v = self.values
        h = np.concatenate([v["user-deep"][user], v["item-deep"][item]], 1)
        before, masks, after = [], [], []
        for k in range(len(LAYERS)):
            masks.append((self.rng.random(h.shape, np.float32) >= DROPOUT).astype(np.float32) / np.float32(1 - DROPOUT))
            before.append(h * masks[-1])
            h = np.maximum(before[-1] @ v[f"w{k}"] + v[f"b{k}"], 0)
            after.append(h)
        last = np.concatenate([v["user"][user] * v["item"][item], h], 1)
        logits = (last @ v["wout"] + v["bout"])[:, 0]
        d = ((1 / (1 + np.exp(-logits)) - liked) / len(liked)).astype(np.float32)[:, None]
        grads = {"wout": last.T @ d, "bout": d.sum(0)}
        d = d @ v["wout"].T
        product, d = d[:, :FACTORS], d[:, FACTORS:]
        for k in reversed(range(len(LAYERS))):
            d = d * (after[k] > 0)
            grads[f"w{k}"], grads[f"b{k}"] = before[k].T @ d, d.sum(0)
            d = d @ v[f"w{k}"].T * masks[k]
        for name, ids, x in (
            ("user", user, product * v["item"][item]),
            ("item", item, product * v["user"][user]),
            ("user-deep", user, d[:, :FACTORS]),
            ("item-deep", item, d[:, FACTORS:]),
        ):
            ones = np.ones(len(ids), np.float32)
            grads[name] = csr_matrix((ones, (ids, np.arange(len(ids)))), shape=(len(v[name]), len(ids))) @ x
        self.adam(grads)

    def adam(self, grads):
        self.steps += 1
        rate = np.float32(RATE * (1 - 0.999**self.steps) ** 0.5 / (1 - 0.9**self.steps))
        for name, g in grads.items():
            first, second = self.moments[name]
            first += np.float32(0.1) * (g - first)
            second += np.float32(0.001) * (g * g - second)
            self.values[name] -= rate * first / (np.sqrt(second) + np.float32(1e-8))

    def scores(self):
        """Return the logits of all users and items."""
        v = self.values
        left, right = v["user-deep"] @ v["w0"][:FACTORS], v["item-deep"] @ v["w0"][FACTORS:] + v["b0"]
        out = (v["user"] * v["wout"][:FACTORS, 0]) @ v["item"].T
        for user in range(len(left)):
            h = np.maximum(left[user] + right, 0)
            for k in range(1, len(LAYERS)):
                h = np.maximum(h @ v[f"w{k}"] + v[f"b{k}"], 0)
            out[user] += h @ v["wout"][FACTORS:, 0]
        return out


def measure(scores, hidden, relevant):
    """Return NDCG@10 and MRR@10, means over the users with something relevant."""
    top = np.argsort(np.where(hidden, np.inf, -scores), 1, kind="stable")[:, :10]
    hits, number = np.take_along_axis(relevant, top, 1), relevant.sum(1)
    gains = 1 / np.log2(np.arange(2, 12))
    some = number > 0
    ndcg = (hits @ gains)[some] / np.cumsum(gains)[np.minimum(number[some], 10) - 1]
    mrr = np.where(hits.any(1), 1 / (1 + hits.argmax(1)), 0)[some]
    return ndcg.mean(), mrr.mean()


def run(path, seed):
    rng = np.random.default_rng(seed)
    train, valid, test = divide(path, rng)
    net = Net(*train.shape, rng)
    users, items = np.nonzero(train)
    best = (0.0, 0, 0.0, 0.0)
    for number in range(1, MOST + 1):
        order = rng.permutation(len(users))
        for ids in np.split(order, range(BATCH, len(order), BATCH)):
            user, drawn = users[ids], rng.integers(train.shape[1], size=len(ids))
            while (bad := train[user, drawn]).any():
                drawn[bad] = rng.integers(train.shape[1], size=bad.sum())
            net.learn(np.tile(user, 2), np.concatenate([items[ids], drawn]), np.repeat([1, 0], len(ids)))
        scores = net.scores()
        ndcg, mrr = measure(scores, train, valid)
        if mrr > best[0]:
            best = (mrr, number, ndcg, measure(scores, train | valid, test)[0])
        if number - best[1] >= PATIENCE:
            break
    print(f"seed {seed}: best after {best[1]} passes, NDCG@10 {best[2]:.4f} in validation and {best[3]:.4f} in test", flush=True)
    return best[3]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", required=True, help="u.data of MovieLens 100K")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    print(f"mean NDCG@10 in test {np.mean([run(args.input, seed) for seed in args.seeds]):.4f}")


if __name__ == "__main__":
    main()
