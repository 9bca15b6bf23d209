#!/usr/bin/env python3
"""Generates shops with planted rules and a planted chain of behaviors, and tells how much of both kith finds again.

  python3 scripts/bench-models/recover.py --kith ./kith [--users 20000 --items 1000 --events 1000000 --seeds 1,2,3]

Rules: a planted pair counts as found if a rule of the two items is among the first R by lift, where R is the number of planted pairs; as every R are looked at, precision and recall are
one number. Of both directions of a pair the better one counts. Beside it stands the recall among all rules.
Chain: the largest and the mean absolute difference of the planted and the found probabilities of what follows a view and a search; of what follows a cart the planted
chain has another form, as a rule adds an item to the cart on the way.
"""

import argparse
import json
import subprocess
import tempfile


def run(*args):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def shop(o, seed, folder):
    run(o.kith, "generate", "--users", str(o.users), "--items", str(o.items), "--events", str(o.events), "--seed", str(seed), "--out", folder)
    truth = json.load(open(folder + "/truth.json"))
    mapping = folder + "/map.yaml"
    out = json.loads(run(o.kith, "rules", "--mapping", mapping, "--dead-letters", "none", "--max-length", "2", "--min-support", str(o.support),
                         "--min-lift", "1", "--min-confidence", "0.1", "--per", "visit", "-n", "0", "-o", "json"))
    planted = {frozenset((r["if"], r["then"])): r for r in truth["rules"]}
    ranked = []
    for r in out["shown"]:
        pair = frozenset(r["if"] + [r["then"]])
        if pair not in ranked[-1:]:
            ranked.append(pair)
    ranked = list(dict.fromkeys(ranked))
    first = sum(p in planted for p in ranked[:len(planted)])
    both = sum(p in planted for p in ranked)
    confidence = {(r["if"][0], r["then"]): r["confidence"] for r in out["shown"]}
    errors = [abs(confidence[r["if"], r["then"]] - r["confidence"]) for r in truth["rules"] if (r["if"], r["then"]) in confidence]
    chain = json.loads(run(o.kith, "next", "--mapping", mapping, "--dead-letters", "none", "-o", "json"))
    funnel, states = truth["config"]["funnel"], chain["states"]
    differences = []
    for name in ("view", "search"):
        row = chain["next"][states.index(name)]
        for to in states:
            want = funnel[name].get("exit" if to == "end" else to, 0)
            if to != "cancel":
                differences.append(abs(row[states.index(to)] - want))
    n = len(planted)
    return n, first / n, both / n, sum(errors) / max(1, len(errors)), max(differences), sum(differences) / len(differences)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kith", default="./kith")
    p.add_argument("--users", type=int, default=20000)
    p.add_argument("--items", type=int, default=1000)
    p.add_argument("--events", type=int, default=1000000)
    p.add_argument("--support", type=float, default=10)
    p.add_argument("--seeds", default="1,2,3")
    o = p.parse_args()
    print("| seed | planted rules | among the first by lift (precision = recall) | among all (recall) | mean error of confidence | chain: largest error | mean error |")
    print("|---|---|---|---|---|---|---|")
    for seed in o.seeds.split(","):
        with tempfile.TemporaryDirectory() as folder:
            n, first, both, error, largest, mean = shop(o, int(seed), folder + "/shop")
        print(f"| {seed} | {n} | {first:.3f} | {both:.3f} | {error:.3f} | {largest:.4f} | {mean:.4f} |")


if __name__ == "__main__":
    main()
