#!/bin/bash
# End to end: new models from older ones, by `train --init` and by `average`; and runs that end by
# the clock or early.
# usage: init_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus

# value KEY JSONFILE: a top-level value of `info --json` or `eval --json`.
value() { python3 -c 'import json, sys; print(json.load(open(sys.argv[2]))[sys.argv[1]])' "$@"; }
# model_hash MODEL [OPTION...]
model_hash() {
  succeeds info "$@" --json
  value model_hash "$out"
}

succeeds train tiny.json --out runs/a
before=$(tree_hash runs/a)

# --- --init: the weights, the tokenizer and the permutation of the model, and nothing else.
tr a-y b-z <train.txt | head -c 3000 >other.txt
succeeds train --init runs/a --train other.txt --out runs/b --max-steps 20
[ "$(cat "$out")" = runs/b/best.safetensors ] || fail "init prints: $(cat "$out")"
grep -qE '^runs/a/best.safetensors: [0-9]+ of [0-9]+ training tokens are outside' "$err" ||
  fail "init: OOV: $(cat "$err")"
grep -q '^initial weights: runs/a/best.safetensors$' "$err" || fail "init: $(cat "$err")"
cp runs/b/checkpoints/step-00000010.safetensors ten.safetensors
[ "$(tree_hash runs/a)" = "$before" ] || fail "--init changed the run that it took from"
same_vocabulary() { # MODEL MODEL
  for key in tokenizer_hash vocab_size; do
    "$sluice" info "$1" --json >one.json && "$sluice" info "$2" --json >two.json
    [ "$(value $key one.json)" = "$(value $key two.json)" ] || fail "$1, $2: another $key"
  done
  python3 - "$1" "$2" <<'PY' || fail "$1, $2: another permutation"
import json, struct, sys
def permutation(path):
    file = open(path, "rb").read()
    (length,) = struct.unpack("<Q", file[:8])
    begin, end = json.loads(file[8 : 8 + length])["sluice.permutation"]["data_offsets"]
    return file[8 + length + begin : 8 + length + end]
sys.exit(permutation(sys.argv[1]) != permutation(sys.argv[2]))
PY
}
same_vocabulary runs/a/best.safetensors runs/b/best.safetensors
"$sluice" info runs/b --which last --json >"$scratch/last" || fail "info runs/b"
[ "$(value step "$scratch/last")" = 20 ] || fail "--init does not begin at step 0"

# Its first checkpoint is the model, and from it the run resumes with the same bits.
succeeds train --init runs/a --train other.txt --out runs/first --max-steps 1
[ "$(model_hash runs/first/checkpoints/step-00000000.safetensors)" = "$(model_hash runs/a)" ] ||
  fail "--init: other weights"
run "$sluice" train --init runs/a --train other.txt --out runs/c --max-steps 20 --stop-after 1e-9
[ "$code" = 75 ] || fail "--stop-after: exit $code: $(cat "$err")"
[ -s "$out" ] && fail "--stop-after prints: $(cat "$out")"
tail -n 1 "$err" | grep -q 'stopped at step 0 .*sluice train --resume --out runs/c$' ||
  fail "--stop-after: $(cat "$err")"
succeeds train --resume --out runs/c --stop-after 1h
[ "$(model_hash runs/c --which last)" = "$(model_hash runs/b --which last)" ] ||
  fail "a resume after --init ends with another model"

# The clock runs from the start of the command: it stops the encoding of a text too.
head -c 2900 other.txt >unseen.txt
refuses 75 '^error: runs/late: stopped before training began; nothing changed$' \
  train tiny.json --train unseen.txt --set tokenizer.type=byte --out runs/late --stop-after 1e-9
rm "$scratch"/cache/sluice/*
refuses 75 'runs/c: stopped before training began; nothing changed$' \
  train --resume --out runs/c --max-steps 25 --stop-after 1e-9
succeeds train --dry-run tiny.json --train unseen.txt --set tokenizer.type=byte --out runs/late \
  --stop-after 1e-9

# With a CONFIG of the same network: its training, its dropout, MODEL's tokenizer.
succeeds train tiny.json --init runs/a --out runs/d --max-steps 2 --set optimizer.type=sgd \
  --set model.dropout.layer=0.3 --set tokenizer.type=byte
grep -q '^tokenizer: that of runs/a/best' "$err" || fail "--init with CONFIG: $(cat "$err")"
same_vocabulary runs/a/best.safetensors runs/d/best.safetensors
grep -q '"layer": 0.3' runs/d/config.json || fail "--init with CONFIG: $(cat runs/d/config.json)"
# What the new run begins with must not go before it has saved anything.
for model in runs/d runs/d/best.safetensors ./runs/../runs/d/checkpoints/step-00000002.safetensors; do
  refuses 2 '^error: --init .*runs/d/.*--overwrite would remove it' \
    train tiny.json --init "$model" --out runs/d --overwrite --max-steps 1
done
cp -a runs/d runs/e
succeeds train tiny.json --init runs/d --out runs/e --overwrite --max-steps 1

# The meaning of <unk> in the text goes with the tokenizer; what belongs to the machine does not.
sed 's/ the / <unk> /g' train.txt >unk.txt
succeeds train tiny.json --train unk.txt --out runs/unk --max-steps 1 --threads 2 \
  --set tokenizer.type=word --set data.unk_in_text=true --set data.cache_dir=elsewhere
[ -d elsewhere ] || fail "data.cache_dir is not used"
rm -r elsewhere
succeeds train tiny.json --init runs/unk --out runs/unk2 --max-steps 1 --set tokenizer.type=word
grep -q '^tokenizer: that of runs/unk/best.*; data\.unk_in_text is true with it$' "$err" ||
  fail "unk_in_text: $(cat "$err")"
grep -q '"unk_in_text": true' runs/unk2/config.json || fail "unk_in_text: $(cat runs/unk2/config.json)"
succeeds train --init runs/unk --train unk.txt --out runs/unk3 --max-steps 1
grep -q '"unk_in_text": true' runs/unk3/config.json || fail "unk_in_text: $(cat runs/unk3/config.json)"
[ ! -e elsewhere ] || fail "--init without CONFIG makes the folder that a model names"
grep -q '"cache_dir": null' runs/unk3/config.json || fail "cache_dir: $(cat runs/unk3/config.json)"
grep -q '"threads": 0' runs/unk3/config.json || fail "threads: $(cat runs/unk3/config.json)"

# The best model is never worse than the one before: that is validated first.
succeeds train tiny.json --init runs/a --out runs/worse --max-steps 3 --set optimizer.type=sgd \
  --set optimizer.lr=100 --set optimizer.clip_norm=0
[ "$(model_hash runs/worse)" = "$(model_hash runs/a)" ] || fail "--init: a worse model is the best"
head -n 1 runs/worse/metrics.jsonl | grep -q '"step":0,.*"valid_loss"' ||
  fail "--init: no validation at step 0: $(cat runs/worse/metrics.jsonl)"

refuses 2 'resume and --init' train --resume --init runs/a --out runs/a
refuses 2 'no training text' train --init runs/a --out new
refuses 66 'missing' train --init missing.safetensors --train other.txt --out new
refuses 65 'other\.txt' train --init other.txt --train other.txt --out new
refuses 2 '^error: model\.embedding_dim: not that of --init runs/a/best.safetensors \(expected 6, found 7\)' \
  train tiny.json --init runs/a --out new --set model.embedding_dim=7
refuses 2 '^error: model\.norm: .*expected "weight", found "none"' \
  train --init runs/a --train other.txt --out new --set model.norm=none
refuses 73 'runs/b: exists' train --init runs/a --train other.txt --out runs/b

# A run without a best model yet: no option that train lacks is named.
cp -a runs/first runs/young
rm runs/young/best.safetensors
refuses 66 'no best model yet.*last checkpoint is runs/young/checkpoints/step-00000001\.safetensors$' \
  train --init runs/young --train other.txt --out new

# "auto" cutoffs are those with which the model began, in a resume and for --init.
succeeds train tiny.json --out runs/cut --max-steps 2 --set 'model.output.cutoffs=[10]'
succeeds train tiny.json --resume --out runs/cut --max-steps 3
grep -q '"cutoffs": \[10\]' runs/cut/config.json || fail "resume: cutoffs: $(cat runs/cut/config.json)"
succeeds train tiny.json --init runs/cut --out runs/cut2 --max-steps 2
grep -q '"cutoffs": \[10\]' runs/cut2/config.json || fail "init: cutoffs: $(cat runs/cut2/config.json)"
refuses 2 '^error: model\.output\.cutoffs\b' train tiny.json --resume --out runs/cut \
  --set 'model.output.cutoffs=[11]'

# --- average
succeeds average runs/a/best.safetensors runs/b ten.safetensors --out mean.safetensors
[ "$(cat "$out")" = mean.safetensors ] || fail "average prints: $(cat "$out")"
[ -s "$err" ] && fail "average speaks: $(cat "$err")"
python3 - mean.safetensors runs/a/best.safetensors runs/b/checkpoints/* ten.safetensors \
  2>"$scratch/python" <<'PY' || fail "average: $(tail -n 2 "$scratch/python")"
import array, json, struct, sys
def tensors(path):
    file = open(path, "rb").read()
    (length,) = struct.unpack("<Q", file[:8])
    header, data = json.loads(file[8 : 8 + length]), file[8 + length :]
    metadata = header.pop("__metadata__")
    return metadata, {name: array.array("f", data[slice(*tensor["data_offsets"])])
                      for name, tensor in header.items() if tensor["dtype"] == "F32"}
(metadata, mean), *others = [tensors(path) for path in sys.argv[1:]]
assert metadata["sluice.kind"] == "model" and len(others) == 4
assert metadata["sluice.config"] == others[-1][0]["sluice.config"]
assert not any(name.startswith("optimizer.") for name in mean), mean.keys()
for name, values in mean.items():
    for i, value in enumerate(values):
        exact = sum(other[1][name][i] for other in others) / len(others)
        assert abs(value - exact) <= 1e-7 * max(1e-3, abs(exact)), (name, i)
PY
succeeds eval mean.safetensors valid.txt
succeeds average runs/a/best.safetensors runs/a/best.safetensors --out same.safetensors
[ "$(model_hash same.safetensors)" = "$(model_hash runs/a)" ] || fail "the mean of one is another"
refuses 73 '^error: same\.safetensors: exists; --overwrite' average runs/a --out same.safetensors
succeeds average runs/a mean.safetensors --out same.safetensors --overwrite
[ "$(model_hash same.safetensors)" = "$(model_hash runs/a)" ] && fail "--overwrite does not"
succeeds average same.safetensors runs/a --out same.safetensors --overwrite
refuses 2 'FILE is required' average --out new
refuses 2 '--out: expected' average runs/a
refuses 2 '--out: expected' average runs/a --out ''
refuses 2 'two or more models, found 1' average mean.safetensors --out new
# The first weights of a run are no model.
refuses 2 'two or more models, found 1; .*not that of step 0' average runs/first --out new
refuses 74 'missing/new: cannot be written' average runs/a other.txt --out missing/new
refuses 66 'missing' average runs/a missing --out new
refuses 65 'other\.txt' average runs/a other.txt --out new
refuses 74 '' average runs/a --out runs --overwrite
refuses 74 '' average runs/a --out missing/new
succeeds train tiny.json --out runs/narrow --max-steps 1 --set model.embedding_dim=5
refuses 65 'narrow/best\.safetensors: model\.embedding_dim: .*expected 6, found 5' \
  average runs/a runs/narrow/best.safetensors --out new
succeeds train tiny.json --out runs/bytes --max-steps 1 --set tokenizer.type=byte
refuses 65 'bytes/best\.safetensors: tokenizer: not that of' \
  average runs/a runs/bytes/best.safetensors --out new
succeeds train tiny.json --out runs/reordered --max-steps 1 --train other.txt --set tokenizer.type=byte
refuses 65 'reordered/best\.safetensors: permutation: not that of' \
  average runs/bytes runs/reordered/best.safetensors --out new

# --- Moving averages: what validated is the best model, and what the last checkpoint evaluates as.
succeeds train tiny.json --out runs/ema --set train.ema_decay=0.9
succeeds eval runs/ema valid.txt --json
python3 - "$out" <<'PY' || fail "the best model of a run with averages is not what it validated"
import json, sys
rows = [json.loads(line) for line in open("runs/ema/metrics.jsonl")]
best = min(row["valid_loss"] for row in rows if "valid_loss" in row)
sys.exit(json.load(open(sys.argv[1]))["nats_per_token"] != best)
PY
succeeds eval runs/ema valid.txt --json --which last
grep -q "\"nats_per_token\":$(tail -n 1 runs/ema/metrics.jsonl | grep -o '"valid_loss":[^,]*' | cut -d: -f2)," \
  "$out" || fail "the last checkpoint of a run with averages: $(cat "$out")"

# --- Early stop: done, saved, said.
succeeds train tiny.json --out runs/early --set optimizer.lr=1e-9 --set train.early_stop_evals=2 \
  --max-steps 1000
[ "$(cat "$out")" = runs/early/best.safetensors ] || fail "early stop prints: $(cat "$out")"
grep -q '^early stop at step 30: no improvement in 2 validations' "$err" ||
  fail "early stop: $(cat "$err")"
ls runs/early/checkpoints | grep -q step-00000030 || fail "early stop: $(ls runs/early/checkpoints)"
succeeds train --resume --out runs/early
grep -q '^this run is finished' "$err" || fail "resumed after an early stop: $(cat "$err")"
succeeds train --resume --out runs/early --set train.early_stop_evals=3
grep -q '^early stop at step 40' "$err" || fail "more patience: $(cat "$err")"

# --- A limit in time is summed over resumes, and said to make a run that cannot be repeated.
run "$sluice" train tiny.json --out runs/time --set train.max_steps=null --max-time 0.6s \
  --stop-after 0.3s
[ "$code" = 75 ] || fail "half of the time: exit $code: $(cat "$err")"
grep -q '^bounded by time: ' "$err" || fail "bounded by time: $(cat "$err")"
grep -q '^bounded by time: ' runs/a/train.log && fail "steps are taken for time"
succeeds train --resume --out runs/time
"$sluice" info runs/time --which last --json >"$scratch/last" || fail "info runs/time"
python3 -c "import sys; sys.exit(not 0.6 <= $(value training_seconds "$scratch/last") < 3)" ||
  fail "max_time: $(value training_seconds "$scratch/last") seconds"

finish
