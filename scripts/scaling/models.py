#!/usr/bin/env python3
"""Train models by builds on 1 to 3 nodes of this machine, and tell what each node did for them.

    make build && scripts/scaling/models.py
    scripts/scaling/models.py --scale 2 --nodes 1,3 --models 'als(factors=32),clusters(k=20)' --repeat 2

Servers are processes of 'kith server' on loopback, each with one thread (GOMAXPROCS=1, --threads 1), without copies of partitions. Each cluster has the same
number of partitions, stores the same matrix, which kith generates, and builds each model in a build of its own; the seconds are those of the training, as
'kith models show' tells them, and steps and bytes those that workers of trainings counted. CPU seconds are those of the process of each
server during the build, with the neighbor lists that every build makes; a build without a model comes first, and tells how much that is.

The file of a model has its losses. It must be the same, bit for bit, on all numbers of nodes: the script ends with an error if it is not. The curve is
printed for als, whose file begins with it.

Needs Linux, for the CPU of processes, and bin/kith. Everything that was started is stopped, and every folder removed, on every way out.
"""

import argparse
import hashlib
import json
import pathlib
import re
import signal
import struct
import sys
import tempfile

import run

ARTIFACT_HEAD, FACTORS_HEAD, SETTINGS = 16, 40, 8  # bytes, bytes, float64s


def losses(file):
    """The loss after each iteration that a file of factors has, None for others."""
    b = file[ARTIFACT_HEAD:]
    if not b.startswith(b"kithfact"):
        return None
    n = struct.unpack_from("<I", b, FACTORS_HEAD - 4)[0]
    return struct.unpack_from(f"<{n}d", b, FACTORS_HEAD + 8 * SETTINGS)


def train(addr, servers, folder, model, k):
    """Builds a model, "" for none, and returns its figures."""
    before = {name: run.cpu_of(s.pid) for name, s in servers.items()}
    built, wall = run.kith("build", "--wait", "--addr", addr, "-k", k, *(["--models", model] if model else []))
    cpu = [run.cpu_of(s.pid) - before[name] for name, s in servers.items()]
    version = built["version"]
    used = {n["node"]: n for n in version["per_node"]}
    out = {"model": model or "none", "wall": wall, "cpu": cpu}
    for key in ("train_steps", "train_bytes_in", "train_bytes_out"):
        out[key] = [used.get(name, {}).get(key, 0) for name in servers]
    if model:
        trained = version["models"][0]
        files = {path.read_bytes() for path in folder.glob(f"*/models/{version['version']:020d}/model-{trained['name']}")}
        if len(files) != 1:
            sys.exit(f"{model}: nodes have {len(files)} different files")
        file = files.pop()
        out |= {"seconds": trained["seconds"], "steps": trained["steps"], "bytes": len(file), "sha256": hashlib.sha256(file).hexdigest(), "losses": losses(file)}
    return out


def measure(nodes, data, args, work):
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = pathlib.Path(name)
        with run.cluster(nodes, folder, args.partitions) as (addr, servers):
            run.kith("ingest", "--addr", addr, data)
            return [{"nodes": nodes} | train(addr, servers, folder, m, args.k) for m in ["", *args.models]]


def report(runs):
    rows = [["model", "nodes", "trained s", "build s", "process CPU s", "steps", "got", "gave", "file"]]
    for r in sorted(runs, key=lambda r: (r["model"] != "none", r["model"], r["nodes"])):
        rows.append([
            r["model"], str(r["nodes"]), f"{r['seconds']:.2f}" if "seconds" in r else "", f"{r['wall']:.2f}", run.spread(r["cpu"], "{:.2f}".format),
            run.spread(r["train_steps"], str), run.spread(r["train_bytes_in"], run.size), run.spread(r["train_bytes_out"], run.size), r.get("sha256", "")[:12],
        ])
    run.print_table(rows)
    for model in dict.fromkeys(r["model"] for r in runs):
        same = [r for r in runs if r["model"] == model and "sha256" in r]
        if len({r["sha256"] for r in same}) > 1:
            sys.exit(f"{model}: the file is not the same on all numbers of nodes")
        if same and same[0]["losses"]:
            print(f"\n{model}: losses", " ".join(f"{x:.6g}" for x in same[0]["losses"]))


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kind", choices=["movies", "shop", "small"], default="small", help="matrix that kith generates")
    p.add_argument("--scale", type=float, default=0.5, help="factor on its size (default 0.5)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--nodes", type=run.numbers, default=[1, 2, 3], help="numbers of nodes (default 1,2,3)")
    p.add_argument("--partitions", type=int, default=6, help="partitions of a cluster, each of which is a worker (default 6)")
    p.add_argument("-k", type=int, default=10, help="neighbors kept for each item, which cost every build the same (default 10)")
    p.add_argument("--models", default="als(factors=32,iterations=10),clusters(k=20),ease", help="models, as kith build takes them")
    p.add_argument("--repeat", type=int, default=1, help="times that everything is done, in turn")
    p.add_argument("--json", type=pathlib.Path, help="file for all figures")
    args = p.parse_args()
    args.models = re.findall(r"[^,(]+(?:\([^)]*\))?", args.models)
    return args


def main():
    args = parse()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))  # as an exception, so that everything is cleaned up
    runs = []
    with tempfile.TemporaryDirectory(prefix="kith-scaling-") as work:
        data = pathlib.Path(work) / "matrix.parquet"
        matrix, _ = run.kith("bench", "neighbors", "--kind", args.kind, "--scale", f"{args.scale:g}", "--seed", args.seed, "--write", data, "--runs", 0)
        for _ in range(args.repeat):
            for nodes in args.nodes:
                print(f"{nodes} nodes ...", file=sys.stderr)
                runs += measure(nodes, data, args, work)
    print(f"{matrix['users']:,} users, {matrix['items']:,} items, {matrix['interactions']:,} interactions; columns of nodes from the least to the most\n")
    report(runs)
    if args.json:
        args.json.write_text(json.dumps({"matrix": matrix, "partitions": args.partitions, "runs": runs}, indent=2) + "\n")


if __name__ == "__main__":
    main()
