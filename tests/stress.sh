#!/usr/bin/env bash
# The long runs at full length, a minute each, one after the other, and a table of
# what was measured. Further arguments choose among them by name:
#
#     tests/stress.sh                       # all, about ten minutes beside the build
#     tests/stress.sh stress::reloads       # those with this in their names
#
# PINGORA_LAB_STRESS is the length in seconds (60), PINGORA_LAB_SEED repeats the
# deaths of an earlier run. Exit code 0: every bound held.
set -uo pipefail
cd "$(dirname "$0")/.."

export PINGORA_LAB_STRESS="${PINGORA_LAB_STRESS:-60}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

[ $# -gt 0 ] || set -- stress:: serve::upgrade::no_request

# Built for speed where the caller says so: STRESS_BUILD=--release tests/stress.sh
# shellcheck disable=SC2086
cargo test --locked ${STRESS_BUILD:-} --test lab -- --test-threads=1 "$@" 2>&1 | tee "$log"
code=$?

echo
echo "run                            | what                                               | measured             | bound"
echo "-------------------------------+----------------------------------------------------+----------------------+------------------"
sed -n 's/.*measured | //p' "$log" | awk -F ' [|] ' '{ printf "%-30s | %-50s | %-20s | %s\n", $1, $2, $3, $4 }'
exit "$code"
