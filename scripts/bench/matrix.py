"""Make a user-item matrix of one of the kinds that the benchmarks use, as Parquet (user, item, weight).

    python matrix.py KIND OUT.parquet [--scale S]

movies  138,000 users x 27,000 items x 19 M ratings: a dense head, as MovieLens 20M has
shop    1,000,000 users x 500,000 items x 20 M interactions: flat and long-tailed
--scale multiplies users, items and entries.

Users have a log-normal activity and items a Zipf-Mandelbrot popularity, (rank + q)^-s; entries are drawn from the product of both and
duplicates dropped. Needs numpy and pyarrow.
"""

import argparse

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

KINDS = {
    # users, items, entries, s and q of the items, sigma of the users, weights
    "movies": (138_000, 27_000, 19_000_000, 1.25, 150, 1.0, "ratings"),
    "shop": (1_000_000, 500_000, 20_000_000, 0.85, 50, 1.1, "counts"),
}


def draw(kind, scale, seed=1):
    """Returns users, items (int32) and weights (float32) of distinct pairs, by user, then item."""
    users, items, entries, s, q, sigma, weights = KINDS[kind]
    users, items, entries = int(users * scale), int(items * scale), int(entries * scale)
    rng = np.random.default_rng(seed)
    popularity = (np.arange(items) + q) ** -s
    rng.shuffle(popularity)
    by_item = np.cumsum(popularity) / popularity.sum()
    activity = rng.lognormal(0, sigma, users)
    by_user = np.cumsum(activity) / activity.sum()
    pairs = np.empty(0, dtype=np.int64)
    while len(pairs) < entries:
        n = int((entries - len(pairs)) * 1.3) + 1000
        u = np.searchsorted(by_user, rng.random(n))
        i = np.searchsorted(by_item, rng.random(n))
        pairs = np.unique(np.concatenate([pairs, u.astype(np.int64) * items + i]))
    pairs = np.sort(rng.choice(pairs, entries, replace=False))
    if weights == "ratings":
        w = rng.choice(np.arange(1, 11) / 2, entries, p=[0.01, 0.03, 0.01, 0.07, 0.05, 0.2, 0.12, 0.28, 0.08, 0.15])
    else:
        w = 1 + rng.geometric(0.6, entries)
    return (pairs // items).astype(np.int32), (pairs % items).astype(np.int32), w.astype(np.float32)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kind", choices=KINDS)
    p.add_argument("out")
    p.add_argument("--scale", type=float, default=1)
    a = p.parse_args()
    users, items, weights = draw(a.kind, a.scale)
    table = pa.table({"user": users, "item": items, "weight": weights})
    pq.write_table(table, a.out, compression="snappy")
    print(f"{a.out}: {len(users)} entries, {len(np.unique(users))} users, {len(np.unique(items))} items")


if __name__ == "__main__":
    main()
