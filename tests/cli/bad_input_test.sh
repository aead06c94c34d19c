#!/bin/bash
# End to end: whatever is wrong gives one error line and the right exit code, and no file changes.
# usage: bad_input_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus

# flip FILE OFFSET: inverts a byte; a negative offset counts from the end.
flip() {
  python3 - "$1" "$2" <<'PY'
import sys
with open(sys.argv[1], "r+b") as file:
    offset = int(sys.argv[2])
    file.seek(offset, 2 if offset < 0 else 0)
    byte = file.read(1)
    file.seek(-1, 1)
    file.write(bytes([byte[0] ^ 0xFF]))
PY
}

# --- Configs.
train_with() { # CODE PATTERN SETTING...: as an option; nothing is created.
  local code=$1 pattern=$2 arguments=()
  shift 2
  for setting in "$@"; do arguments+=(--set "$setting"); done
  refuses "$code" "$pattern" train tiny.json --out new "${arguments[@]}"
}
train_with 2 'optimizer\.lrr.*did you mean "lr"' optimizer.lrr=0.1
train_with 2 'nonsense.*unknown key' nonsense=1
train_with 2 'set twice' train.seed=1 train.seed=2
train_with 2 'optimizer\.lr.*expected' optimizer.lr=fast
train_with 2 'train\.max_steps.*expected' train.max_steps=2.5
train_with 2 'data\.batch_size.*expected' data.batch_size=0
train_with 2 'model\.dropout\.layer.*expected' model.dropout.layer=1
train_with 2 'train: no limit' train.max_steps=null
train_with 2 'optimizer\.betas' 'optimizer.betas=[0.9]'
train_with 2 'schedule\.warmup: inverse_sqrt .*expected above 0' schedule.type=inverse_sqrt \
  schedule.warmup=0
train_with 2 'schedule\.milestones: empty' schedule.type=steps
train_with 2 'schedule\.milestones\.1: .*expected above 0\.5, found 0\.4' schedule.type=steps \
  'schedule.milestones=[0.5,0.4]'
train_with 2 'schedule\.milestones\.0: .*expected above 0\.1, found 0\.05' schedule.type=steps \
  'schedule.milestones=[0.05]'
train_with 2 'schedule\.milestones\.0: out of range' schedule.type=steps 'schedule.milestones=[1]'
train_with 2 'schedule\.factor: out of range' schedule.type=plateau schedule.factor=1
train_with 2 'schedule\.patience: ' schedule.type=plateau schedule.patience=-1
train_with 2 'train\.ema_decay: out of range' train.ema_decay=1
train_with 2 'train\.early_stop_evals: ' train.early_stop_evals=0
train_with 2 'optimizer\.type: unknown name .*did you mean "adam"' optimizer.type=adan
train_with 2 'schedule\.type: unknown name .*inverse_sqrt' schedule.type=noam
sed 's/"lr"/"lrr"/' tiny.json >mistyped.json
refuses 2 'mistyped\.json: line [0-9]+: optimizer\.lrr: .*did you mean "lr"' train mistyped.json
sed 's/"lr": 0.01/"lr": 0.01, "lr": 0.02/' tiny.json >twice.json
refuses 2 'twice\.json: line [0-9]+: .*lr' train twice.json
sed 's/"embedding_dim": 6/"embedding_dim": "six"/' tiny.json >type.json
refuses 2 'type\.json: line [0-9]+: model\.embedding_dim: ' train type.json
sed 's/"kernel": 3/"kernel": -3/' tiny.json >range.json
refuses 2 'range\.json: line [0-9]+: model\.blocks\.0\.layers\.0\.kernel: ' train range.json
for length in 1 40 300; do
  head -c $length tiny.json >cut.json
  refuses 2 'cut\.json: line [0-9]+' train cut.json
done
refuses 66 '^error: missing\.json: ' train missing.json
refuses 66 '^error: \./\.: ' train ./.
refuses 2 '--max-steps' train tiny.json --max-steps 0
refuses 2 '--stop-after' train tiny.json --stop-after 0
refuses 2 '--stop-after' train tiny.json --stop-after soon
refuses 2 '--resume and --init' train --resume --init new --out new
refuses 66 '^error: missing: ' train tiny.json --init missing --out new
refuses 2 '--out: ' train tiny.json --out ''
refuses 2 'data\.train\.0: empty' train tiny.json --train ''
refuses 2 '--resume and --overwrite' train tiny.json --out new --resume --overwrite
refuses 2 'which run' train --resume

# --- Text. Nothing is created, not even the run's directory.
with_text() { # CODE PATTERN FILE
  refuses "$1" "$2" train tiny.json --out new --train "$3"
  refuses "$1" "$2" train tiny.json --out new --valid "$3"
}
with_text 66 'missing\.txt' missing.txt
with_text 66 '' .
: >empty.txt
with_text 65 'empty\.txt' empty.txt
printf '\n\n\n' >lines.txt
with_text 65 'lines\.txt' lines.txt
printf 'ok\nfi\xffne\n' >invalid.txt
with_text 65 'invalid\.txt: offset 5' invalid.txt
printf '\xff\xfea\0b\0' >utf16.txt
with_text 65 'UTF-16' utf16.txt
gzip -c train.txt | head -c 1000 >cut.gz
with_text 65 'cut\.gz: offset 1000: gzip data cut short' cut.gz
printf '\xfd7zXZ\0and so on' >text.xz
with_text 65 'text\.xz: offset 0: .*xz -dc' text.xz
with_text 66 'no\*such: no such file' 'no*such'
with_text 66 'standard input: a stream can be read only once' -
echo short >short.txt
refuses 65 'expected.*16' train tiny.json --out new --train short.txt
refuses 65 'lines' train tiny.json --out new --train short.txt --set 'data.valid=[]'
refuses 2 'the same file' train tiny.json --out new --valid ./train.txt
refuses 2 'no training text' train --out new --max-steps 1

# --- Directories.
mkdir notes && echo mine >notes/file && mkdir notes/checkpoints && echo mine >notes/best.safetensors
refuses 73 'notes.*not empty.*sluice train --resume --out notes$' train tiny.json --out notes
refuses 73 'notes.*nothing was touched' train tiny.json --out notes --overwrite
refuses 73 'train\.txt.*not a directory' train tiny.json --out train.txt
refuses 66 'notes: not a run' train --resume --out notes
refuses 66 'new: not a run' train --resume --out new
refuses 66 'train\.txt: not a run' train --resume --out train.txt
refuses 74 '' train tiny.json --out train.txt/below
refuses 74 '' train tiny.json --out "$(printf 'x%.0s' $(seq 300))"

succeeds train tiny.json --out runs/a
cp -a runs/a runs/whole
refuses 73 'runs/a: .*sluice train --resume --out runs/a$' train tiny.json --out runs/a
refuses 2 '^error: optimizer\.lr: cannot change' train --resume --out runs/a --set optimizer.lr=1
refuses 2 '^error: model\.embedding_dim: ' train --resume --out runs/a --set model.embedding_dim=5
refuses 2 '^error: train\.ema_decay: .*expected 0.0, found 0.5' train --resume --out runs/a \
  --set train.ema_decay=0.5
refuses 2 '^error: schedule\.type: .*expected "cosine", found "plateau"' train --resume --out runs/a \
  --set schedule.type=plateau
refuses 2 '^error: model\.embedding_dim: not that of --init runs/a/best' train tiny.json --out new \
  --init runs/a --set model.embedding_dim=5
refuses 2 'data\.train: no training text' train --init runs/a --out new
refuses 2 '^error: train\.seed: ' train --resume --out runs/a --seed 9
refuses 2 'unknown key' train --resume --out runs/a --set train.max_stepz=9
cp train.txt kept.txt
sed -i 's/a/b/' train.txt
refuses 65 'not the one' train --resume --out runs/a
mv train.txt other.txt
refuses 66 'train\.txt' train --resume --out runs/a
mv kept.txt train.txt
# A refused overwrite leaves the old run whole, at whatever stage it is refused.
refuses 65 '' train tiny.json --out runs/a --overwrite --train short.txt
refuses 65 '' train tiny.json --out runs/a --overwrite --valid invalid.txt
refuses 2 '' train tiny.json --out runs/a --overwrite --set train.max_steps=null

# A run that is going on: held still, so that its directory must not change either.
hold_run runs/busy
holder="pid $busy on $(uname -n)"
refuses 73 "runs/busy: another process .*$holder" train --resume --out runs/busy
refuses 73 "runs/busy: another process .*$holder" train tiny.json --out runs/busy --overwrite
refuses 73 'runs/busy: exists' train tiny.json --out runs/busy
kill -KILL $busy
wait $busy 2>/dev/null
rm -r runs/busy

# Of two that start together one trains, the other leaves it alone.
for pair in $(seq 8); do
  "$sluice" train tiny.json --out runs/pair-$pair >"$out" 2>"$scratch/err1" &
  first=$!
  "$sluice" train tiny.json --out runs/pair-$pair >"$out" 2>"$err" &
  second=$!
  wait $first
  codes=$?
  wait $second
  codes="$codes $?"
  [ "$codes" = "0 73" ] || [ "$codes" = "73 0" ] ||
    fail "a pair: $codes: $(cat "$err" "$scratch/err1")"
  succeeds eval runs/pair-$pair valid.txt
done
rm -r runs/pair-*

# --- Models.
best=runs/a/best.safetensors
last=$(ls runs/a/checkpoints/*.safetensors | tail -n 1)
size=$(stat -c %s $best)
for command in eval generate info average init; do
  case $command in
    eval) arguments=(eval MODEL valid.txt) ;;
    average) arguments=(average runs/a MODEL --out new) ;;
    init) arguments=(train tiny.json --out new --init MODEL) ;;
    *) arguments=($command MODEL) ;;
  esac
  refuses_model() { refuses "$1" "$2" "${arguments[@]/#MODEL/$3}"; }
  refuses_model 66 'missing' missing.safetensors
  refuses_model 66 'notes: not a run' notes
  refuses_model 65 'train\.txt' train.txt
  refuses_model 65 'empty\.txt' empty.txt
  for offset in 0 3 9 200 $((size / 2)) -400 -1; do
    cp $best damaged.safetensors
    flip damaged.safetensors $offset
    refuses_model 65 'damaged\.safetensors: ' damaged.safetensors
  done
  for length in 0 7 100 $((size / 2)) $((size - 1)); do
    head -c "$length" $best >cut.safetensors
    refuses_model 65 'cut\.safetensors: ' cut.safetensors
  done
  { cat $best && printf x; } >long.safetensors
  refuses_model 65 'long\.safetensors: ' long.safetensors
  python3 - <<'PY'
import json, struct
header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
open("foreign.safetensors", "wb").write(struct.pack("<Q", len(header)) + header + bytes(4))
PY
  refuses_model 65 'foreign\.safetensors: not a (Sluice model|token file)' foreign.safetensors
  case $command in average | init) continue ;; esac
  refuses 2 '--which: expected best or last, found "nonsense"' "${arguments[@]/#MODEL/runs/a}" \
    --which nonsense
done
cp "$(find "$scratch/cache/sluice" -type f | head -n 1)" tokens.safetensors
refuses 65 'not a Sluice model' eval tokens.safetensors valid.txt
refuses 66 'missing\.txt' eval runs/a missing.txt
refuses 66 'missing\.txt' eval runs/a valid.txt missing.txt
refuses 66 'missing\.txt' eval damaged.safetensors missing.txt  # before the model is read
refuses 65 'empty\.txt' eval runs/a empty.txt
refuses 65 'invalid\.txt: offset 5' eval runs/a invalid.txt
refuses 65 '^error: --prompt: offset 2: unknown to the model .*found U\+20AC "€"' \
  generate runs/a --prompt 'ab€'
refuses 65 '^error: --prompt: offset 1: not UTF-8' generate runs/a --prompt $'a\xff'
refuses 66 'missing\.txt' generate runs/a --prompt-file missing.txt
refuses 2 'expected one of them' generate runs/a --prompt a --prompt-file train.txt
refuses 2 '--temperature' generate runs/a --temperature -1
refuses 2 '--top-p' generate runs/a --top-p 0

# --- Averages.
refuses 73 'best\.safetensors: exists; --overwrite' average runs/a --out $best
refuses 2 '--out: expected the file of the new model, found none' average runs/a
refuses 2 'two or more models, found 1' average $best --out new
refuses 65 'not a Sluice model' average runs/a tokens.safetensors --out new
refuses 74 '' average runs/a --out notes --overwrite
succeeds train tiny.json --out runs/deep --max-steps 1 --set model.blocks.0.repeat=3
refuses 65 'deep/best\.safetensors: model\.blocks\.0\.repeat: .*expected 2, found 3' \
  average runs/a runs/deep/best.safetensors --out new

# Resuming from damage: only when no checkpoint is whole.
mkdir runs/bad && cp -a runs/a/. runs/bad/
for file in runs/bad/checkpoints/*; do flip "$file" -1; done
refuses 65 'checkpoints/step-' train --resume --out runs/bad
for file in runs/bad/checkpoints/*; do head -c 1000 $best >"$file"; done
refuses 65 'checkpoints/step-' train --resume --out runs/bad
for file in runs/bad/checkpoints/*; do cp $best "$file"; done
refuses 65 'not a checkpoint' train --resume --out runs/bad
for file in runs/bad/checkpoints/*; do cp foreign.safetensors "$file"; done
refuses 65 'not a Sluice' train --resume --out runs/bad
rm runs/bad/checkpoints/*
refuses 66 'no checkpoint' train --resume --out runs/bad
rm runs/bad/best.safetensors
refuses 66 'no best model yet' eval runs/bad valid.txt
refuses 66 'no checkpoint yet' eval runs/bad valid.txt --which last

# --- Streams that cannot be written.
for arguments in "eval runs/a valid.txt" "generate runs/a -n 3 --seed 1" "info $last"; do
  before=$(tree_hash .)
  # shellcheck disable=SC2086
  "$sluice" $arguments 2>"$err" >/dev/full </dev/null
  code=$?
  : >"$out"
  check_refusal 74 'standard output' "$arguments, full"
  # shellcheck disable=SC2086
  "$sluice" $arguments 2>"$err" >&- </dev/null
  code=$?
  check_refusal 74 'standard output.*closed' "$arguments, closed"
  [ "$(tree_hash .)" = "$before" ] || fail "$arguments: files changed"
done
before=$(tree_hash .)
"$sluice" train tiny.json --out new 2>"$err" >&- </dev/null
code=$?
check_refusal 74 'standard output.*closed' "train, closed"
"$sluice" train tiny.json --out runs/a --overwrite 2>"$err" >&- </dev/null
code=$?
check_refusal 74 'standard output.*closed' "train --overwrite, closed"
[ "$(tree_hash .)" = "$before" ] || fail "train, closed stdout: files changed"
# The path cannot be printed, but the run is there.
"$sluice" train tiny.json --out runs/full 2>"$err" >/dev/full </dev/null
code=$?
check_refusal 74 'standard output' "train, full"
succeeds eval runs/full valid.txt

# --- Disks that are full.
# A limit on the size of a file fails the first checkpoint, at once.
before=$(tree_hash .)
limited() (ulimit -f 8 && exec "$sluice" train tiny.json --out runs/limited)
run limited
check_refusal 74 'step-00000000\.safetensors.*File too large' "limited file size"
rm -r runs/limited
[ "$(tree_hash .)" = "$before" ] || fail "limited file size: other files changed"

# On a disk that fills up later, training goes on; only a last save that fails is an error.
in_tmpfs() {
  mkdir disk && mount -t tmpfs -o size=2m tmpfs disk || exit 77
  cp -a runs/a disk/a
  cp -a disk/a/checkpoints saved
  # Room for the config, not for a checkpoint.
  head -c 4M /dev/zero >disk/filler 2>/dev/null
  truncate -s -16K disk/filler
  "$sluice" train --resume --out disk/a --max-steps 60 >"$out" 2>"$err" </dev/null
  echo $? >full_code
  diff -r disk/a/checkpoints saved >/dev/null || echo changed >>full_code
  rm disk/filler
  "$sluice" train --resume --out disk/a --max-steps 60 >resumed_out 2>resumed_err </dev/null
  echo $? >>full_code
  mkdir disk/tight && head -c 4M /dev/zero >disk/filler 2>/dev/null
  "$sluice" train tiny.json --out disk/tight/new >tight_out 2>tight_err </dev/null
  echo $? >>full_code
}
export -f in_tmpfs
export sluice out err best
rm -rf disk saved
if unshare -rm true 2>/dev/null; then
  unshare -rm bash -c in_tmpfs 2>/dev/null
  mounted=$?
else
  mounted=77
fi
if [ "$mounted" = 77 ]; then
  echo "skipped: no tmpfs can be mounted here; a disk that fills up is not tested"
else
  [ "$(tr '\n' ' ' <full_code)" = "74 0 74 " ] ||
    fail "full disk: $(cat full_code "$err" resumed_err tight_err)"
  code=$(head -n 1 full_code)
  check_refusal 74 'checkpoints/step-00000060\.safetensors: .*No space|best\.safetensors' "full disk"
  [ "$(grep -c 'warning: .*training goes on' "$err")" -ge 2 ] ||
    fail "full disk: no warnings: $(cat "$err")"
  [ "$(cat resumed_out)" = disk/a/best.safetensors ] || fail "space again: $(cat resumed_out)"
fi

finish
