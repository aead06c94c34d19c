#!/bin/bash
# End to end: a tiny run, what it leaves behind, and every command on it.
# usage: train_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus

# check NAME: a Python program on stdin that asserts; its files are in the current directory.
check() {
  python3 - "${@:2}" 2>"$scratch/python" || fail "$1: $(tail -n 3 "$scratch/python")"
}

# --- train
succeeds train tiny.json --out runs/a
[ "$(tail -n 1 "$out")" = runs/a/best.safetensors ] || fail "train prints: $(cat "$out")"
[ "$(wc -l <"$out")" = 1 ] || fail "train prints more than a path: $(cat "$out")"
[ "$(ls runs/a)" = "$(printf '%s\n' best.safetensors checkpoints config.json lock metrics.jsonl \
  train.log)" ] || fail "the run holds: $(ls runs/a)"
[ "$(ls runs/a/checkpoints)" = "$(printf '%s\n' step-00000020.safetensors \
  step-00000030.safetensors)" ] || fail "checkpoints: $(ls runs/a/checkpoints)"
grep -q 'step 30' runs/a/train.log || fail "train.log: $(cat runs/a/train.log)"
grep -qE 'f32 \((avx512|avx2|neon|reference)\) on 1 threads' runs/a/train.log ||
  fail "train.log: $(cat runs/a/train.log)"
prints_same_config() {
  "$sluice" config dump runs/a/config.json >dumped.json && cmp -s dumped.json runs/a/config.json
}
prints_same_config || fail "config.json is not a config dump"
check metrics <<'PY'
import json
rows = [json.loads(line) for line in open("runs/a/metrics.jsonl")]
training = [row for row in rows if "loss" in row]
assert [row["step"] for row in training] == [5, 10, 15, 20, 25, 30], training
assert all(list(row) == ["step", "epoch", "loss", "perplexity", "lr", "grad_norm", "bad_steps",
                         "tokens_per_second", "eta"] for row in training), training[0]
valid = [row for row in rows if "valid_loss" in row]
assert [row["step"] for row in valid] == [10, 20, 30], valid
assert all(list(row) == ["step", "epoch", "valid_loss", "valid_perplexity", "valid_bits_per_byte",
                         "valid_tokens"] for row in valid), valid[0]
assert len(training) + len(valid) == len(rows)
assert training[-1]["loss"] < training[0]["loss"]
assert training[-1]["eta"] == 0 and training[0]["eta"] >= 0
config = json.load(open("runs/a/config.json"))
lr = [0.01 * (step - 0.5) / 3 if step <= 3 else None for step in range(1, 31)]
import math
for row in training:
    q = ((row["step"] - 0.5) / 30 - 0.1) / 0.9
    assert abs(row["lr"] - 0.01 * (1 + math.cos(math.pi * q)) / 2) < 1e-12, row
PY

# --- eval: what the run logged, digit for digit.
succeeds eval runs/a valid.txt --json
cp "$out" eval.json
[ -s "$err" ] && fail "eval --json speaks: $(cat "$err")"
check eval <<'PY'
import json, math
figures = json.load(open("eval.json"))
assert list(figures) == """perplexity perplexity_stderr nll_nats_total nats_per_token tokens
    word_perplexity words bits_per_byte bytes bits_per_char chars lines oov unk_literal
    perplexity_excl_oov mode receptive_field context precision vocab_size lossless step
    files seconds tokens_per_second model_hash data_hash tokenizer_hash version""".split(), list(figures)
rows = [json.loads(line) for line in open("runs/a/metrics.jsonl")]
valid = [row for row in rows if "valid_loss" in row]
best = min(valid, key=lambda row: row["valid_loss"])
same = lambda a, b: abs(a - b) <= 1e-12 * abs(b)
assert same(figures["nats_per_token"], best["valid_loss"]), (figures["nats_per_token"], best)
assert same(figures["perplexity"], best["valid_perplexity"])
assert same(figures["bits_per_byte"], best["valid_bits_per_byte"])
assert figures["step"] == best["step"] and figures["tokens"] == best["valid_tokens"]
text = open("valid.txt", "rb").read()
lines = text.count(b"\n") + (not text.endswith(b"\n"))
assert figures["bytes"] == len(text) and figures["chars"] == len(text)
assert figures["lines"] == lines and figures["words"] == len(text.split())
assert figures["tokens"] == len(text.replace(b"\n", b"")) + lines
nats = figures["nll_nats_total"]
assert same(figures["nats_per_token"], nats / figures["tokens"])
assert same(figures["perplexity"], math.exp(nats / figures["tokens"]))
assert same(figures["word_perplexity"], math.exp(nats / (figures["words"] + lines)))
assert same(figures["bits_per_byte"], nats / len(text) / math.log(2))
assert same(figures["bits_per_char"], nats / len(text) / math.log(2))
assert figures["mode"] == "stream" and figures["precision"] == "f32"
assert figures["context"] is None and figures["receptive_field"] == 5
assert figures["files"] == ["valid.txt"] and figures["unk_literal"] == 0
assert 0 < figures["perplexity_stderr"] < figures["perplexity"]
assert figures["perplexity_excl_oov"] <= figures["perplexity"] or figures["oov"] == 0
PY
same_figures() { # ARGUMENTS...: the same nats, whatever the way the text comes in.
  succeeds eval --json "$@"
  [ "$(grep -o '"nll_nats_total":[^,]*' "$out")" = "$(grep -o '"nll_nats_total":[^,]*' eval.json)" ] ||
    fail "eval $*: $(cat "$out")"
}
for threads in 1 2 3; do same_figures runs/a valid.txt --threads $threads; done
same_figures runs/a/best.safetensors valid.txt
head -n 20 valid.txt >first.txt
tail -n +21 valid.txt >second.txt
same_figures runs/a first.txt second.txt
"$sluice" eval runs/a - --json <valid.txt >"$out" 2>"$err" || fail "eval -: $(cat "$err")"
grep -q "$(grep -o '"nll_nats_total":[^,]*' eval.json)" "$out" || fail "eval -: $(cat "$out")"
succeeds eval runs/a valid.txt
grep -qE '^speed +.* in f32 \((avx512|avx2|neon|reference)\), ' "$out" || fail "eval: $(cat "$out")"
tail -n 1 "$out" | grep -qE '^perplexity +[0-9.]+ ± [0-9.]+$' || fail "eval: $(cat "$out")"
printf 'a€b\n' >oov.txt
succeeds eval runs/a oov.txt --json
check oov <<PY
import json
figures = json.load(open("$out"))
assert figures["oov"] == 1 and figures["tokens"] == 4 and figures["chars"] == 4, figures
assert figures["bytes"] == 6 and not figures["lossless"], figures
assert figures["perplexity_excl_oov"] != figures["perplexity"], figures
PY

# --- generate
generate() {
  succeeds generate runs/a "$@"
  cp "$out" generated
}
generate --seed 7 -n 50 --prompt To
cp generated reference
[ "$(wc -m <generated)" -ge 50 ] || fail "generate writes too little: $(cat generated)"
for threads in 1 2 3; do
  generate --seed 7 -n 50 --prompt To --threads $threads
  cmp -s generated reference || fail "generate --threads $threads differs"
done
generate --seed 8 -n 50 --prompt To
cmp -s generated reference && fail "another seed writes the same"
generate --seed 7 -n 50 --prompt ROMEO
cmp -s generated reference && fail "another prompt makes no difference"
generate --seed 7 -n 50 --prompt To --echo
{ printf To && cat reference; } | cmp -s - generated || fail "--echo: $(cat generated)"
printf To >prompt.txt
generate --seed 7 -n 50 --prompt-file prompt.txt
cmp -s generated reference || fail "--prompt-file differs"
"$sluice" generate runs/a --seed 7 -n 50 --prompt-file - <prompt.txt >generated 2>"$err"
cmp -s generated reference || fail "a prompt on stdin differs: $(cat "$err")"
generate -n 40 --temperature 0
cp generated greedy
generate -n 40 --temperature 0 --threads 1
cmp -s generated greedy || fail "temperature 0 is not greedy"
generate --seed 3 -n 40 --top-k 1
cmp -s generated greedy || fail "top-k 1 is not greedy"
generate --seed 3 -n 40 --top-p 1e-9
cmp -s generated greedy || fail "a tiny top-p is not greedy"
generate -n 0 --prompt To
printf '\n' | cmp -s - generated || fail "-n 0: $(cat generated)"
generate -n 0 --prompt To --echo
printf 'To\n' | cmp -s - generated || fail "-n 0 --echo: $(cat generated)"
generate --seed 7 -n 50 --prompt $'To\n' --json
generate --seed 7 -n 50 --prompt To --json
check 'generate --json' <<'PY'
import json
sample = json.load(open("generated"))
assert list(sample) == "prompt text tokens logprob_nats finish_reason seed seconds".split()
assert sample["prompt"] == "To" and sample["tokens"] == 50 and sample["seed"] == 7
assert sample["finish_reason"] == "length" and sample["logprob_nats"] < 0
assert sample["text"] + "\n" == open("reference").read()
PY
"$sluice" generate runs/a -n 3 >first 2>"$err" && "$sluice" generate runs/a -n 3 --seed 1 >"$out"

# A byte model writes whole characters, whatever it has learnt.
succeeds train tiny.json --out runs/bytes --set tokenizer.type=byte --max-steps 1
succeeds generate runs/bytes --seed 3 -n 500 --temperature 2
check 'UTF-8' <<PY
text = open("$out", "rb").read().decode("utf-8")
assert len(text) > 100 and "\ufffd" in text, text
PY
succeeds eval runs/bytes oov.txt --json
grep -q '"oov":0.*"lossless":true' "$out" || fail "a byte model has every form: $(cat "$out")"
# A word model joins words by spaces and ends lines.
succeeds train tiny.json --out runs/words --set tokenizer.type=word --max-steps 1
succeeds generate runs/words --seed 3 -n 30 --prompt 'the king' --echo
grep -qE '^the king( |$)' "$out" || fail "words: $(cat "$out")"
succeeds generate runs/words --seed 3 -n 3 --prompt 'the xyzzy'
grep -q '^warning: 1 words of the prompt' "$err" || fail "unknown word: $(cat "$err")"

# --- info
token_file=$(find "$scratch/cache/sluice" -type f | head -n 1)
check 'info --json' "$sluice" "$token_file" <<'PY'
import json, subprocess, sys
def info(*arguments):
    return json.loads(subprocess.check_output([sys.argv[1], "info", *arguments, "--json"]))
run, model = info("runs/a"), info("runs/a/best.safetensors")
facts = run.pop("run")
assert run == model and model["kind"] == "model"
assert facts == {"directory": "runs/a", "steps_done": 30, "checkpoints": 2,
                 "last_checkpoint": "runs/a/checkpoints/step-00000030.safetensors",
                 "best": "runs/a/best.safetensors"}, facts
last = info("runs/a", "--which", "last")
assert last.pop("run") == facts
assert last["kind"] == "checkpoint" and last["step"] == 30 and last["bad_steps"] == 0
assert last == info("runs/a/checkpoints/step-00000030.safetensors")
assert last["tensors"] == model["tensors"] and last["samples"] == 30 * 4
figures = json.load(open("eval.json"))
for key in ["model_hash", "tokenizer_hash", "vocab_size", "receptive_field", "step"]:
    assert model[key] == figures[key], key
assert model["config"] == json.load(open("runs/a/config.json"))
product = 0
for tensor in model["tensors"]:
    size = 1
    for extent in tensor["shape"]: size *= extent
    product += size
assert model["parameters"] == product
tokens = info(sys.argv[2])
assert tokens["kind"] == "tokens" and tokens["tokens"] > 0 and tokens["lines"] > 0
PY
for what in runs/a runs/a/best.safetensors runs/a/checkpoints/step-00000020.safetensors "$token_file"; do
  succeeds info "$what"
  grep -q '^kind ' "$out" || fail "info $what: $(cat "$out")"
done

# --- The files are plain safetensors: names and shapes as documented.
check safetensors <<'PY'
import json, struct
def header(path):
    file = open(path, "rb").read()
    (length,) = struct.unpack("<Q", file[:8])
    return json.loads(file[8 : 8 + length]), file[8 + length :]
model, data = header("runs/a/best.safetensors")
metadata = model.pop("__metadata__")
assert metadata["sluice.kind"] == "model" and metadata["sluice.format"] == "1"
assert json.loads(metadata["sluice.config"]) == json.load(open("runs/a/config.json"))
assert json.loads(metadata["sluice.state"])["step"] in (10, 20, 30)
vocabulary = model.pop("sluice.permutation")["shape"][0]
tokenizer = model.pop("sluice.tokenizer")
begin, end = tokenizer["data_offsets"]
assert tokenizer["dtype"] == "U8" and b"char" in data[begin:end].split(b"\n")[0]
shapes = {name: tensor["shape"] for name, tensor in model.items()}
expected = {"embedding.weight": [vocabulary, 6], "output.weight": [vocabulary, 8],
            "output.bias": [vocabulary], "input_projection.weight_v": [1, 6, 8],
            "input_projection.weight_g": [8], "input_projection.bias": [8]}
for block in range(2):
    conv = f"blocks.{block}.layers.0.conv."
    expected |= {conv + "weight_v": [3, 8, 16], conv + "weight_g": [16], conv + "bias": [16]}
assert shapes == expected, shapes
assert all(tensor["dtype"] == "F32" for tensor in model.values())
checkpoint, _ = header("runs/a/checkpoints/step-00000030.safetensors")
assert checkpoint["__metadata__"]["sluice.kind"] == "checkpoint"
names = {name: tensor["shape"] for name, tensor in checkpoint.items() if "." in name}
for name, shape in expected.items():
    assert names[name] == names["optimizer.0." + name] == names["optimizer.1." + name] == shape
assert len(checkpoint) == 3 * len(expected) + 3
PY

# --- Without validation text, and other ways to say the same thing.
succeeds train --train train.txt --out runs/split --set model.embedding_dim=4 \
  --set 'model.blocks=[{"layers": [{"kernel": 2, "channels": 4}]}]' --set data.tokens_per_sample=8 \
  --set data.batch_size=2 --max-steps 3 --seed 5 --threads 2
grep -q 'no validation text: the last 5 %' "$err" || fail "the split is not told: $(cat "$err")"
succeeds train tiny.json --max-steps 2
[ "$(cat "$out")" = runs/tiny/best.safetensors ] || fail "default directory: $(cat "$out")"
succeeds train tiny.json --max-steps 3 --overwrite
grep -q '"step": *3\|"step":3' runs/tiny/metrics.jsonl || fail "overwrite: $(cat runs/tiny/metrics.jsonl)"
grep -q '"step":2,' runs/tiny/metrics.jsonl && fail "an overwritten run's metrics stay"
succeeds train tiny.json -q --out runs/quiet --max-steps 2
[ -s "$err" ] && fail "-q speaks: $(cat "$err")"
echo keep >runs/quiet/notes.txt
succeeds train tiny.json --out runs/quiet --max-steps 1 --overwrite
[ "$(cat runs/quiet/notes.txt)" = keep ] || fail "--overwrite removed a foreign file"
[ "$(ls runs/quiet/checkpoints)" = "$(printf '%s\n' step-00000000.safetensors \
  step-00000001.safetensors)" ] || fail "--overwrite left: $(ls runs/quiet/checkpoints)"
# A limit in time or epochs ends a run too.
succeeds train tiny.json --out runs/epoch --set train.max_steps=null --set train.max_epochs=2
check epochs <<'PY'
import json
rows = [json.loads(line) for line in open("runs/epoch/metrics.jsonl")]
assert rows[-1]["epoch"] >= 2 and rows[-1]["epoch"] < 2.1, rows[-1]
PY
succeeds train tiny.json --out runs/time --set train.max_steps=null --max-time 1s
grep -q 'bounded by time' "$err" || fail "time: $(cat "$err")"
# Divergence: 76, and the checkpoints that are left can be read.
run "$sluice" train tiny.json --out runs/diverged --set optimizer.type=nag --set optimizer.lr=1e6 \
  --set optimizer.clip_norm=0 --set schedule.type=constant --set schedule.warmup=0 \
  --max-steps 1000 --set train.save_every=1 --set train.max_bad_steps=5
check_refusal 76 'runs/diverged: diverged at step [0-9]+: 5 non-finite steps in a row' diverged
succeeds info runs/diverged --which last
for file in runs/diverged/checkpoints/*; do succeeds eval "$file" valid.txt; done

# --- keys without effect are said
succeeds train tiny.json --out runs/idle --set tokenizer.type=byte --set tokenizer.min_count=2
grep -q '^warning: tokenizer.min_count does nothing here' "$err" || fail "idle key: $(cat "$err")"
succeeds train --resume --out runs/idle
grep -q 'this run is finished' "$err" || fail "a finished run: $(cat "$err")"
idle() { # KEY SETTING...: the only warning is that KEY does nothing; none with KEY "".
  local key=$1 arguments=()
  shift
  for setting in "$@"; do arguments+=(--set "$setting"); done
  succeeds train tiny.json --out runs/idle --overwrite --max-steps 1 "${arguments[@]}"
  [ "$(sed -n 's/^warning: \([^ ]*\) does nothing here: .*/\1/p' "$err")" = "$key" ] ||
    fail "idle $*: $(grep '^warning' "$err")"
}
idle '' optimizer.type=sgd optimizer.momentum=0.5 optimizer.weight_decay=0.1 optimizer.decay=all
idle optimizer.betas optimizer.type=nag 'optimizer.betas=[0.8,0.99]'
idle optimizer.eps optimizer.type=sgd optimizer.eps=1e-6
idle optimizer.momentum optimizer.type=adam optimizer.momentum=0.5 optimizer.eps=1e-6
idle optimizer.decay optimizer.decay=all
idle '' schedule.type=plateau schedule.factor=0.1 schedule.patience=1 schedule.min_lr=1e-3
idle '' schedule.type=steps schedule.factor=0.1 'schedule.milestones=[0.5]'
idle schedule.patience schedule.type=steps 'schedule.milestones=[0.5]' schedule.patience=1
idle schedule.milestones schedule.type=plateau 'schedule.milestones=[0.5]'
idle schedule.factor schedule.type=linear schedule.factor=0.1
idle schedule.min_lr schedule.type=constant schedule.min_lr=1e-3
idle model.output.cutoffs model.output.type=softmax 'model.output.cutoffs=[10]'
idle '' model.dropout.tail=0.1 'model.output.cutoffs=[10]'
idle model.dropout.tail model.output.type=softmax model.dropout.tail=0.1
idle model.output.bias 'model.output.cutoffs=[10]' model.output.bias=false
idle '' model.output.type=softmax model.output.bias=false
idle data.valid_fraction data.valid_fraction=0.1
idle schedule.type schedule.type=plateau schedule.patience=2 train.early_stop_evals=3
idle '' schedule.type=plateau schedule.patience=2 train.early_stop_evals=4
idle model.output.tail_div model.output.type=softmax model.output.tail_div=2

finish
