#!/usr/bin/env bash
# Measure how long answers take, alone and while builds run, on a cluster of this machine.
#
#   scripts/bench-queries.sh [-n SERVERS] [-s SCALE] [-r RATE] [-b BUILDS] [-- FLAGS OF kith bench query]
#
# SERVERS is 1 (default), 3 or 5, SCALE that of the matrix shop (default 0.1: 97,433 users, 50,000 items, 2,000,000 events), RATE in queries
# a second (default 50), BUILDS how often it is measured (default 3). Clients and servers share the processors. KITH_BIN names
# another kith to compare with. Everything that it starts and writes is gone when it ends.
set -euo pipefail
cd "$(dirname "$0")/.."

servers=1 scale=0.1 rate=50 builds=3
while getopts 'n:s:r:b:h' flag; do
	case $flag in
	n) servers=$OPTARG ;;
	s) scale=$OPTARG ;;
	r) rate=$OPTARG ;;
	b) builds=$OPTARG ;;
	*)
		sed -n '2,8s/^# \{0,1\}//p' "$0"
		exit 2
		;;
	esac
done
shift $((OPTIND - 1))

make build >&2
kith=${KITH_BIN:-bin/kith}
work=$(mktemp -d)
port=17801
cluster=
stop() {
	trap - EXIT INT TERM
	[ -z "$cluster" ] || kill "$cluster" 2>/dev/null || true
	wait || true
	rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

bin/kith bench neighbors --kind shop --scale "$scale" --runs 0 --write "$work/events.csv" >&2
cut -d, -f1 "$work/events.csv" | tail -n +2 | sort -un >"$work/users.txt"

addrs=
for ((i = 0; i < servers; i++)); do
	addrs+=${addrs:+,}127.0.0.1:$((port + 10 * i))
done
KITH_BIN=$kith scripts/local-cluster.sh -n "$servers" -d "$work/data" -p "$port" -- --partitions 8 >"$work/cluster" 2>&1 &
cluster=$!
until grep -q 'is ready' "$work/cluster"; do
	kill -0 "$cluster" 2>/dev/null || {
		cat "$work/cluster" >&2
		exit 1
	}
	sleep 0.2
done
"$kith" ingest --addr "$addrs" "$work/events.csv" --columns user=user,item=item,value=weight --behavior purchase >&2
"$kith" build --addr "$addrs" --wait >/dev/null
for ((b = 0; b < builds; b++)); do
	# Another K each time, or the cluster has nothing to build.
	bin/kith bench query --addr "$addrs" --keys "$work/users.txt" --rate "$rate" --beside-build -k $((51 + b)) --timeout 5s "$@"
done
