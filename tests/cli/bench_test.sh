#!/bin/bash
# End to end: `bench`, on networks that take a moment.
# usage: bench_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus

# bench ARGUMENTS...: a short benchmark that succeeds and leaves no file.
bench() {
  local before
  before=$(tree_hash .)
  succeeds bench "$@" --seconds 0.1
  [ "$(tree_hash .)" = "$before" ] || fail "bench $*: files changed"
}

bench tiny.json --set tokenizer.vocab_size=60 --set 'model.output.cutoffs=[20]' --threads 2
[ "$(awk '{ if (length > n) n = length } END { print n }' "$out")" -le 80 ] ||
  fail "more than 80 columns: $(cat "$out")"
grep -q '^network  *tiny\.json: .*vocabulary 60$' "$out" || fail "no network: $(cat "$out")"
grep -q 'threads: 2$' "$out" || fail "not two threads: $(cat "$out")"
for row in forward 'softmax forward' 'softmax backward' backward norm update step window token; do
  grep -qE "^  $row +[0-9.]+ ms +[0-9.]+ %$" "$out" || fail "no row $row: $(cat "$out")"
done
for row in training evaluation generation; do
  grep -qE "^$row +[0-9.]+ +[0-9.]+ G(FLOP|B)/s +[0-9.]+ %$" "$out" ||
    fail "no rate of $row: $(cat "$out")"
done
# How far it is, on stderr only.
grep -q '| training$' "$err" || fail "no progress: $(cat "$err")"
bench bench/tiny -q --set 'model.blocks=[{"layers":[{"kernel":2,"channels":16}]}]' \
  --set data.batch_size=2 --set data.tokens_per_sample=8
[ -s "$err" ] && fail "-q: $(cat "$err")"

# figures PYTHON: holds for the JSON form just printed, `r`.
figures() {
  [ "$(wc -l <"$out")" = 1 ] || fail "not one line: $(cat "$out")"
  python3 -c "
import json, sys
r = json.load(open(sys.argv[1]))
$1" "$out" 2>"$scratch/python" || fail "$(tail -n 2 "$scratch/python"): $(cat "$out")"
}
bench tiny.json --json --set tokenizer.vocab_size=60 --set 'model.output.cutoffs=[20]' \
  --set train.threads=2 --set train.accumulate_steps=3 --set data.mode=lines
figures '
rates = [r[k] for k in ("train_tokens_per_second", "eval_tokens_per_second",
    "generate_tokens_per_second", "train_flops_per_second", "eval_flops_per_second",
    "peak_flops_per_second", "generate_bytes_per_second", "weights_bytes_per_second",
    "memory_bytes_per_second")]
assert all(0 < rate < 1e15 for rate in rates)
assert r["train_flops_per_second"] < r["peak_flops_per_second"]
assert r["eval_flops_per_second"] < r["peak_flops_per_second"]
assert r["generate_bytes_per_second"] < r["weights_bytes_per_second"]
assert r["precision"] == "f32" and r["threads"] == 2 and r["backend"] and r["peak_instructions"]
assert (r["vocab_size"], r["batch_size"], r["tokens_per_sample"], r["accumulate_steps"]) == (60, 4, 16, 3)
near = lambda a, b: abs(a - b) <= 1e-6 * b
train, evaluation, generation = r["train_ms"], r["eval_ms"], r["generate_ms"]
assert list(train["phases"]) == ["forward", "softmax_forward", "softmax_backward", "backward",
                                 "norm", "update"]
assert all(0 < ms < train["step"] for ms in train["phases"].values())
assert near(r["train_tokens_per_second"], 3 * 4 * 16 / train["step"] * 1000)
assert near(r["train_flops_per_second"],
            3 * r["forward_flop_per_token"] * r["train_tokens_per_second"])
assert near(r["eval_tokens_per_second"], evaluation["window_tokens"] / evaluation["window"] * 1000)
assert near(r["generate_tokens_per_second"], 1000 / generation["token"])
assert 0 < r["read_bytes_per_token"] <= r["weight_bytes_per_token"]
assert 0 < r["generate_bytes_per_second"]
assert min(part["repeats"] for part in (train, evaluation, generation)) >= 3'
# The network is that of `info`.
parameters=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["parameters"])' "$out")
succeeds info --config tiny.json --vocab 60 --set 'model.output.cutoffs=[20]'
grep -qE "^total +$parameters " "$out" || fail "$parameters parameters: $(grep '^total' "$out")"

# Words are written with weights of fewer bits.
for weights in bf16 int8; do
  bench tiny.json --json --set tokenizer.vocab_size=60 --weights $weights
  figures "assert r['weights'] == '$weights' and r['precision'] == 'f32'
assert 0 < r['generate_bytes_per_second'] < r['weights_bytes_per_second']"
done
bench tiny.json --set tokenizer.vocab_size=60 --weights int8
grep -q '^generation: a token of one text, weights int8, ' "$out" || fail "no int8: $(cat "$out")"

# --threads wins over the config; a byte tokenizer has a vocabulary of its own; "auto" cutoffs are
# chosen for the words that are drawn.
bench tiny.json --json --set tokenizer.type=byte --set train.threads=2 --threads 1
figures 'assert r["threads"] == 1 and r["vocab_size"] == 256'
bench tiny.json --set tokenizer.vocab_size=20000 --set model.embedding_dim=64 --threads 1 \
  --set 'model.blocks=[{"layers":[{"kernel":1,"channels":64}]}]'
grep -qE '^cutoffs: \[[0-9]+.*\]$' "$err" || fail "no cutoffs: $(cat "$err")"
# No limit on the length of a run is needed.
bench tiny.json --set tokenizer.type=byte --set train.max_steps=null

# The networks of the published figures.
for network in tiny small medium gcnn8; do
  succeeds config check bench/$network
  succeeds info --config bench/$network
  succeeds config dump "$source_dir/configs/bench/$network.json"
  grep -q '"type": "nag"' "$out" || fail "$network: $(cat "$out")"
done

refuses 2 'bench: CONFIG is required' bench
refuses 2 '^error: tiny\.json: tokenizer\.vocab_size: not known.*--set tokenizer' bench tiny.json
refuses 2 'unknown preset .*did you mean "bench/small"\?$' bench small
refuses 66 '^error: bench/smal: .*did you mean "bench/small"\?$' bench bench/smal
refuses 66 '^error: nothing\.json: ' bench nothing.json
refuses 2 '--seconds: expected' bench bench/tiny --seconds 0
refuses 2 '--weights: expected one of f32, bf16, int8' bench bench/tiny --weights fp8
refuses 2 '--threads: expected' bench bench/tiny --threads -1
refuses 2 'too many arguments' bench bench/tiny bench/small
refuses 2 'model\.output\.cutoffs\.[01]: ' bench bench/small --set tokenizer.vocab_size=3000
refuses 2 'optimizer\.betas: wrong length' bench bench/tiny --set 'optimizer.betas=[0.9]'
refuses 71 'memory' bench bench/tiny --set tokenizer.vocab_size=268000000 \
  --set model.embedding_dim=4096

finish
