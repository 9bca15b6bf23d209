#!/usr/bin/env bash
# Measure models on MovieLens 100K by published protocols, and print the rows of docs/benchmarks/evaluation.md.
#
#   scripts/bench-models/run.sh [-m MODELS] [-t TRIALS] [-s SEEDS] [-p PROTOCOL] FILE
#
# FILE is u.data. MODELS are names as kith evaluate has them (default popularity,itemknn,userknn,hybrid), each tuned with TRIALS settings (default
# 60, 0 for the defaults) for each seed of SEEDS (default "1 2 3"). PROTOCOL is recbole (default), time (the newest fifth of each user), drawn (1+99) or cold. KITH_BIN
# names another kith. Trials are kept in the folder KITH_TRIALS, if it is set, so that more models cost only their own.
set -euo pipefail

models=popularity,itemknn,userknn,hybrid trials=60 seeds='1 2 3' protocol=recbole
while getopts 'm:t:s:p:h' flag; do
	case $flag in
	m) models=$OPTARG ;;
	t) trials=$OPTARG ;;
	s) seeds=$OPTARG ;;
	p) protocol=$OPTARG ;;
	*)
		sed -n '2,9s/^# \{0,1\}//p' "$0"
		exit 2
		;;
	esac
done
shift $((OPTIND - 1))
[[ $# -eq 1 ]] || { echo "want the path of u.data" >&2; exit 2; }
data=$(realpath "$1")
cd "$(dirname "$0")/../.."

case $protocol in
recbole) split=(--split ratio --ratio 0.9 --validation 0.1 --refit=false) ;;
time) split=(--split user-time --ratio 0.8) ;;
drawn) split=(--split leave-one-out --negatives 99) ;;
cold) split=(--split user-cold --ratio 0.8) ;;
*) echo "unknown protocol $protocol, want recbole, time, drawn or cold" >&2; exit 2 ;;
esac

kith=${KITH_BIN:-bin/kith}
[[ -n ${KITH_BIN:-} ]] || make build >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
state=${KITH_TRIALS:-$work}
for seed in $seeds; do
	tune=()
	[[ $trials -eq 0 ]] || tune=(--tune "$trials" --tune-method tpe --state "$state/$protocol-$seed.jsonl")
	"$kith" evaluate --input "$data" --models "$models" "${split[@]}" -n 10 --seed "$seed" \
		"${tune[@]}" -o json >"$work/$seed.json"
done
python3 - "$protocol" "$work" $seeds <<'EOF'
import json, statistics, sys

protocol, work, seeds = sys.argv[1], sys.argv[2], sys.argv[3:]
results = [json.load(open(f"{work}/{seed}.json")) for seed in seeds]
metrics = ["ndcg@10", "recall@10", "mrr@10", "hitrate@10", "precision@10"] + ([] if protocol == "drawn" else ["coverage@10", "novelty@10"])
print("| model | " + " | ".join(m.replace("ndcg", "NDCG") for m in metrics) + " | seconds |")
print("|---" * (len(metrics) + 2) + "|")
for i, model in enumerate(results[0]["models"]):
    runs = [r["models"][i] for r in results]
    cells = []
    for m in metrics:
        means = [x["metrics"][m]["mean"] for x in runs]
        half = statistics.mean((x["metrics"][m]["high"] - x["metrics"][m]["low"]) / 2 for x in runs)
        cells.append(f"{statistics.mean(means):.4f}" + (f" ±{half:.4f}" if half else ""))
    print(f"| {model['name']} | " + " | ".join(cells) + f" | {statistics.mean(x['seconds'] for x in runs):.2g} |")
print()
for r, seed in zip(results, seeds):
    for m in r["models"]:
        if m.get("tuned"):
            print(f"seed {seed}: `{m['tuned']}`, NDCG@10 {m['metrics']['ndcg@10']['mean']:.4f}")
EOF
