#!/usr/bin/env python3
"""Measure how fast one durable server takes the log of a shop, beside what reads the same file and stores nothing.

    make build && python scripts/bench-ingest/run.py --events 20000000 [--kills 10]

A shop is generated, its log read as CSV and as Parquet. For each, rounds go in turn:

kith     'kith ingest' into a new server on loopback that syncs each batch of its log to the disk
dry      'kith ingest --dry-run': reading and checking alone
DuckDB   one query that reads all columns and counts events, users and items
wc       'wc -l', of CSV

Told are seconds, events a second, ratios to the same round of kith, processor seconds, and the largest resident memory of
server and client. With --kills the log is read once more with --state, the client killed so often at random points, and the
server must end with the same features of all users as the one that read it in one go.

Needs duckdb (pip install duckdb), and makes Parquet with it; without it, only CSV is measured beside wc.
"""

import argparse
import contextlib
import hashlib
import importlib.util
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

KITH = pathlib.Path(__file__).resolve().parents[2] / "bin" / "kith"

QUERY = "SELECT count(*), count(DISTINCT user), count(DISTINCT item), count(time), count(behavior), count(event) FROM {source}"
MAPPING = """sources:
  - name: events
    path: {path}
    format: {format}
    columns: {{id: event, time: time, user: user, item: item, behavior: behavior}}
    behaviors: {{view: view, search: search, cart: cart}}
"""


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def memory(pid):
    """The largest resident memory of a process so far, in MiB."""
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def processor(pid):
    """Processor seconds of a process so far."""
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Server:
    """A server on loopback with an empty folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        grpc, raft, gossip = free_ports(3)
        self.addr = f"127.0.0.1:{grpc}"
        self.log = open(self.folder / "log", "w")
        self.process = subprocess.Popen(
            [KITH, "server", "--data-dir", self.folder / "data", "--grpc-addr", self.addr, "--raft-addr", f"127.0.0.1:{raft}",
             "--gossip-addr", f"127.0.0.1:{gossip}", "--build-every", "0"],
            stdout=self.log, stderr=subprocess.STDOUT)
        while subprocess.run([KITH, "health", "--ready", "--addr", self.addr], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            if self.process.poll() is not None:
                sys.exit(f"the server ended: {open(self.folder / 'log').read()}")
            time.sleep(0.05)

    def status(self):
        return json.loads(subprocess.run([KITH, "status", "--addr", self.addr, "-o", "json"], check=True, capture_output=True).stdout)

    def digest(self):
        """A hash of what is known of all users."""
        out = self.folder / "users.jsonl"
        subprocess.run([KITH, "users", "features", "--all", "--out", out, "--now", "2030-01-01T00:00:00Z", "--timeout", "30m", "--addr", self.addr], check=True,
                       stdout=subprocess.DEVNULL)
        lines = sorted(hashlib.sha256(line).digest() for line in open(out, "rb"))
        return hashlib.sha256(b"".join(lines)).hexdigest()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()


@contextlib.contextmanager
def server_in(work):
    """A server whose folder is there as long as it is."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        server = Server(folder)
        try:
            yield server
        finally:
            server.stop()


def timed(command, **kwargs):
    """Runs a command. Returns its output, seconds, processor seconds and largest memory in MiB."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)
    out, err = child.stdout.read(), child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    took = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{command}: exit code {child.returncode}\n{err}")
    return out, took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def ingest(mapping, addr, *flags):
    return [KITH, "ingest", "--mapping", mapping, "--dead-letters", "none", "-o", "json", *([] if addr is None else ["--addr", addr]), *flags]


def measure_kith(mapping, work):
    """One reading into a new server."""
    with server_in(work) as server:
        out, took, client, peak = timed(ingest(mapping, server.addr))
        summary = json.loads(out)
        return {"seconds": took, "events": summary["appended"], "client_cpu": client, "server_cpu": processor(server.process.pid),
                "client_mib": peak, "server_mib": memory(server.process.pid)}


def killed(mapping, work, seconds, kills, seed):
    """Reads with --state, killed at random points. Returns the digest, the events stored, and the summary of the last run."""
    rng = random.Random(seed)
    with server_in(work) as server:
        command = ingest(mapping, server.addr, "--state", server.folder / "state", "--state-every", "200ms")
        for _ in range(kills):
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                child.wait(rng.uniform(0.02, 1.6 / (kills + 1)) * seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        out, *_ = timed(command)
        status = server.status()
        return server.digest(), status["events"], json.loads(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    # It is not imported: the memory of this process would count as that of its children.
    duckdb = importlib.util.find_spec("duckdb")
    if not duckdb:
        print("duckdb is not installed (pip install duckdb): no Parquet, and nothing beside wc", file=sys.stderr)
    work = tempfile.mkdtemp(prefix="kith-bench-ingest-")
    try:
        shop = os.path.join(work, "shop")
        subprocess.run([KITH, "generate", "--events", str(args.events), "--users", str(max(100, args.events // 20)), "--items", str(max(50, args.events // 200)), "--out", shop],
                       check=True, stdout=subprocess.DEVNULL)
        forms = {"CSV": (os.path.join(shop, "events.csv"), "csv")}
        if duckdb:
            parquet = os.path.join(work, "events.parquet")
            # The damaged rows of the log stay: those that are short have no place in a table.
            sql = f"COPY (SELECT * FROM read_csv('{forms['CSV'][0]}', all_varchar=true, ignore_errors=true)) TO '{parquet}'"
            subprocess.run([sys.executable, "-c", f"import duckdb; duckdb.sql({sql!r})"], check=True)
            forms["Parquet"] = (parquet, "parquet")
        results = {}
        for form, (path, name) in forms.items():
            mapping = os.path.join(work, f"{name}.yaml")
            pathlib.Path(mapping).write_text(MAPPING.format(path=path, format=name))
            rows = results[form] = []
            for _ in range(args.rounds):
                row = {"kith": measure_kith(mapping, work)}
                row["dry"] = timed(ingest(mapping, None, "--dry-run"))[1]
                if form == "CSV":
                    row["wc"] = timed(["wc", "-l", path])[1]
                if duckdb:
                    source = f"read_csv('{path}', all_varchar=true, ignore_errors=true)" if form == "CSV" else f"'{path}'"
                    program = f"import duckdb; duckdb.sql('SET threads=2'); print(duckdb.sql({QUERY.format(source=source)!r}).fetchall())"
                    _, row["duckdb"], row["duckdb_cpu"], row["duckdb_mib"] = timed([sys.executable, "-c", program])
                rows.append(row)
            size = os.path.getsize(path)
            print(f"\n{form}: {rows[0]['kith']['events']:,} events, {size / 1e6:,.0f} MB, {args.rounds} rounds", flush=True)
            show(rows)
        if args.kills:
            mapping = os.path.join(work, "csv.yaml")
            with server_in(work) as server:
                _, seconds, *_ = timed(ingest(mapping, server.addr))
                want, events = server.digest(), server.status()["events"]
            got, stored, last = killed(mapping, work, seconds, args.kills, args.seed)
            same = "the same" if (got, stored) == (want, events) else "NOT the same"
            print(f"\n{args.kills} kills: {stored:,} events stored, {events:,} in one go; features of all users are {same}; the last run read {last['sources'][0]['read']:,} rows")
            if (got, stored) != (want, events):
                sys.exit(1)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def show(rows):
    def median(of):
        values = [of(r) for r in rows]
        return f"{statistics.median(values):,.1f} ({min(values):,.1f} to {max(values):,.1f})"

    events = rows[0]["kith"]["events"]
    print(f"kith      {median(lambda r: r['kith']['seconds'])} s, {events / statistics.median(r['kith']['seconds'] for r in rows):,.0f} events/s; processor seconds: client "
          f"{median(lambda r: r['kith']['client_cpu'])}, server {median(lambda r: r['kith']['server_cpu'])}; memory in MiB: client "
          f"{median(lambda r: r['kith']['client_mib'])}, server {median(lambda r: r['kith']['server_mib'])}")
    for name, label in (("dry", "dry run"), ("duckdb", "DuckDB"), ("wc", "wc -l")):
        if name in rows[0]:
            print(f"{label:9} {median(lambda r: r[name])} s; kith takes {median(lambda r: r['kith']['seconds'] / r[name])} times that")


if __name__ == "__main__":
    main()
