#!/usr/bin/env python3
"""Measure what a build costs that follows the version before, beside one of all events.

    make build && python3 scripts/bench-follow/run.py --scale 0.1 [--events 200,2000,20000] [--measure bm25] [--servers 3] [--restart]

A shop is generated (--scale 1: 1 million users, 500,000 items, 20 million events), put into a server on loopback, or a cluster of --servers, and built (K = 50). Then come some new purchases, of users and items drawn from the
events there are (so that the popular come most), of some new users and of some new products, and a build that follows, or by a measure that cannot be followed one by the rows of the version before, for each number of --events. Told are the seconds and the processor
seconds of all servers for each, and its part of a build of all events. In the end such a build is made of what the last one had, and the files of both are compared byte for byte.
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
KITH = ROOT / "bin" / "kith"


def processor(pid):
    """Processor seconds of a process so far."""
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Server:
    """One server, on loopback."""

    def __init__(self, work, number, addresses, joined):
        self.addr, raft, self.gossip, http = addresses
        self.process = None
        self.data, self.log = work / f"data-{number}", open(work / f"server-{number}.log", "w")
        self.command = [KITH, "server", "--data-dir", self.data, "--grpc-addr", self.addr, "--raft-addr", raft, "--gossip-addr", self.gossip, "--http-addr", http, "--build-every", "0", *joined]

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=subprocess.STDOUT)

    def wait(self):
        while subprocess.run([KITH, "health", "--ready", "--addr", self.addr], capture_output=True).returncode:
            if self.process.poll() is not None:
                sys.exit(f"a server ended: see {self.log.name}")
            time.sleep(0.1)


class Cluster:
    def __init__(self, work, servers, measure):
        self.measure = measure
        sockets = [socket.socket() for _ in range(4 * servers)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
        for s in sockets:
            s.close()
        joined = ["--join", ",".join(addresses[2::4]), "--bootstrap-expect", str(servers)] if servers > 1 else []
        self.servers = [Server(work, n, addresses[4 * n:4 * n + 4], joined) for n in range(servers)]
        self.addr = self.servers[0].addr

    def start(self):
        for s in self.servers:
            s.start()
        for s in self.servers:
            s.wait()

    def stop(self):
        running = [s for s in self.servers if s.process and s.process.poll() is None]
        for s in running:
            s.process.send_signal(signal.SIGINT)
        codes = [s.process.wait() for s in running]
        if any(codes):
            sys.exit(f"servers ended with {codes}: see {self.servers[0].log.name}")

    def processor(self):
        return sum(processor(s.process.pid) for s in self.servers)

    def ingest(self, path):
        subprocess.run([KITH, "ingest", "--addr", self.addr, path, "--columns", "user=user,item=item,value=weight", "--behavior", "purchase"], check=True, capture_output=True)

    def build(self):
        """Seconds, processor seconds, and the version."""
        before, began = self.processor(), time.monotonic()
        out = subprocess.run([KITH, "build", "--addr", self.addr, "--wait", "--measure", self.measure, "-o", "json"], check=True, capture_output=True).stdout
        return time.monotonic() - began, self.processor() - before, json.loads(out)["version"]

    def files(self, version):
        """What each server has of a version."""
        folders = [s.data / "models" / f"{version['version']:020d}" for s in self.servers]
        return {(n, f.name): hashlib.sha256(f.read_bytes()).hexdigest()
                for n, folder in enumerate(folders) for f in folder.iterdir() if f.name == "dictionary" or f.name.startswith(("lists-", "rows-"))}

    def forget(self, version):
        """Removes what a build needs to follow a version, and its rows, so that the next one reads all events."""
        for s in self.servers:
            folder = s.data / "models" / f"{version['version']:020d}"
            for f in [*folder.glob("rest-*"), *folder.glob("rows-*")]:
                f.unlink()


def new_events(path, events, n, rng):
    """Writes n purchases; one of 20 is of a new user, one of 50 of a new item."""
    def drawn():
        events.seek(rng.randrange(100, size - 100))
        events.readline()
        return (events.readline() or b"0,0,1").decode().split(",")
    size = os.fstat(events.fileno()).st_size
    with open(path, "w") as out:
        out.write("user,item,weight\n")
        for k in range(n):
            user = f"new {rng.random()}" if k % 20 == 19 else drawn()[0]
            item = f"new {rng.random()}" if k % 50 == 49 else drawn()[1]
            out.write(f"{user},{item},1\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--events", default="200,200,2000,20000")
    parser.add_argument("--measure", default="cosine")
    parser.add_argument("--servers", type=int, default=1, help="1, 3 or 5")
    parser.add_argument("--restart", action="store_true", help="stop the servers and start them before each build that follows")
    args = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="kith-bench-follow-"))
    rng = random.Random(1)
    try:
        subprocess.run([KITH, "bench", "neighbors", "--kind", "shop", "--scale", str(args.scale), "--runs", "0", "--write", work / "events.csv"], check=True, stdout=subprocess.DEVNULL)
        cluster = Cluster(work, args.servers, args.measure)
        try:
            cluster.start()
            cluster.ingest(work / "events.csv")
            measured = [("all", *cluster.build())]
            with open(work / "events.csv", "rb") as events:
                for n in (int(n) for n in args.events.split(",")):
                    new_events(work / "new.csv", events, n, rng)
                    cluster.ingest(work / "new.csv")
                    if args.restart:
                        cluster.stop()
                        cluster.start()
                    measured.append((f"{n:,} new", *cluster.build()))
            followed = measured[-1][-1]
            files = cluster.files(followed)
            cluster.forget(followed)
            measured.append(("all", *cluster.build()))
            full = [cpu for what, _, cpu, _ in measured if what == "all"]
            for what, seconds, cpu, version in measured:
                way = f"followed version {version['followed']}" if version.get("followed") else "all events" if what == "all" else "all pairs, by rows of the version before"
                print(f"{what:>12}  {seconds:7.2f} s  {cpu:7.2f} processor s  {cpu * len(full) / sum(full):.3f} of a build  {way}")
            same = files == cluster.files(measured[-1][-1])
            print("the files of the last two versions are the same" if same else "THE FILES OF THE LAST TWO VERSIONS DIFFER")
            sys.exit(not same)
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
