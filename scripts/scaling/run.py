#!/usr/bin/env python3
"""Build neighbor lists on 1 to 8 nodes of this machine, and tell what each node did, beside what 'kith plan' predicts.

    scripts/scaling/run.py --kind shop --scale 0.02 --only strong
    scripts/scaling/run.py --kind small --scale 0.5 --nodes 1,2,3 --json bin/scaling.json

servers   real processes of 'kith server' on loopback, each with one thread (GOMAXPROCS=1): ingest, then kith build --wait
embedded  the nodes of one process: kith neighbors --nodes N --threads 1

strong    the same data on all numbers of nodes
weak      users, items and interactions grow with the nodes

A machine with fewer processors than nodes cannot be faster with more of them: what tells then is the work, the bytes
and the critical path, the time that a build would take at least if each node had a machine of its own and the network
took no time: the CPU seconds of the busiest node by its threads, and the phases in which only the coordinator decides. Of
servers that is the CPU of the process during the build, with its raft groups and stores; of embedded nodes, which are one
process, that of their tasks.

Clusters begin with 1, 3 or 5 servers; those beyond join them, work, and hold no data. Needs Linux for the CPU of processes.
Everything that was started is stopped, and every folder removed, on every way out.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
KITH = ROOT / "bin" / "kith"
# How long a cluster may take to be ready, and a process to end.
READY, END = 60, 15
COORDINATED = ("cut", "publish")  # phases without work of the nodes


def kith(*args, env=None):
    """Runs a command of kith that prints JSON, and returns that and the wall time in seconds."""
    began = time.perf_counter()
    done = subprocess.run([KITH, *map(str, args), "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    took = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"kith {' '.join(map(str, args))}: exit code {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout), took


def free_ports(n):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


def cpu_of(pid):
    """The CPU seconds that a process has taken so far."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def cluster(nodes, folder, partitions=None):
    """Starts servers of a cluster, with a number of partitions if one is given; gives the address of the first and the processes by node."""
    founders = max(n for n in (1, 3, 5) if n <= nodes)
    ports = free_ports(3 * nodes)
    gossip = [f"127.0.0.1:{ports[3 * i + 2]}" for i in range(founders)]
    servers = {}
    with contextlib.ExitStack() as stack:
        stack.callback(stop, servers)
        for i in range(nodes):
            name = f"node-{i + 1}"
            data = folder / name
            data.mkdir()
            command = [KITH, "server", "--local", "--data-dir", data, "--node-id", name, "--threads", "1", "--build-every", "0"]
            for flag, port in zip(("--grpc-addr", "--raft-addr", "--gossip-addr"), ports[3 * i:]):
                command += [flag, f"127.0.0.1:{port}"]
            if nodes > 1:
                command += ["--join", ",".join(gossip)]
            if i < founders:
                command += ["--bootstrap-expect", str(founders), "--replication", "1"]
                command += ["--partitions", str(partitions)] if partitions else []
            log = stack.enter_context(open(data / "log", "w"))
            servers[name] = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"GOMAXPROCS": "1"})
        addr = f"127.0.0.1:{ports[0]}"
        wait_ready(addr, nodes, servers, folder)
        yield addr, servers


def wait_ready(addr, nodes, servers, folder):
    end = time.monotonic() + READY
    while time.monotonic() < end:
        for name, server in servers.items():
            if server.poll() is not None:
                sys.exit(f"{name} ended with {server.returncode}:\n" + (folder / name / "log").read_text()[-2000:])
        done = subprocess.run([KITH, "status", "--addr", addr, "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if done.returncode == 0:
            status = json.loads(done.stdout)
            if status["ready"] and sum(m["state"] == "alive" for m in status["members"]) == nodes:
                return
        time.sleep(0.2)
    sys.exit(f"the cluster of {nodes} was not ready after {READY} s; its first server says:\n" + (folder / "node-1" / "log").read_text()[-2000:])


def stop(servers):
    for server in servers.values():
        server.terminate()
    end = time.monotonic() + END
    for server in servers.values():
        try:
            server.wait(max(0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def run_servers(nodes, data, k, work):
    folder = pathlib.Path(tempfile.mkdtemp(dir=work))
    try:
        with cluster(nodes, folder) as (addr, servers):
            _, ingest = kith("ingest", "--addr", addr, data)
            before = {name: cpu_of(s.pid) for name, s in servers.items()}
            built, wall = kith("build", "--wait", "--addr", addr, "-k", k)
            cpu = {name: cpu_of(s.pid) - before[name] for name, s in servers.items()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    per_node = {n["node"]: n | {"process_cpu_seconds": cpu[n["node"]]} for n in built["version"]["per_node"]}
    for name in servers:  # one that did nothing has no entry
        per_node.setdefault(name, {"node": name, "cpu_seconds": 0, "idle_seconds": 0, "bytes_in": 0, "bytes_out": 0, "tasks": 0,
                                   "pair_updates": 0, "process_cpu_seconds": cpu[name]})
    phases = {}
    for p in built["phases"]:
        phases[p["phase"]] = phases.get(p["phase"], 0) + p["seconds"]
    return {
        "ingest_seconds": ingest, "wall_seconds": wall, "phases": phases, "per_node": sorted(per_node.values(), key=lambda n: n["node"]),
        "critical_path_seconds": max(cpu.values()) + sum(phases.get(p, 0) for p in COORDINATED),
    }


def run_embedded(nodes, data, k, work):
    got, _ = kith("neighbors", "--input", data, "-k", k, "--nodes", nodes, "--threads", 1, "--dead-letters", "none")
    s = got["seconds"]
    return {
        "wall_seconds": s["prepare"] + s["compute"] + s["merge"],
        "phases": {p: s[p] for p in ("prepare", "compute", "merge")}, "per_node": got["per_node"],
        "critical_path_seconds": max(n["cpu_seconds"] for n in got["per_node"]),
    }


def measure(scaling, mode, nodes, data, matrix, plan, args, work):
    run = run_servers if mode == "servers" else run_embedded
    got = run(nodes, data, args.k, work)
    return {"scaling": scaling, "mode": mode, "nodes": nodes} | {x: matrix[x] for x in ("users", "items", "interactions")} | got | {"predicted": plan}


def predict(data, k):
    """What is predicted for each number of nodes, of the node that has most."""
    plan, _ = kith("plan", "--input", data, "--simulate", "--threads", 1, "-k", k, "--bandwidth", 10, "--dead-letters", "none")
    return {row["nodes"]: row for row in plan["simulation"]}


def size(b):
    for unit in ("B", "kB", "MB"):
        if b < 1000:
            return f"{b:.3g} {unit}"
        b /= 1000
    return f"{b:.3g} GB"


def spread(values, text):
    low, high = text(min(values)), text(max(values))
    return low if low == high else f"{low}..{high}"


def print_table(rows):
    widths = [max(len(r[c]) for r in rows) for c in range(len(rows[0]))]
    for r in rows:
        print("  ".join(cell.rjust(w) for cell, w in zip(r, widths)))


def report(runs):
    for scaling in ("strong", "weak"):
        for mode in ("servers", "embedded"):
            some = [r for r in runs if (r["scaling"], r["mode"]) == (scaling, mode)]
            if not some:
                continue
            print(f"\n{scaling} scaling, {mode}; columns from the node with least to that with most; ' is predicted of the latter\n")
            rows = [["nodes", "interactions", "wall s", "by phase", "process s", "tasks s", "tasks s'", "tasks", "idle s", "in", "in'", "out", "critical s", "speed-up", "speed-up'"]]
            seconds = "{:.2f}".format
            for r in some:
                n, p, first = r["per_node"], r["predicted"], some[0]
                # On data that grows, speed-up is that of the work: of as many interactions.
                grown = r["interactions"] / first["interactions"]
                rows.append([
                    str(r["nodes"]), f"{r['interactions']:,}", seconds(r["wall_seconds"]),
                    " ".join(f"{k} {v:.2f}" for k, v in r["phases"].items()),
                    spread([x.get("process_cpu_seconds", x["cpu_seconds"]) for x in n], seconds), spread([x["cpu_seconds"] for x in n], seconds),
                    seconds(p["busiest_cpu_seconds"]) if p else "",
                    spread([x["tasks"] for x in n], str), spread([x["idle_seconds"] for x in n], seconds),
                    spread([x["bytes_in"] for x in n], size), size(p["parts_in_bytes"] + p["lists_in_bytes"]) if p else "",
                    spread([x["bytes_out"] for x in n], size), seconds(r["critical_path_seconds"]),
                    f"{first['critical_path_seconds'] / max(1e-9, r['critical_path_seconds']) * grown:.1f}",
                    f"{first['predicted']['busiest_cpu_seconds'] / p['busiest_cpu_seconds'] * grown:.1f}" if p and first["predicted"] else "",
                ])
            print_table(rows)
    print("\nAll nodes share this machine, which has", os.cpu_count(), "processors: wall times with more nodes are not those of a cluster.")


def numbers(text):
    try:
        out = [int(x) for x in text.split(",")]
    except ValueError:
        out = []
    if not out or not all(1 <= n <= 64 for n in out):
        raise argparse.ArgumentTypeError(f"{text!r}: want numbers from 1 to 64, such as 1,2,3,5,8")
    return out


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kind", choices=["movies", "shop", "small"], default="small", help="matrix that kith generates")
    p.add_argument("--scale", type=float, default=0.5, help="factor on its size; for weak scaling that of one node (default 0.5)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--nodes", type=numbers, default=[1, 2, 3, 5, 8], help="numbers of nodes (default 1,2,3,5,8)")
    p.add_argument("-k", type=int, default=50, help="neighbors kept for each item (default 50)")
    p.add_argument("--only", choices=["strong", "weak"], help="one kind of scaling instead of both")
    p.add_argument("--mode", choices=["servers", "embedded"], help="one way instead of both")
    p.add_argument("--json", type=pathlib.Path, help="file for all figures")
    return p.parse_args()


def main():
    args = parse()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))  # as an exception, so that everything is cleaned up
    subprocess.run(["make", "--no-print-directory", "build"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    runs, matrices, plans = [], {}, {}
    with tempfile.TemporaryDirectory(prefix="kith-scaling-") as work:
        for scaling in [args.only] if args.only else ["strong", "weak"]:
            for nodes in args.nodes:
                scale = args.scale * (nodes if scaling == "weak" else 1)
                data = os.path.join(work, f"{scale:g}.parquet")
                if data not in matrices:
                    matrices[data], _ = kith("bench", "neighbors", "--kind", args.kind, "--scale", f"{scale:g}", "--seed", args.seed, "--write", data, "--runs", 0)
                    plans[data] = predict(data, args.k)
                for mode in [args.mode] if args.mode else ["servers", "embedded"]:
                    print(f"{scaling}, {nodes} nodes, {mode} ...", file=sys.stderr)
                    runs.append(measure(scaling, mode, nodes, data, matrices[data], plans[data].get(nodes), args, work))
    report(runs)
    if args.json:
        args.json.write_text(json.dumps({"kind": args.kind, "scale": args.scale, "seed": args.seed, "k": args.k, "processors": os.cpu_count(), "runs": runs}, indent=2) + "\n")


if __name__ == "__main__":
    main()
