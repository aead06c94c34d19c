#!/bin/bash
# End to end: lines mode, in which each line stands for itself. usage: lines_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus
# A line that is longer than a window of the evaluation, empty ones, and no last line end.
{
  head -c 700 valid.txt
  for _ in $(seq 60); do printf 'and so it goes on and on '; done
  printf '\n\n\nthe end'
} >mixed.txt
mv mixed.txt valid.txt
lines=(--set data.mode=lines)

# figure KEY: of `eval --json`.
figure() { python3 -c "import json, sys; print(json.load(open('$out'))['$1'])"; }
# close_to A B TOLERANCE: relative.
close_to() { python3 -c "import sys; a, b, t = map(float, sys.argv[1:]); sys.exit(abs(a / b - 1) > t)" "$@"; }

succeeds train tiny.json "${lines[@]}" --out run --max-steps 60
grep -q '^training: 60 steps of at most 64 tokens, ' "$err" || fail "announced: $(cat "$err")"
best=$(sed -n 's/^done: .*best: step [0-9]*, \([0-9.]*\) nats per token.*/\1/p' "$err")

# --- The validation of a run is what `eval` says of the same text.
succeeds eval run valid.txt --json
[ "$(figure mode)" = lines ] || fail "mode: $(cat "$out")"
[ "$(printf '%.4f' "$(figure nats_per_token)")" = "$best" ] ||
  fail "validated as $best, evaluated as $(figure nats_per_token)"
[ "$(figure tokens)" = $(($(wc -m <valid.txt) + 1)) ] || fail "tokens: $(cat "$out")"
total=$(figure nll_nats_total)
succeeds eval run valid.txt
grep -q '^context  *each line alone; ' "$out" || fail "report: $(cat "$out")"

# --- Lines alone: their order is nothing to them, and it is to a stream.
echo >>valid.txt
LC_ALL=C sort valid.txt >sorted.txt
succeeds eval run sorted.txt --json
close_to "$(figure nll_nats_total)" "$total" 1e-6 || fail "sorted: $(figure nll_nats_total), not $total"
succeeds eval run valid.txt --mode stream --json
[ "$(figure mode)" = stream ] || fail "mode: $(cat "$out")"
stream=$(figure nll_nats_total)
close_to "$stream" "$total" 1e-4 && fail "a stream costs what lines do: $stream"
succeeds eval run sorted.txt --mode stream --json
close_to "$(figure nll_nats_total)" "$stream" 1e-4 && fail "a stream does not see its order"
# Line by line, the sum is the same.
while IFS= read -r line; do
  printf '%s\n' "$line" >one.txt
  [ -n "$line" ] || continue  # nothing but line ends is refused as a text
  succeeds eval run one.txt --json
  figure nll_nats_total
done <sorted.txt >"$scratch/sums"
printf 'x\n\n' >empty.txt
succeeds eval run empty.txt --json
with=$(figure nll_nats_total)
printf 'x\n' >empty.txt
succeeds eval run empty.txt --json
python3 - "$scratch/sums" "$total" "$with" "$(figure nll_nats_total)" "$(grep -c '^$' sorted.txt)" <<'PY' ||
import sys
sums, total, with_empty, without, empty = sys.argv[1], *map(float, sys.argv[2:])
alone = sum(map(float, open(sums))) + empty * (with_empty - without)
sys.exit(abs(alone / total - 1) > 1e-6)
PY
  fail "line by line the text costs something else"
refuses 2 '--mode: expected one of stream, lines, found "line"' eval run valid.txt --mode line

# --- A stream model scores lines too.
succeeds train tiny.json --out stream --max-steps 10
succeeds eval stream valid.txt --json
[ "$(figure mode)" = stream ] || fail "mode of a stream model: $(cat "$out")"
succeeds eval stream valid.txt --mode lines --json
[ "$(figure mode)" = lines ] || fail "mode asked for: $(cat "$out")"

# --- What a model of lines writes: a line, which its prompt begins.
generated() {
  succeeds generate run -n 400 "$@"
  cp "$out" "$scratch/generated"
}
generated --seed 3 --num-samples 30 --json
python3 - "$scratch/generated" <<'PY' || fail "lines that end: $(head -c 1000 "$scratch/generated")"
import json, sys
samples = [json.loads(line) for line in open(sys.argv[1])]
ended = [sample for sample in samples if sample["finish_reason"] == "end"]
assert len(ended) >= 5, [sample["finish_reason"] for sample in samples]
assert all("\n" not in sample["text"] for sample in samples)
PY
generated --seed 3 --prompt 'the end'
mv "$scratch/generated" "$scratch/reference"
printf 'the end\n' >prompt.txt
generated --seed 3 --prompt-file prompt.txt
cmp -s "$scratch/generated" "$scratch/reference" || fail "the line end of a prompt's file counts"
generated --seed 3 --prompts prompt.txt
sed 1d "$scratch/generated" | cmp -s - "$scratch/reference" || fail "--prompts: the same line"
printf 'and so\nthe end\n' >prompt.txt
refuses 65 '^error: prompt\.txt: offset 6: a line end \(expected one line.*found 2\); --prompts' \
  generate run --prompt-file prompt.txt
refuses 65 '^error: --prompt: offset 7: a line end' generate run --prompt $'the end\n'
printf 'the end\nthe end' |
  "$sluice" generate run --interactive -n 5 --temperature 0 >"$out" 2>"$err" ||
  fail "--interactive: $(cat "$err")"
[ "$(sort -u "$out" | wc -l)" = 1 ] || fail "a line depends on the one before: $(cat "$out")"

# --- Epochs, and texts that are shorter than a window of a stream.
printf 'a b\n\nc a\nb\n' >short.txt
succeeds train tiny.json "${lines[@]}" --train short.txt --set train.max_steps=null \
  --set train.max_epochs=3 --out short
grep -q '^done: 3 steps in ' "$err" || fail "three epochs of four lines: $(cat "$err")"
succeeds train tiny.json "${lines[@]}" --dry-run --out dry
grep -q '^steps  *30 of at most 64 tokens$' "$out" || fail "dry run: $(cat "$out")"
refuses 2 'data\.mode: cannot change' train --resume --out run --max-steps 70 \
  --set data.mode=stream

finish
