#!/bin/bash
# `train` and `data build` without CONFIG: what is chosen for a text, what a user's own choices do to
# it, and a whole run.
# usage: fitted_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus

# says PATTERN: the log of the last command has such a line.
says() { grep -qE "$1" "$err" || fail "no '$1' in: $(cat "$err")"; }
says_not() { ! grep -qE "$1" "$err" || fail "'$1' in: $(cat "$err")"; }
# config KEY: the value of a key in the config of the run in runs/fitted.
config() {
  python3 - "$1" <<'PY'
import json, sys
value = json.load(open("runs/fitted/config.json"))
for key in sys.argv[1].split("."): value = value[key]
print(json.dumps(value))
PY
}

# --- a short text: characters, few steps' worth of a run, and the baseline at the end.
succeeds train --train train.txt --max-steps 20 --threads 1 --set train.eval_every=10 \
  --set 'model.blocks=[{"layers":[{"kernel":2,"channels":8}]}]' --out runs/fitted
says '^no CONFIG: chosen for 6.0kB of text and 1 CPUs; --set KEY=JSON changes any'
says 'tokens: characters, .*tokenizer\.type'
says 'for comparison: the frequencies of the tokens alone give [0-9.]+ nats per token'
[ "$(config tokenizer.type)" = '"char"' ] || fail "tokens: $(config tokenizer.type)"
# What was set stands, and is not spoken of.
says_not 'model\.blocks|--max-time'
[ "$(config train.max_steps) $(config train.max_time) $(config train.max_epochs)" = '20 null null' ] ||
  fail "limits: $(config train)"
[ "$(config train.eval_every)" = 10 ] || fail "eval_every: $(config train.eval_every)"
[ "$(config model.blocks)" = '[{"layers": [{"kernel": 2, "channels": 8, "dilation": 1}], "repeat": 1}]' ] ||
  fail "blocks: $(config model.blocks)"
# A resume needs no CONFIG and chooses nothing anew.
succeeds train --resume --out runs/fitted --max-steps 25
says_not 'no CONFIG'

# --- a learning rate is chosen for the preset's optimizer alone.
succeeds train --train train.txt --threads 1 --max-steps 2 --out runs/fitted --overwrite
[ "$(config optimizer.lr)" = 0.008 ] || fail "lr of adamw: $(config optimizer)"
succeeds train --train train.txt --threads 1 --max-steps 2 --set optimizer.type=nag \
  --out runs/fitted --overwrite
[ "$(config optimizer.lr)" = 0.004 ] || fail "lr of nag: $(config optimizer)"

# --- a key inside an object is set, its neighbours are not.
succeeds train --train train.txt --threads 1 --set 'train={"seed":3}' --dry-run
says 'duration: 3m00s, or 40 passes'
succeeds train --train train.txt --threads 1 --max-time 77s --dry-run
says 'duration: 1m17s, or 40 passes'
succeeds train --train train.txt --threads 1 --set tokenizer.vocab_size=400 --max-steps 2 --dry-run
says 'tokens: pieces of words'
succeeds train --train train.txt --threads 1 --set model.blocks.0.repeat=1 --max-steps 2 --dry-run
says_not 'model\.blocks'

# --- bytes that are not UTF-8.
printf 'caf\xe9 and more\nanother line\n%s\n' "$(cat train.txt)" >latin.txt
refuses 65 'latin\.txt: offset 3: .*--invalid-utf8' train --train latin.txt --dry-run
succeeds train --train latin.txt --invalid-utf8 replace --max-steps 2 --dry-run
says 'tokens: characters'
succeeds train --train latin.txt --invalid-utf8 bytes --max-steps 2 --dry-run
says 'tokens: bytes'

# --- data build prepares what train will want.
rm -rf cache
succeeds data build --train train.txt --set data.cache_dir=cache
before=$(cd cache && echo *)
succeeds train --train train.txt --set data.cache_dir=cache --max-steps 2 --threads 1 \
  --set 'model.blocks=[{"layers":[{"kernel":2,"channels":8}]}]' --out runs/built
[ "$(cd cache && echo *)" = "$before" ] || fail "train encoded anew: $before, then $(cd cache && echo *)"

refuses 66 'missing' train --train missing
refuses 2 'no training text' train --set train.seed=2
finish
