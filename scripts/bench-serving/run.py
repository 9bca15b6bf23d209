#!/usr/bin/env python3
"""Measure how fast kith answers top-N, beside lists that were computed ahead.

    make build && python scripts/bench-serving/run.py --scale 0.1 [--nodes 1,3] [--rates 1000,2000,5000] [--http URL-PATH]

A shop is generated (--scale 1: 1 million users, 500,000 items, 20 million events) and put into a cluster on loopback, with exact
neighbor lists (cosine, K = 50). Then all ways are asked for ten items of random users at a fixed rate, whether answers come or
not, each way for --seconds at each rate, in turn; clients and servers share the processors:

kith gRPC   item-based, computed from the user's events at the time of the query
kith REST   the same over HTTP
Redis       GET of a list from a redis-server behind a plain HTTP handler in Go
PostgreSQL  the same from a table with an index

All are asked by 'kith bench query', whose latencies count from when a query was due: what waits for the client counts as well. With --vegeta those over HTTP are asked by vegeta,
a load generator of others, whose latencies count from when it sent a query. Users are drawn anew for each measurement. Told are the latencies at each rate, and the processor seconds a thousand answers took on the side of the servers. --highest looks for the
highest rate at which 99 of 100 answers come within 5 ms. --throughput asks kith and Redis without a rate, 16 queries under way all the time, two seconds each in turn, --turns times: told are the answers
a second, and the ratio to Redis of the same turn, which a machine that changes its speed changes little. With --active some users are asked for again and again, so that their histories are in memory if --history-mib has
room for them (about 1 KiB for 20 events), as the lists of Redis are. implicit answers in process, without a server: its time per user is told as well.

Needs redis-server, PostgreSQL, and implicit (pip install implicit) for the others, what is not there is left out; and vegeta (go install
github.com/tsenart/vegeta/v12@v12.12.0) for --vegeta.
"""

import argparse
import contextlib
import glob
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
KITH = ROOT / "bin" / "kith"
LIMIT_MS = 5.0
AT_ONCE = 16


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def processor(pids):
    """Processor seconds of processes so far."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):  # it has ended
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(command, ready, **kwargs):
    """A process until the end, from when ready says so."""
    process = subprocess.Popen(command, **kwargs)
    try:
        while not ready(process):
            if process.poll() is not None:
                sys.exit(f"{command} ended with {process.returncode}")
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


@contextlib.contextmanager
def cluster(work, nodes, history_mib):
    """Servers of kith. Yields their addresses of gRPC and HTTP, and their processes."""
    with contextlib.ExitStack() as stack:
        grpc, http, gossip, processes = [], [], [], []
        for n in range(nodes):
            ports = free_ports(4)
            addrs = [f"127.0.0.1:{p}" for p in ports]
            log = stack.enter_context(open(os.path.join(work, f"server{n}.log"), "w"))
            command = [KITH, "server", "--data-dir", os.path.join(work, f"data{nodes}-{n}"), "--grpc-addr", addrs[0], "--raft-addr", addrs[1],
                       "--gossip-addr", addrs[2], "--http-addr", addrs[3], "--bootstrap-expect", str(nodes), "--history-mib", str(history_mib), "--build-every", "0"]
            if gossip:
                command += ["--join", gossip[0]]
            grpc, http, gossip = grpc + [addrs[0]], http + [addrs[3]], gossip + [addrs[2]]
            processes.append(stack.enter_context(running(command, lambda _: True, stdout=log, stderr=subprocess.STDOUT)))
        while any(subprocess.run([KITH, "health", "--ready", "--addr", a], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode for a in grpc):
            if any(p.poll() is not None for p in processes):
                sys.exit(f"a server ended: see {work}")
            time.sleep(0.1)
        yield grpc, http, lambda: [p.pid for p in processes]


seeds = itertools.count(1)


def bench_query(whom, users, rate, seconds):
    """Asks by 'kith bench query', without a rate if that is None. whom are its flags that say whom, and what."""
    pace = ["--rate", str(rate)] if rate else ["--at-once", str(AT_ONCE)]
    out = subprocess.run([KITH, "bench", "query", *whom, "--keys", users, *pace, "--duration", f"{seconds}s", "--seed", str(next(seeds)), "-o", "json"],
                         capture_output=True, text=True)
    if not out.stdout:
        sys.exit(out.stderr)
    got = json.loads(out.stdout)
    return {"rate": got["rate"], "requests": got["requests"], "errors": got["errors"], **{p: got[f"{p}_ms"] for p in ("p50", "p99", "p999")}}


def by_grpc(addrs):
    return ["--addr", ",".join(addrs), "--model", by_grpc.model]


def by_http(work, keys, templates):
    """Asks addresses with {key}, in turn, by vegeta if there is one, else by 'kith bench query'."""
    if vegeta.path:
        urls = [templates[i % len(templates)].replace("{key}", k) for i, k in enumerate(keys)]
        return lambda rate, seconds: vegeta(urls, rate, seconds)
    whom = [x for t in templates for x in ("--url", t)]
    return lambda rate, seconds: bench_query(whom, os.path.join(work, "users.txt"), rate, seconds)


def vegeta(urls, rate, seconds):
    # Other users each time: what was asked a moment ago would be at hand.
    rng = random.Random(next(seeds))
    targets = os.path.join(vegeta.work, "targets")
    pathlib.Path(targets).write_text("\n".join(f"GET {rng.choice(urls)}" for _ in range(rate * seconds + 1)) + "\n")
    attack = subprocess.run([vegeta.path, "attack", f"-rate={rate}", f"-duration={seconds}s", "-timeout=1s", "-max-workers=2000", f"-targets={targets}"],
                            capture_output=True, check=True)
    report = json.loads(subprocess.run([vegeta.path, "report", "-type=json"], input=attack.stdout, capture_output=True, check=True).stdout)
    ms = {q: report["latencies"][k] / 1e6 for q, k in (("p50", "50th"), ("p99", "99th"))}
    took = sorted(json.loads(line)["latency"] / 1e6 for line in
                  subprocess.run([vegeta.path, "encode", "-to=json"], input=attack.stdout, capture_output=True, check=True).stdout.splitlines())
    return {"requests": report["requests"], "errors": round(report["requests"] * (1 - report["success"])), **ms, "p999": took[min(len(took) - 1, int(0.999 * len(took)))]}


class Way:
    """A way to get answers."""

    def __init__(self, name, ask, pids):
        """ask measures at a rate for some seconds, pids returns the processes of the servers."""
        self.name, self.ask, self.pids = name, ask, pids

    def throughput(self, seconds):
        """Answers a second, without a rate."""
        got = self.ask(None, seconds)
        if got["errors"]:
            sys.exit(f"{self.name}: {got['errors']} of {got['requests']} queries failed")
        return got["rate"]

    def measure(self, rate, seconds):
        before = processor(self.pids())
        got = self.ask(rate, seconds)
        got["cpu_ms"] = (processor(self.pids()) - before) * 1000 / max(1, got["requests"])
        return got

    def highest(self, seconds, top):
        """The highest rate, within 5 %, with a p99 of at most LIMIT_MS in one of two measurements (as others may want the processors), that is at most top."""
        def holds(rate):
            for _ in range(2):
                got = self.measure(rate, seconds)
                if got["errors"] == 0 and got["p99"] <= LIMIT_MS and got["requests"] >= 0.99 * rate * seconds:
                    return True
            return False
        low, high = 0, 500
        while high <= top and holds(high):
            low, high = high, high * 2
        high = min(high, top)
        while high - low > 0.05 * high:
            middle = (low + high) // 2
            low, high = (middle, high) if holds(middle) else (low, middle)
        return low


def ways(args, work, keys, grpc, http, pids, label):
    yield Way(f"kith gRPC{label}", lambda rate, seconds: bench_query(by_grpc(grpc), os.path.join(work, "users.txt"), rate, seconds), pids)
    if args.http:
        yield Way(f"kith REST{label}", by_http(work, keys, [f"http://{addr}{args.http}" for addr in http]), pids)


def answers(keys, items):
    """For each user what a shop would have computed ahead: ten items with scores."""
    rng = random.Random(1)
    for key in keys:
        yield key, json.dumps({"items": [{"item": rng.choice(items), "score": round(rng.random(), 6)} for _ in range(10)]})


def peer(work, name, flags, keys, server_pids, stack):
    out = open(os.path.join(work, f"{name}.out"), "w+")
    process = stack.enter_context(running([os.path.join(work, "peer"), *flags], lambda _: pathlib.Path(out.name).read_text().endswith("\n"), stdout=out))
    addr = pathlib.Path(out.name).read_text().strip()
    return Way(name, by_http(work, keys, [f"http://{addr}/recommend?user={{key}}"]), lambda: [process.pid, *server_pids()])


def redis(work, keys, items, stack):
    [port] = free_ports(1)
    server = stack.enter_context(running(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", work],
                                         lambda _: subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True).stdout == b"PONG\n",
                                         stdout=subprocess.DEVNULL))
    load = subprocess.Popen(["redis-cli", "-p", str(port), "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    for key, value in answers(keys, items):
        load.stdin.write(f"*3\r\n$3\r\nSET\r\n${len(key)}\r\n{key}\r\n${len(value)}\r\n{value}\r\n".encode())
    load.stdin.close()
    if load.wait():
        sys.exit("redis-cli could not load the lists")
    return peer(work, "Redis", ["--redis", f"127.0.0.1:{port}"], keys, lambda: [server.pid], stack)


def postgres(work, keys, items, stack):
    bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
    data, [port] = os.path.join(work, "postgres"), free_ports(1)
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []  # it refuses to run as root
    os.chmod(work, 0o755)
    os.mkdir(data)
    if user:
        shutil.chown(data, "postgres", "postgres")
    subprocess.run([*user, f"{bin}/initdb", "-D", data, "-A", "trust", "-U", "kith"], check=True, stdout=subprocess.DEVNULL)
    dsn = f"postgres://kith@127.0.0.1:{port}/postgres?sslmode=disable"
    server = stack.enter_context(running([*user, f"{bin}/postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", data, "-c", "shared_buffers=1GB",
                                          "-c", "max_connections=500"],
                                         lambda _: subprocess.run(["psql", dsn, "-c", "SELECT 1"], capture_output=True).returncode == 0,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    load = subprocess.Popen(["psql", "-q", dsn, "-c", "CREATE TABLE lists (user_key text, items text)", "-c", "COPY lists FROM STDIN",
                             "-c", "ALTER TABLE lists ADD PRIMARY KEY (user_key)", "-c", "VACUUM ANALYZE lists"], stdin=subprocess.PIPE)
    for key, value in answers(keys, items):
        load.stdin.write(f"{key}\t{value}\n".encode())
    load.stdin.close()
    if load.wait():
        sys.exit("psql could not load the lists")
    # A process of its own serves each connection. They stay until the end.
    backends = lambda: [server.pid, *(int(p) for p in subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True, text=True).stdout.split())]
    return peer(work, "PostgreSQL", ["--postgres", dsn], keys, backends, stack)


def implicit(work):
    """Microseconds that implicit takes for a user, one at a time and in batches of 1,000, on all processors."""
    program = f"""
import time, random, numpy, scipy.sparse, csv
from implicit.nearest_neighbours import CosineRecommender
rows = numpy.loadtxt({os.path.join(work, 'events.csv')!r}, delimiter=',', skiprows=1, usecols=(0, 1, 2))
u, i = rows[:, 0].astype(int), rows[:, 1].astype(int)
m = scipy.sparse.csr_matrix((rows[:, 2].astype('float32'), (u, i)))
model = CosineRecommender(K=50)
model.fit(m, show_progress=False)
users = numpy.unique(u); numpy.random.default_rng(1).shuffle(users)
took = []
for x in users[:5000]:
    t = time.perf_counter(); model.recommend(x, m[x], N=10); took.append(time.perf_counter() - t)
t = time.perf_counter()
for at in range(0, 20000, 1000):
    some = users[at:at+1000]; model.recommend(some, m[some], N=10)
batch = (time.perf_counter() - t) / 20000
took.sort()
print(took[len(took)//2] * 1e6, took[int(0.99 * len(took))] * 1e6, batch * 1e6)
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if out.returncode:
        print("implicit is left out:", (out.stderr.strip().splitlines() or ["it failed"])[-1], file=sys.stderr)
        return None
    return [float(x) for x in out.stdout.split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--nodes", default="1")
    parser.add_argument("--rates", default="1000,2000,5000")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--highest", action="store_true")
    parser.add_argument("--throughput", action="store_true")
    parser.add_argument("--turns", type=int, default=15, help="of --throughput")
    parser.add_argument("--active", type=int, default=0, help="ask for so many users only, who have been asked for before, as those who visit a shop are; 0 for all")
    parser.add_argument("--history-mib", type=int, default=64, help="what a server keeps of histories in memory")
    parser.add_argument("--model", default="item-knn", choices=["item-knn", "user-knn", "hybrid"], help="how items are scored")
    parser.add_argument("--http", help="path of a query over HTTP; empty for none (default: recommendations by --model)")
    parser.add_argument("--vegeta", action="store_true", help="ask over HTTP by vegeta")
    args = parser.parse_args()
    by_grpc.model = args.model
    if args.http is None:
        args.http = f"/v1/users/{{key}}/recommendations?n=10&model={args.model.replace('-', '_')}"
    vegeta.path = args.vegeta and (shutil.which("vegeta") or shutil.which("vegeta", path=os.path.expanduser("~/go/bin")))
    if args.throughput and (args.vegeta or not shutil.which("redis-server")):
        sys.exit("--throughput needs redis-server, and no --vegeta")
    if args.vegeta and not vegeta.path:
        sys.exit("vegeta is not installed: go install github.com/tsenart/vegeta/v12@v12.12.0")
    work = vegeta.work = tempfile.mkdtemp(prefix="kith-bench-serving-")
    try:
        events = os.path.join(work, "events.csv")
        subprocess.run([KITH, "bench", "neighbors", "--kind", "shop", "--scale", str(args.scale), "--runs", "0", "--write", events], check=True, stdout=subprocess.DEVNULL)
        keys, items = set(), set()
        with open(events) as f:
            next(f)
            for line in f:
                user, item, _ = line.split(",", 2)
                keys.add(user)
                items.add(item)
        keys, items = sorted(keys), sorted(items)
        everybody = len(keys)
        if args.active:
            keys = random.Random(0).sample(keys, min(args.active, everybody))
        pathlib.Path(work, "users.txt").write_text("\n".join(keys) + "\n")
        print(f"{everybody:,} users, {len(keys):,} of whom are asked for, {len(items):,} items; {args.rounds} rounds of {args.seconds} s; load {os.getloadavg()[0]:.1f}", flush=True)
        subprocess.run(["go", "build", "-o", os.path.join(work, "peer"), "./scripts/peer"], cwd=ROOT, check=True)
        for nodes in (int(n) for n in args.nodes.split(",")):
            with contextlib.ExitStack() as stack:
                grpc, http, pids = stack.enter_context(cluster(work, nodes, args.history_mib))
                subprocess.run([KITH, "ingest", "--addr", ",".join(grpc), events, "--columns", "user=user,item=item,value=weight", "--behavior", "purchase"], check=True,
                               stdout=subprocess.DEVNULL)
                subprocess.run([KITH, "build", "--addr", ",".join(grpc), "--wait"], check=True, stdout=subprocess.DEVNULL)
                if args.active:  # each about three times
                    bench_query(by_grpc(grpc), os.path.join(work, "users.txt"), 3000 if args.model == "item-knn" else None, len(keys) // 1000)
                if args.throughput:
                    with contextlib.ExitStack() as beside:
                        throughputs([*ways(args, work, keys, grpc, http, pids, ""), redis(work, keys, items, beside)], args.turns)
                label = "" if nodes == 1 else f", {nodes} nodes"
                table([*ways(args, work, keys, grpc, http, pids, label)], args)
        with contextlib.ExitStack() as stack:
            others = []
            if shutil.which("redis-server"):
                others.append(redis(work, keys, items, stack))
            if glob.glob("/usr/lib/postgresql/*/bin/postgres"):
                others.append(postgres(work, keys, items, stack))
            table(others, args)
        if took := implicit(work):
            print(f"\nimplicit in process: {took[0]:,.0f} us a user in the middle, {took[1]:,.0f} us at p99, {took[2]:,.0f} us in batches of 1,000")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def throughputs(ways, turns):
    """Asks all ways in turn without a rate, and tells them beside the last."""
    rates = [[way.throughput(2) for way in ways] for _ in range(turns)]
    for i, way in enumerate(ways):
        ratios = sorted(of[i] / of[-1] for of in rates)
        print(f"{way.name:20} {statistics.median(of[i] for of in rates):8,.0f} answers/s   of {ways[-1].name}: {statistics.median(ratios):.2f} ({ratios[len(ratios) // 4]:.2f} to {ratios[-1 - len(ratios) // 4]:.2f})", flush=True)


def table(ways, args):
    rates = [int(r) for r in args.rates.split(",")]
    rows = {}
    for _ in range(args.rounds):
        for rate in rates:
            for way in ways:
                rows.setdefault((way.name, rate), []).append(way.measure(rate, args.seconds))
    for (name, rate), rounds in rows.items():
        def median(key):
            return statistics.median(r[key] for r in rounds)
        print(f"{name:20} {rate:6,}/s  p50 {median('p50'):8.2f}  p99 {median('p99'):8.2f} ({min(r['p99'] for r in rounds):.2f} to {max(r['p99'] for r in rounds):.2f})  "
              f"p99.9 {median('p999'):8.2f} ms  errors {sum(r['errors'] for r in rounds):,} of {sum(r['requests'] for r in rounds):,}  "
              f"servers' processors {median('cpu_ms'):.3f} ms an answer", flush=True)
    if args.highest:
        for way in ways:
            print(f"{way.name:20} highest rate with p99 within {LIMIT_MS:g} ms: {way.highest(args.seconds, 50_000):,}/s", flush=True)


if __name__ == "__main__":
    main()
