#!/usr/bin/env python3
"""Compare models of kith with independent implementations, trained on the same matrix: the weights, how good the answers are, and the time to fit.

    python scripts/bench-models/compare.py --input u.data [--models ease,slim,rp3beta,warp]

--input is a file of user, item and rating, separated by tabs, such as u.data of MovieLens 100K. A random fifth of what each user has is held back, whatever its rating. Both
programs learn from the rest, and are measured by NDCG@10 over all items that a user does not have in it, by the same code.

ease     against the closed form in numpy
slim     against ElasticNet of scikit-learn, which takes --tolerance; its weights differ as far as either stops early
rp3beta  against the formula in numpy; rows are cut to k by both, and of equal weights at the cut either may be kept
warp     against LightFM: another model of users, so that only NDCG can be compared

With --genres, the file u.item of MovieLens, both models of factors also learn from the genres of films, and a tenth of all films, drawn at random, is taken from what is learned:
they are new. The figure for them is AUC: how often one of them that a user has held back comes before one that the user does not have, by the order of all films.

Peers that are not installed are skipped; to have all of them:

    pip install numpy scipy scikit-learn lightfm-next
"""

import argparse
import importlib.util
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = ["ease", "slim", "rp3beta", "warp"]


def split(path, seed):
    """Returns train and test, boolean users × items, and the keys of the items, which are in order of popularity in train."""
    data = np.loadtxt(path, usecols=(0, 1), dtype=np.int64)
    _, users = np.unique(data[:, 0], return_inverse=True)
    _, items = np.unique(data[:, 1], return_inverse=True)
    rng = np.random.default_rng(seed)
    train = np.zeros((users.max() + 1, items.max() + 1), bool)
    test = train.copy()
    for u in range(train.shape[0]):
        mine = rng.permutation(items[users == u])
        cut = round(0.8 * len(mine))
        train[u, mine[:cut]] = True
        test[u, mine[cut:]] = True
    order = np.argsort(-train.sum(0), kind="stable")
    return train[:, order], test[:, order], np.unique(data[:, 1])[order]


def ndcg(answers, test, n=10):
    discount = 1 / np.log2(np.arange(n) + 2)
    got = []
    for answer, relevant in zip(answers, test):
        if relevant.any():
            hits = np.array([relevant[i] for i in answer[:n]], float)
            got.append((hits * discount[: len(hits)]).sum() / discount[: min(n, relevant.sum())].sum())
    return np.mean(got)


def best(scores, train, n=10):
    return np.argsort(-np.where(train, -np.inf, scores), axis=1, kind="stable")[:, :n]


def matrix(path, items):
    """Reads the file of a linear model, in the form that model/linear/file.go says."""
    b = path.read_bytes()
    assert b[:8] == b"kithlinr" and struct.unpack_from("<I", b, 8)[0] == 1
    n, _, entries = struct.unpack_from("<QQQ", b, 16)
    assert n == items
    at = 40 + 4 * n
    starts = np.frombuffer(b, "<u8", n + 1, at).astype(np.int64)
    rows = np.frombuffer(b, np.dtype([("item", "<u4"), ("weight", "<f4")]), entries, at + 8 * (n + 1))
    w = np.zeros((n, n))
    w[np.repeat(np.arange(n), np.diff(starts)), rows["item"]] = rows["weight"]
    return w


def kith(binary, folder, model, items, threads, *more):
    files = ["--file", str(folder / "model"), "--answers", str(folder / "answers"), *more]
    out = subprocess.run([binary, "--input", str(folder / "train"), "--items", str(items), "--model", model, "--workers", "3", "--threads", str(threads), *files],
                         check=True, stdout=subprocess.PIPE, text=True).stdout
    answers = [[int(x) for x in line.split()] for line in (folder / "answers").read_text().splitlines()]
    return json.loads(out)["fit"], answers


def ease(x, o):
    g = x.T @ x
    p = np.linalg.inv(g + o.regularization * np.eye(len(g)))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    return b


def slim(x, o):
    from scipy.sparse import csc_matrix
    from sklearn.linear_model import ElasticNet
    users, items = x.shape
    net = ElasticNet(alpha=(o.l1 + o.l2) / users, l1_ratio=o.l1 / (o.l1 + o.l2), positive=True, fit_intercept=False, tol=o.tolerance, max_iter=10_000)
    w = np.zeros((items, items))
    others = csc_matrix(x)
    for j in range(items):
        own = others.data[others.indptr[j]:others.indptr[j + 1]]  # of the item itself, which may not have a weight
        own[:] = 0
        w[:, j] = net.fit(others, x[:, j]).coef_
        own[:] = 1
    return w


def rp3beta(x, o):
    users, items = np.maximum(1, x.sum(1)), np.maximum(1, x.sum(0))
    w = (x / items).T ** o.alpha @ (x / users[:, None]) ** o.alpha * items ** -o.beta
    np.fill_diagonal(w, 0)
    cut = np.sort(w, axis=1)[:, -o.k, None]
    w[w < cut] = 0
    return w / 2.0 ** (np.floor(np.log2(w.max())) + 1)


def lightfm(train, o, features=None):
    from lightfm import LightFM
    from scipy.sparse import coo_matrix, hstack, identity
    if features is not None:
        features = hstack([identity(len(features)), features]).astype(np.float32).tocsr()
    m = LightFM(no_components=o.factors, loss="warp", learning_rate=0.05, max_sampled=20, random_state=1)
    m.fit(coo_matrix(train.astype(np.float32)), epochs=o.iterations, num_threads=o.threads, item_features=features)
    user_bias, users = m.get_user_representations()
    item_bias, items = m.get_item_representations(features)
    return users @ items.T + item_bias + user_bias[:, None]


def genres(path, order):
    """Returns items × genres as the order of items has it."""
    lines = pathlib.Path(path).read_text(encoding="latin-1").splitlines()
    of = {int(f[0]): [int(x) for x in f[-19:]] for f in (line.split("|") for line in lines)}
    return np.array([of[i] for i in order], float)


def auc(places, test, new):
    """places has the place of each item in the order for each user; new the numbers of the new items."""
    got = []
    for place, relevant in zip(places, test):
        mine, others = place[new[relevant[new]]], place[new[~relevant[new]]]
        if len(mine) and len(others):
            got.append((mine[:, None] < others).mean())
    return np.mean(got)


def cold(o, train, test, order, folder, binary):
    # Ids in the order of popularity would tell how popular a new item is going to be.
    shuffle = np.random.default_rng(o.seed).permutation(train.shape[1])
    train, test, order = train[:, shuffle], test[:, shuffle], order[shuffle]
    features = genres(o.genres, order)
    new = np.arange(train.shape[1] // 10)
    test = train | test  # of new items, all that users have
    train = train.copy()
    train[:, new] = False
    write(folder / "train", train)
    write(folder / "features", features > 0)
    model = f"warp(factors={o.factors},iterations={o.iterations})"
    for what, of in [("identities alone", None), ("genres", features)]:
        more = [] if of is None else ["--features", str(folder / "features"), "--num-features", str(features.shape[1])]
        _, answers = kith(binary, folder, model, train.shape[1], o.threads, "--n", str(train.shape[1]), *more)
        mine = np.full(train.shape, train.shape[1])
        for u, answer in enumerate(answers):
            mine[u, answer] = np.arange(len(answer))
        peer = np.argsort(np.argsort(-lightfm(train, o, of), axis=1, kind="stable"), axis=1)
        print(f"{len(new)} new items, {model}, {what}: AUC {auc(mine, test, new):.4f}, peer {auc(peer, test, new):.4f}", flush=True)


def write(path, rows):
    path.write_text("".join(" ".join(map(str, np.flatnonzero(row))) + "\n" for row in rows))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--input", required=True)
    p.add_argument("--models", default=",".join(NAMES))
    p.add_argument("--genres")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--regularization", type=float, default=400, help="of ease")
    p.add_argument("--l1", type=float, default=1)
    p.add_argument("--l2", type=float, default=100)
    p.add_argument("--tolerance", type=float, default=1e-6)
    p.add_argument("--alpha", type=float, default=0.8)
    p.add_argument("--beta", type=float, default=0.5)
    p.add_argument("--k", type=int, default=100)
    p.add_argument("--factors", type=int, default=32)
    p.add_argument("--iterations", type=int, default=30)
    o = p.parse_args()
    needs = {"slim": "sklearn", "warp": "lightfm"}
    settings = {
        "ease": f"regularization={o.regularization}",
        "slim": f"l1={o.l1},l2={o.l2},tolerance={o.tolerance},iterations=10000",
        "rp3beta": f"alpha={o.alpha},beta={o.beta},k={o.k}",
        "warp": f"factors={o.factors},iterations={o.iterations}",
    }
    train, test, keys = split(o.input, o.seed)
    x = train.astype(float)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        binary = folder / "trainer"
        subprocess.run(["go", "build", "-o", binary, "./scripts/trainer"], cwd=ROOT, check=True)
        write(folder / "train", train)
        print(f"{train.shape[0]} users, {train.shape[1]} items, {train.sum()} entries to learn from, {test.sum()} held back")
        for name in o.models.split(","):
            if name not in NAMES:
                sys.exit(f"unknown model {name!r}, want one of {NAMES}")
            if name in needs and importlib.util.find_spec(needs[name]) is None:
                print(f"{name}: {needs[name]} is not installed")
                continue
            model = f"{name}({settings[name]})"
            took, answers = kith(binary, folder, model, train.shape[1], o.threads)
            began = time.perf_counter()
            if name == "warp":
                scores = lightfm(train, o)
            else:
                w = globals()[name](x, o)
            peer = time.perf_counter() - began
            agree = ""
            if name != "warp":
                scores = x @ w
                mine = matrix(folder / "model", len(w))
                # What only one of them has kept at the cut of a row is no difference of weights.
                both = (mine != 0) & (w != 0) if name == "rp3beta" else np.ones_like(w, bool)
                agree = f"; largest weight {np.abs(w).max():.3f}, largest difference {np.abs(mine - w)[both].max():.1e}, kept by one only {((mine != 0) != (w != 0)).sum()}"
            print(f"{model}: NDCG@10 {ndcg(answers, test):.4f}, peer {ndcg(best(scores, train), test):.4f}; fit {took:.2f} s, peer {peer:.2f} s{agree}", flush=True)
        if o.genres:
            cold(o, train, test, keys, folder, binary)


if __name__ == "__main__":
    main()
