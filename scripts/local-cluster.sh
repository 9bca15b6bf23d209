#!/usr/bin/env bash
# Run a cluster of several kith processes on this machine until Ctrl-C.
#
#   scripts/local-cluster.sh [-n SERVERS] [-d DIR] [-p PORT] [-- FLAGS OF kith server]
#
# SERVERS is 1, 3 or 5 (default 3). Server i listens at PORT+10·i for calls (default PORT 7801: 7801, 7811, 7821); logs and
# data are in DIR (default kith-data), which a later run goes on with. The cluster is ready when the script says so.
set -euo pipefail
cd "$(dirname "$0")/.."

servers=3 dir=kith-data port=7801
while getopts 'n:d:p:h' flag; do
	case $flag in
	n) servers=$OPTARG ;;
	d) dir=$OPTARG ;;
	p) port=$OPTARG ;;
	*)
		sed -n '2,8s/^# \{0,1\}//p' "$0"
		exit 2
		;;
	esac
done
shift $((OPTIND - 1))

kith=${KITH_BIN:-bin/kith}
[ -x "$kith" ] || make build >&2

join=
for ((i = 0; i < servers; i++)); do
	join+=${join:+,}127.0.0.1:$((port + 10 * i + 2))
done

pids=()
stop() {
	trap - EXIT INT TERM
	kill "${pids[@]}" 2>/dev/null || true
	wait "${pids[@]}" 2>/dev/null || true
}
trap stop EXIT
trap 'exit 130' INT TERM

for ((i = 0; i < servers; i++)); do
	at=$((port + 10 * i))
	mkdir -p "$dir/$i"
	"$kith" server --local --data-dir "$dir/$i" --node-id "node-$((i + 1))" \
		--grpc-addr "127.0.0.1:$at" --raft-addr "127.0.0.1:$((at + 1))" --gossip-addr "127.0.0.1:$((at + 2))" \
		--join "$join" --bootstrap-expect "$servers" "$@" 2>>"$dir/$i/log" &
	pids+=($!)
done

until "$kith" status --addr "127.0.0.1:$port" -o json 2>/dev/null | grep -q '"ready": *true'; do
	for pid in "${pids[@]}"; do
		kill -0 "$pid" 2>/dev/null || {
			echo "a server ended; see $dir/*/log" >&2
			exit 1
		}
	done
	sleep 0.2
done
"$kith" status --addr "127.0.0.1:$port"
echo "The cluster is ready: kith ... --addr 127.0.0.1:$port. Ctrl-C stops it."
wait -n "${pids[@]}"
echo "a server ended; see $dir/*/log" >&2
exit 1
