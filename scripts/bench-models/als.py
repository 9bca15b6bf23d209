#!/usr/bin/env python3
"""Time an iteration of ALS in kith and in implicit, on the same generated matrix, with equal threads, factors and steps of conjugate gradients.

    pip install implicit==0.7.3 && python scripts/bench-models/als.py

Rounds go in turn, each run in a process of its own; the ratio is that of the medians of the runs of one round. The first iteration of a run is left out.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHAPES = {
    "movies": (6_040, 3_706, 1_000_000),
    "shop": (200_000, 50_000, 2_000_000),
}


def peer(path, factors, threads, iterations):
    import implicit.als
    import numpy as np
    import scipy.sparse as sp
    from threadpoolctl import threadpool_limits

    with open(path, "rb") as f:
        users, items, entries = np.fromfile(f, np.int64, 3)
        starts, ids = np.fromfile(f, np.int64, users + 1), np.fromfile(f, np.uint32, entries)
    matrix = sp.csr_matrix((np.ones(entries, np.float32), ids.astype(np.int32), starts.astype(np.int32)), (users, items))
    seconds = []
    model = implicit.als.AlternatingLeastSquares(factors=factors, iterations=iterations, num_threads=threads, use_gpu=False, random_state=1, alpha=10)
    with threadpool_limits(1, "blas"):
        model.fit(matrix, show_progress=False, callback=lambda _, elapsed, *rest: seconds.append(elapsed))
    print(json.dumps({"seconds": seconds}))


def run(command, env):
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return statistics.median(json.loads(done.stdout.splitlines()[-1])["seconds"][1:])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--factors", default="32,64,128")
    p.add_argument("--iterations", type=int, default=6)
    p.add_argument("--shapes", default=",".join(SHAPES))
    p.add_argument("--peer", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.peer:
        return peer(a.peer, int(a.factors), a.threads, a.iterations)
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as tmp:
        kith, matrix = os.path.join(tmp, "bench"), os.path.join(tmp, "matrix")
        subprocess.run(["go", "build", "-o", kith, "./scripts/bench-models"], cwd=ROOT, check=True)
        for shape in a.shapes.split(","):
            users, items, entries = SHAPES[shape]
            size = ["--users", str(users), "--items", str(items), "--entries", str(entries)]
            subprocess.run([kith, *size, "--write", matrix], check=True)
            for factors in a.factors.split(","):
                ratios = []
                for r in range(a.rounds):
                    spec = f"als(factors={factors},iterations={a.iterations},unobserved=1,scaling=0,regularization=0.01,alpha=10)"
                    ours = lambda: run([kith, *size, "--threads", str(a.threads), "--model", spec], env)
                    theirs = lambda: run([sys.executable, __file__, "--peer", matrix, "--factors", factors, "--threads", str(a.threads), "--iterations", str(a.iterations)], env)
                    if r % 2 == 0:
                        x, y = ours(), theirs()
                    else:
                        y, x = theirs(), ours()
                    ratios.append(x / y)
                    print(f"{shape} factors={factors} threads={a.threads}: kith {x:.3f} s, implicit {y:.3f} s an iteration, ratio {x / y:.2f}", flush=True)
                print(f"{shape} factors={factors}: ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main()
