#!/usr/bin/env python3
"""Compare the k-means of model/cluster with that of scikit-learn.

Both group the same tables around the same number of centers, ten restarts each; what is compared is the loss (the sum of squared distances to
the nearest center) and the adjusted Rand index to the class in the last column.

    pip install scikit-learn==1.9.1
    KITH_DATA=... scripts/bench-models/clusters.py
"""

import csv
import os
import re
import subprocess

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.metrics import adjusted_rand_score

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DATA = os.environ.get("KITH_DATA", os.path.join(ROOT, "..", "shared", "data"))


def table(path):
    """Read a table as bench_test.go does: rows with a field that is no number are left out."""
    rows, classes = [], []
    with open(os.path.join(DATA, path)) as f:
        for r in csv.reader(f):
            try:
                row = [float(x) for x in r[:-1]]
            except ValueError:
                continue
            if row:
                rows.append(row)
                classes.append(r[-1])
    return np.array(rows), classes


def ours():
    """Yield path, k, batch, and the figures of the benchmark."""
    out = subprocess.run(
        ["go", "test", "-run", "^$", "-bench", "Points", "-benchtime", "1x", "./model/cluster"],
        cwd=ROOT, env={**os.environ, "KITH_DATA": DATA}, check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        m = re.match(r"BenchmarkPoints/(\S+)/k=(\d+)/batch=(\d+)\S*\s+\d+\s+(.*)", line)
        if m:
            figures = m[4].split("\t")
            yield m[1], int(m[2]), int(m[3]), {f.split()[1]: float(f.split()[0]) for f in figures}


def main():
    print("| table | k | batch | loss | of scikit-learn | ratio | Rand | of scikit-learn | passes | distances computed |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for path, k, batch, f in ours():
        x, classes = table(path)
        if batch:
            them = MiniBatchKMeans(k, n_init=10, batch_size=batch, max_iter=100, random_state=1).fit(x)
        else:
            them = KMeans(k, n_init=10, random_state=1).fit(x)
        rand = adjusted_rand_score(classes, them.labels_)
        print(f"| {path} | {k} | {batch or 'all'} | {f['loss']:.6g} | {them.inertia_:.6g} | {f['loss'] / them.inertia_:.4f} | {f['rand']:.3f} | {rand:.3f} | "
              f"{f['passes']:.0f} | {100 * f['computed']:.0f}% |")


if __name__ == "__main__":
    main()
