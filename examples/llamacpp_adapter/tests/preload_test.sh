#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# preload_test.sh <program> <preloaded library> <generator>: an unmodified program, with and without the adapter.
set -euo pipefail
program=$1 library=$2 generator=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$generator" "$folder/model.gguf"

fail() {
  echo "preload: $*" >&2
  exit 1
}

plain=$("$program" "$folder/model.gguf")
# What the sanitizers need to be first is found by the program itself; the library after them.
with() { env "$@" LD_PRELOAD="${LD_PRELOAD:+$LD_PRELOAD:}$library" "$program" "$folder/model.gguf"; }

exact=$(with BUDDY_LLAMA_CACHE_RATIO=0.25 BUDDY_LLAMA_EXACT=true BUDDY_LLAMA_REPORT=1 2>"$folder/report")
[[ $exact == "$plain" ]] || fail "exact logits $exact differ from plain ones $plain"
grep -q '^steps *10$' "$folder/report" || fail "the report does not count 10 steps: $(cat "$folder/report")"

printf '{"policy": "live_score", "cache_ratio": 0.25}' >"$folder/policy.json"
changed=$(with BUDDY_LLAMA_CONFIG="$folder/policy.json")
[[ $changed != "$plain" ]] || fail "substitution changed nothing"

status=0
with BUDDY_LLAMA_POLICY=telepathy 2>"$folder/refusal" || status=$?
[[ $status == 4 ]] || fail "an unknown policy must make the context fail; status $status"
grep -q "unknown policy 'telepathy'" "$folder/refusal" || fail "no reason: $(cat "$folder/refusal")"
echo "preload: exact $exact, substituted $changed, unknown policy refused"
