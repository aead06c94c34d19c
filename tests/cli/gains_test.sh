#!/bin/bash
# End to end: `eval --cache` and `--dynamic`, whose figures stand beside the plain ones.
# usage: gains_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus
succeeds train tiny.json --out run
for _ in $(seq 60); do head -n 3 valid.txt; done >again.txt
# figures NAME: those of the last run, in a file; whatever changes from run to run left out.
figures() { python3 - "$out" <<'PY' >"$1"
import json, sys
figures = json.load(open(sys.argv[1]))
for key in ("seconds", "tokens_per_second"):
    figures.pop(key)
for key, value in figures.items():
    print(key, json.dumps(value))
PY
}
check() { python3 - || fail "$1: $(cat "$out")"; }
figure() { python3 -c "import json; print(json.load(open('$out'))$1)"; }

# --- The plain figures, to the bit, and new keys only where they were asked for.
succeeds eval run again.txt --json
figures plain
grep -qE '^(cache|dynamic) ' plain && fail "not asked for: $(cat plain)"
for options in '--cache 200' '--cache 200,0.5,0.1' '--dynamic 0.1' \
  '--dynamic 0.1,0.01,16 --cache 50,0.5,0.1'; do
  # shellcheck disable=SC2086  # words of a command line
  succeeds eval run again.txt --json $options
  figures with
  grep -vE '^(cache|dynamic) ' with | cmp -s - plain || fail "$options: $(diff plain with)"
  [ "$(grep -cE '^(cache|dynamic) ' with)" = "$(grep -o -- -- <<<"$options" | wc -l)" ] ||
    fail "$options: $(cat with)"
done
check both <<PY
import json, math
figures = json.load(open("$out"))
dynamic, cache = figures["dynamic"], figures["cache"]
assert [dynamic[k] for k in ("lr", "decay", "segment")] == [0.1, 0.01, 16], dynamic
assert [cache[k] for k in ("size", "theta", "lambda")] == [50, 0.5, 0.1], cache
assert cache["over"] == "dynamic" and not cache["tuned_here"], cache
for gain in dynamic, cache:
    nats = gain["nll_nats_total"]
    assert gain["perplexity"] == math.exp(nats / figures["tokens"])
    assert gain["nats_per_token"] == nats / figures["tokens"]
    assert math.isclose(gain["bits_per_byte"], nats / figures["bytes"] / math.log(2))
    assert 0 < gain["perplexity_stderr"] < gain["perplexity"]
assert dynamic["perplexity"] < figures["perplexity"]
assert cache["nll_nats_total"] != dynamic["nll_nats_total"]
PY
succeeds eval run again.txt --json --cache 200,0.5,0
[ "$(figure '["cache"]["nll_nats_total"]')" = "$(figure '["nll_nats_total"]')" ] ||
  fail "lambda 0: $(cat "$out")"

# --- What does not depend on threads, and does not touch the model.
before=$(tree_hash run)
for threads in 1 2 3; do
  succeeds eval run again.txt --json --dynamic 0.1,0.01 --cache 300 --threads $threads
  figure '["cache"]' >>cache
done
[ "$(sort -u cache | wc -l)" = 1 ] || fail "threads change the figures: $(cat cache)"
[ "$(tree_hash run)" = "$before" ] || fail "an evaluation changes the run"

# --- From validation to test: what is found is printed as the option to take.
succeeds eval run again.txt --json --cache 200
found=$(figure '["cache"]["nll_nats_total"]')
succeeds eval run again.txt --cache 200
tail -n 1 "$out" | grep -qE '^ +--cache 200,[0-9.]+,[0-9.]+$' || fail "tuned: $(cat "$out")"
option=$(tail -n 1 "$out")
# shellcheck disable=SC2086
succeeds eval run again.txt --json $option
python3 -c "import sys; sys.exit(abs($found / $(figure '["cache"]["nll_nats_total"]') - 1) > 1e-6)" ||
  fail "$option is not what was found: $(cat "$out")"
python3 -c "import sys; sys.exit(not $found < 0.9 * $(figure '["nll_nats_total"]'))" ||
  fail "a text that says the same again does not gain: $(cat "$out")"
# shellcheck disable=SC2086
succeeds eval run again.txt --dynamic 0.1 $option
grep -qE '^perplexity +[0-9.]+ ± [0-9.]+$' "$out" || fail "plain: $(cat "$out")"
grep -qE '^dynamic +[0-9.]+ ± [0-9.]+ \(-[0-9.]+ %\), .*; lr 0\.1, decay 0\.0, ' "$out" ||
  fail "dynamic: $(cat "$out")"
tail -n 1 "$out" | grep -qE '^dynamic \+ cache +[0-9.]+ ± [0-9.]+ \(-[0-9.]+ %\), .* 200 tokens, ' ||
  fail "dynamic + cache: $(cat "$out")"

# Segments of one token have no hidden vectors to compare, the window that they come from has.
succeeds eval run again.txt --json --cache 200 --dynamic 0,0,1
python3 -c "import sys; sys.exit(not $(figure '["cache"]["theta"]') > 0)" ||
  fail "no theta found: $(cat "$out")"

# --- What is refused.
for option in '' 0 1.5 1000001 x '200,' 200,1 200,1,0.1,4 200,1,0.1,; do
  refuses 2 '^error: --cache(: SIZE)?: expected ' eval run again.txt "--cache=$option"
done
refuses 2 '^error: --cache: THETA: expected a number from 0 to ' eval run again.txt --cache 9,nan,0.1
refuses 2 '^error: --cache: THETA: .* found "-1"' eval run again.txt --cache 9,-1,0.1
refuses 2 '^error: --cache: LAMBDA: .* found "1"' eval run again.txt --cache 9,1,1
refuses 2 '^error: --dynamic: LR: expected ' eval run again.txt --dynamic=
refuses 2 '^error: --dynamic: LR: .* found "inf"' eval run again.txt --dynamic inf
refuses 2 '^error: --dynamic: DECAY: .* found "1"' eval run again.txt --dynamic 0.1,1
refuses 2 '^error: --dynamic: SEGMENT: .* found "0"' eval run again.txt --dynamic 0.1,0,0
refuses 2 '^error: --dynamic: expected LR, ' eval run again.txt --dynamic 0.1,0,8,9
refuses 2 '^error: --dynamic and --weights bf16: ' eval run again.txt --dynamic 0.1 --weights bf16
for option in '--cache 9' '--dynamic 0.1'; do
  # shellcheck disable=SC2086
  refuses 2 "^error: ${option% *}: .*\\(expected mode stream, found lines\\); --mode stream " \
    eval run again.txt --mode lines $option
done
refuses 76 '^error: dynamic evaluation: .* with lr 1000000 \(expected a number\); take a smaller one$' \
  eval run again.txt --dynamic 1000000

finish
