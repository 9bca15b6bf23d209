#!/usr/bin/env python3
"""Times the search for frequent itemsets and rules beside other programs, in the same run, and checks that all find the same number of sets.

  python3 -m venv venv && venv/bin/pip install mlxtend==0.25.0 efficient-apriori==2.0.6
  venv/bin/python scripts/bench-models/rules_peers.py --kith ./kith --data FOLDER [--runs 3]

Time is that of the search alone, after the file was read, on one core (GOMAXPROCS=1); of several runs, which take turns, the median and the range. kith counts
sets and makes rules of confidence 0.8, writes its file and reads it; without rules it looks at all the same, and keeps none. mlxtend is given a matrix of truth values and makes sets only, to be compared with kith without rules;
efficient-apriori makes both, to be compared with kith with rules, and is left out where it takes minutes.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import time

import pandas
from efficient_apriori import apriori
from mlxtend.frequent_patterns import fpgrowth
from mlxtend.preprocessing import TransactionEncoder

CASES = [  # file, separator, support, whether efficient-apriori ends soon
    ("groceries/groceries.csv", "comma", 0.01, True),
    ("groceries/groceries.csv", "comma", 0.001, False),
    ("mushroom/mushroom.dat", "space", 0.4, True),
    ("mushroom/mushroom.dat", "space", 0.3, False),
    ("mushroom/mushroom.dat", "space", 0.2, False),
]
CONFIDENCE = 0.8


def read(path, separator):
    with open(path, newline="") as f:
        if separator == "comma":
            return [sorted({x.strip() for x in row}) for row in csv.reader(f)]
        return [line.split() for line in f]


def kith(o, path, separator, support, lift):
    out = subprocess.run([o.kith, "rules", "--input", path, "--format", "baskets", "--sep", separator, "--min-support", str(support), "--min-confidence",
                          str(CONFIDENCE), "--min-lift", lift, "--max-length", "64", "-n", "1", "-o", "json"], check=True, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, env={**os.environ, "GOMAXPROCS": "1"}).stdout
    out = json.loads(out)
    return out["itemsets"], out["seconds"]


def timed(f):
    began = time.perf_counter()
    n = f()
    return n, time.perf_counter() - began


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kith", default="./kith")
    p.add_argument("--data", required=True)
    p.add_argument("--runs", type=int, default=3)
    o = p.parse_args()
    print("| data | support | frequent sets | kith, sets alone, s | mlxtend, sets alone, s | ratio | kith, with rules, s | efficient-apriori, s | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, separator, support, slow in CASES:
        path = os.path.join(o.data, name)
        transactions = read(path, separator)
        encoder = TransactionEncoder()
        frame = pandas.DataFrame(encoder.fit(transactions).transform(transactions), columns=encoder.columns_)
        seconds, sets = {"sets": [], "mlxtend": [], "rules": [], "apriori": []}, set()
        for _ in range(o.runs):
            runs = {"sets": lambda: kith(o, path, separator, support, "1e9"), "mlxtend": lambda: timed(lambda: len(fpgrowth(frame, support))),
                    "rules": lambda: kith(o, path, separator, support, "0")}
            if slow:
                runs["apriori"] = lambda: timed(lambda: sum(len(x) for x in apriori(transactions, support, CONFIDENCE, max_length=64)[0].values()))
            for who, f in runs.items():
                n, s = f()
                sets.add(n)
                seconds[who].append(s)
        if len(sets) != 1:
            raise SystemExit(f"{name} at {support}: programs find {sorted(sets)} sets")
        cells = []
        for ours, theirs in (("sets", "mlxtend"), ("rules", "apriori")):
            for who in (ours, theirs):
                x = seconds[who]
                cells.append(f"{statistics.median(x):.3g} [{min(x):.3g}–{max(x):.3g}]" if x else "–")
            cells.append(f"{statistics.median(seconds[theirs]) / statistics.median(seconds[ours]):.1f}×" if seconds[theirs] else "–")
        print(f"| {name.split('/')[0]} | {support} | {sets.pop():,} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
