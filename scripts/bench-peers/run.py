#!/usr/bin/env python3
"""Measure kith beside other programs that compute exact item neighbors, on the same matrix, and check that the lists agree.

    make build && python scripts/bench-peers/run.py --kind shop --scale 0.1

Each run is a process of its own. Rounds go forth and back (kith, peer, peer, kith, ...), so that a load that comes and
goes meets all alike; the ratios are those of the runs of one round. Measured are:

fit    from the matrix in memory to the lists: 'kith bench neighbors --path kernel', and the fit of a peer
build  the same by the way of a cluster, from the summary of 'kith neighbors'
whole  the wall time of a process from the file to the file of lists: 'kith neighbors', and peer.py
peak   the largest resident memory of the whole process

Needs numpy and pyarrow. Peers that are not installed are skipped; to have all of them:

    pip install numpy pyarrow implicit==0.7.3 scipy sparse-dot-topn
"""

import argparse
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
# What each peer needs, and how far its scores may be from those of kith. Implicit adds up in double precision, the others
# in single as kith does, in another order.
PEERS = {
    "implicit": (["implicit", "scipy"], "implicit==0.7.3 scipy", 1e-5),
    "scipy": (["scipy"], "scipy", 1e-4),
    "sparse_dot_topn": (["sparse_dot_topn", "scipy"], "sparse-dot-topn scipy", 1e-4),
}


def missing(modules):
    # They are not imported: the memory of this process would count as that of its children.
    return [m for m in modules if importlib.util.find_spec(m) is None]


def run(command, threads):
    """Runs a command that prints JSON. Returns that, the wall time in seconds and the peak memory in bytes."""
    # Libraries for dense algebra start threads of their own, which only disturb.
    env = os.environ | {"GOMAXPROCS": str(threads), "OMP_NUM_THREADS": str(threads)}
    env |= {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=env, text=True)
        with child.stdout:
            out = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        took = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            errors.seek(0)
            sys.exit(f"{' '.join(map(str, command))}: exit code {child.returncode}\n{errors.read()}")
    return json.loads(out), took, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def text(s, unit=1.0):
    return f"{s['median'] / unit:.3g} ({s['min'] / unit:.3g}..{s['max'] / unit:.3g})"


def print_table(rows):
    widths = [max(len(r[c]) for r in rows) for c in range(len(rows[0]))]
    for r in rows:
        print("  ".join(cell.ljust(w) for cell, w in zip(r, widths)).rstrip())


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kind", choices=["movies", "shop", "small"], default="small", help="matrix that kith generates")
    p.add_argument("--scale", type=float, default=1, help="factor on its size")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--file", help="Parquet file to use instead: user, item, weight, and one row for each pair")
    p.add_argument("--peers", default=",".join(PEERS), help="names, joined by commas (default: %(default)s)")
    p.add_argument("--measure", choices=["cosine", "tf-idf", "bm25"], default="cosine",
                   help="similarity; implicit alone has others than the cosine (default: %(default)s)")
    p.add_argument("-k", type=int, default=50, help="neighbors of an item (default: %(default)s)")
    p.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each program (default: %(default)s)")
    p.add_argument("--runs", type=int, default=3, help="rounds (default: %(default)s)")
    p.add_argument("--kith", default=str(HERE.parent.parent / "bin" / "kith"), help="the program (default: bin/kith of this tree)")
    p.add_argument("--json", help="file for all figures")
    a = p.parse_args()
    if a.runs < 1 or a.threads < 1 or a.k < 1:
        p.error("--runs, --threads and -k: want 1 or more")
    if not os.access(a.kith, os.X_OK):
        p.error(f"{a.kith} is not there or cannot be run; make it with 'make build', or name another with --kith")
    if a.file and not os.path.isfile(a.file):
        p.error(f"--file {a.file}: there is no such file; check the path")
    if lack := missing(["numpy", "pyarrow"]):
        p.error(f"this Python has no {' and no '.join(lack)}; pip install numpy pyarrow")
    a.peers = [name for name in a.peers.split(",") if name]
    if a.measure != "cosine":
        a.peers = [name for name in a.peers if name == "implicit"]
    if unknown := [name for name in a.peers if name not in PEERS]:
        p.error(f"--peers: unknown {', '.join(unknown)}; want some of {', '.join(PEERS)}")
    return a


def present(names):
    """Returns the peers that are installed, and says how to install the others."""
    found = []
    for name in names:
        modules, install, _ = PEERS[name]
        if lack := missing(modules):
            print(f"{name} is skipped: this Python has no {' and no '.join(lack)}; pip install {install}", file=sys.stderr)
        else:
            found.append(name)
    return found


def measure(a, peers, matrix, folder):
    """Runs all in turn. Returns lists of figures by program and quantity, and the versions of the programs."""
    figures = {name: {} for name in ["kith", *peers]}
    versions = {"kith": run([a.kith, "version", "-o", "json"], a.threads)[0]["version"]}
    common = ["--input", matrix, "-k", str(a.k), "--threads", str(a.threads), "--measure", a.measure, "-o", "json"]

    def note(name, **values):
        for quantity, x in values.items():
            figures[name].setdefault(quantity, []).append(x)

    def kith():
        fit, _, _ = run([a.kith, "bench", "neighbors", "--path", "kernel", "--runs", "1", *common], a.threads)
        whole, took, peak = run([a.kith, "neighbors", "--out", str(folder / "kith.parquet"), *common], a.threads)
        steps = whole["seconds"]
        build = steps["prepare"] + steps["compute"] + steps["merge"]
        note("kith", fit=fit["seconds"]["median"], build=build, whole=took, peak=peak)

    def peer(name):
        command = [sys.executable, str(HERE / "peer.py"), name, matrix, str(folder / f"{name}.parquet")]
        command += ["-k", str(a.k), "--threads", str(a.threads), "--measure", a.measure]
        result, took, peak = run(command, a.threads)
        versions[name] = result["version"]
        note(name, fit=result["fit_seconds"], whole=took, peak=peak)

    turns = [kith, *(lambda name=name: peer(name) for name in peers)]
    for n in range(a.runs):
        for turn in turns if n % 2 == 0 else reversed(turns):
            turn()
        print(f"round {n + 1} of {a.runs} is done", file=sys.stderr)
    return figures, versions


def main():
    a = parse()
    peers = present(a.peers)
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"the load average is {load:.1f}: other work on this machine will blur the figures", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="kith-peers-") as folder:
        folder = pathlib.Path(folder)
        matrix, made = a.file, None
        if matrix is None:
            matrix = str(folder / "matrix.parquet")
            command = [a.kith, "bench", "neighbors", "--kind", a.kind, "--scale", str(a.scale), "--seed", str(a.seed)]
            made, _, _ = run([*command, "--runs", "0", "--write", matrix, "-o", "json"], a.threads)
            print(f"{a.kind} at scale {a.scale}, seed {a.seed}: {made['users']:,} users, {made['items']:,} items, "
                  f"{made['interactions']:,} interactions", file=sys.stderr)
        figures, versions = measure(a, peers, matrix, folder)
        agreement = {}
        for name in peers:
            command = [sys.executable, str(HERE / "agree.py"), str(folder / "kith.parquet"), str(folder / f"{name}.parquet")]
            command += ["-k", str(a.k), "--tolerance", str(PEERS[name][2])]
            out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            if not out.stdout:
                sys.exit(f"the lists of kith and {name} could not be compared")
            agreement[name] = json.loads(out.stdout)

    sums = {name: {q: spread(x) for q, x in f.items()} for name, f in figures.items()}
    ratios = {name: {q: spread([x / y for x, y in zip(figures["kith"][q], figures[name][q])]) for q in ("fit", "whole", "peak")}
              for name in peers}
    rows = [["", "fit, s", "whole, s", "peak, MB"]]
    for name, s in sums.items():
        rows.append([f"{name} {versions[name]}", text(s["fit"]), text(s["whole"]), text(s["peak"], 1e6)])
        if "build" in s:
            rows.append(["kith, build", text(s["build"]), "", ""])
    for name, r in ratios.items():
        rows.append([f"kith / {name}", text(r["fit"]), text(r["whole"]), text(r["peak"])])
    print(f"K={a.k}, {a.threads} threads, median (min..max) of {a.runs} rounds; ratios are of paired rounds; "
          f"load average before {load:.1f}")
    print_table(rows)
    for name, r in agreement.items():
        verdict = "agree" if r["agree"] else f"DIFFER: {r['other_scores']} other scores, {r['missing']} missing neighbors"
        print(f"lists of kith and {name}: {verdict}; {r['items']:,} items, {r['neighbors'][0]:,} neighbors, "
              f"scores within {r['largest_difference']:.1e} (tolerance {r['tolerance']:.0e})")
    if a.json:
        matrix = {"file": os.path.basename(a.file)} if a.file else {"kind": a.kind, "scale": a.scale, "seed": a.seed}
        if made:
            matrix |= {k: made[k] for k in ("users", "items", "interactions")}
        result = {"matrix": matrix, "k": a.k, "threads": a.threads, "measure": a.measure, "load_average_before": load,
                  "versions": versions, "figures": figures, "ratios": ratios, "agreement": agreement}
        pathlib.Path(a.json).write_text(json.dumps(result, indent=2) + "\n")
    if any(not r["agree"] for r in agreement.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
