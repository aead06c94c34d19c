#!/bin/bash
# End to end: a run that is interrupted anywhere and resumed ends with the same bits as one that was
# not. Interruptions come at random times; the seed is printed, and taken from SLUICE_TEST_SEED.
# usage: resume_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus
seed=${SLUICE_TEST_SEED:-$RANDOM}
RANDOM=$seed
echo "SLUICE_TEST_SEED=$seed"
readonly interruptions_wanted=20

cat >run.json <<'JSON'
{
  "data": {"train": ["train.txt"], "valid": ["valid.txt"], "tokens_per_sample": 16,
           "batch_size": 3},
  "tokenizer": {"type": "char"},
  "model": {"embedding_dim": 6, "blocks": [{"layers": [{"kernel": 3, "channels": 8}], "repeat": 2}],
            "dropout": {"embedding": 0.1, "layer": 0.2, "output": 0.1}},
  "optimizer": {"type": "adamw", "lr": 0.01, "weight_decay": 0.1, "clip_norm": 1.0},
  "schedule": {"type": "cosine", "warmup": 0.1},
  "train": {"max_steps": 340, "accumulate_steps": 2, "eval_every": 7, "save_every": 11,
            "log_every": 3, "flow_every": 9, "threads": 1}
}
JSON
sed 's/"type": "adamw", "lr": 0.01/"type": "nag", "lr": 0.1/' run.json >nag.json
mv run.json adamw.json

# same_run A B: everything but times and the number of threads, bit for bit.
same_run() {
  python3 - "$1" "$2" 2>"$scratch/python" <<'PY' || fail "$1 and $2 differ: $(tail -n 3 "$scratch/python")"
import glob, json, os, struct, sys
def model(path):
    file = open(path, "rb").read()
    (length,) = struct.unpack("<Q", file[:8])
    header, data = json.loads(file[8 : 8 + length]), file[8 + length :]
    metadata = header.pop("__metadata__")
    tensors = {name: (tensor["shape"], data[slice(*tensor["data_offsets"])])
               for name, tensor in header.items()}
    state = json.loads(metadata["sluice.state"])
    state.pop("elapsed_seconds")
    config = json.loads(metadata["sluice.config"])
    for key in ("threads", "max_steps", "keep_last"):
        config["train"].pop(key)
    return tensors, state, config
def rows(run):
    found = []
    for line in open(run + "/metrics.jsonl"):
        row = json.loads(line)
        for timing in ("tokens_per_second", "eta"):
            row.pop(timing, None)
        found.append(row)
    return found
a, b = sys.argv[1:]
last = [sorted(glob.glob(run + "/checkpoints/step-*"))[-1] for run in (a, b)]
assert os.path.basename(last[0]) == os.path.basename(last[1]), last
pairs = [last, [a + "/best.safetensors", b + "/best.safetensors"]]
for x, y in pairs:
    (tensors, state, config), (tensors_, state_, config_) = model(x), model(y)
    assert state == state_, (x, state, state_)
    assert config == config_, x
    assert tensors.keys() == tensors_.keys(), x
    for name in tensors:
        assert tensors[name] == tensors_[name], (x, name)
assert rows(a) == rows(b), [pair for pair in zip(rows(a), rows(b)) if pair[0] != pair[1]][:1]
steps = [row["step"] for row in rows(a) if "loss" in row]
assert steps == sorted(set(steps)), steps
PY
}

# temporary_files DIR: what a killed save leaves.
temporary_files() { find "$1" -name '.*.tmp-*'; }

has_checkpoint() { compgen -G "$1/checkpoints/step-*.safetensors" >/dev/null; }

# start DIR CONFIG: trains or resumes in the background, with one to three threads.
start() {
  local threads=$((RANDOM % 3 + 1))
  if has_checkpoint "$1"; then
    "$sluice" train --resume --out "$1" --threads $threads >"$out" 2>"$err" </dev/null &
  else
    "$sluice" train "$2" --out "$1" --threads $threads >"$out" 2>"$err" </dev/null &
  fi
  process=$!
}

# interrupt DIR KIND: ends the process; counts when it was still running.
interrupt() {
  local dir=$1 kind=$2
  if [ "$kind" = STOP ]; then
    [ -d "$dir" ] && touch "$dir/STOP"
  else
    kill "-$kind" $process 2>/dev/null
  fi
  wait $process 2>/dev/null
  code=$?
  [ $code = 0 ] && return  # it was done before, or STOP came before the run was opened
  interruptions=$((interruptions + 1))
  case $kind:$code in
    KILL:137 | *:75) ;;
    INT:130 | TERM:143 | HUP:129 | USR1:138) # fine before there is anything to save
      grep -q '^training: ' "$err" && fail "SIG$kind while training: exit $code" ;;
    *) fail "$kind: exit $code: $(cat "$err")" ;;
  esac
  if [ $code = 75 ]; then
    [ -s "$out" ] && fail "$kind: stdout is not empty: $(cat "$out")"
    tail -n 1 "$err" | grep -q "sluice train --resume --out $dir\$" || fail "$kind: $(cat "$err")"
    [ -e "$dir/STOP" ] && fail "STOP stays after the stop"
    [ -n "$(temporary_files "$dir")" ] && fail "$kind: $(temporary_files "$dir")"
  fi
}

# --- References, and the same bits for any number of threads.
for optimizer in adamw nag; do
  begin=$(date +%s%N)
  succeeds train $optimizer.json --out reference-$optimizer
  milliseconds=$((($(date +%s%N) - begin) / 1000000))
done
for threads in 2 3; do
  succeeds train adamw.json --out threads-$threads --threads $threads
  same_run threads-$threads reference-adamw
done
grep -q '"epoch":5' reference-adamw/metrics.jsonl || fail "fewer than five epochs"

# --- Interruptions at random points, in chains that end with a finished run.
kinds=(KILL INT TERM STOP HUP KILL USR1)
interruptions=0 chains=0
while [ $interruptions -lt $interruptions_wanted ] && [ $chains -lt 20 ]; do
  optimizer=$([ $((chains % 2)) = 0 ] && echo adamw || echo nag)
  dir=chain-$chains
  chains=$((chains + 1))
  for link in $(seq 8); do
    start $dir $optimizer.json
    # Now and then in the first moments, else anywhere in an eighth of the run.
    limit=$([ $((RANDOM % 5)) = 0 ] && echo 40 || echo $((milliseconds / 4 + 40)))
    sleep "$(printf '0.%03d' $((RANDOM % limit % 1000)))"
    interrupt $dir ${kinds[$(((link + 3 * chains) % 7))]}
    [ $code = 0 ] && break
  done
  start $dir $optimizer.json
  wait $process 2>/dev/null
  code=$?
  [ $code = 0 ] || fail "$dir: the last resume: exit $code: $(cat "$err")"
  [ "$(cat "$out")" = $dir/best.safetensors ] || fail "$dir prints: $(cat "$out")"
  [ -n "$(temporary_files $dir)" ] && fail "$dir: left over: $(temporary_files $dir)"
  same_run $dir reference-$optimizer
done
[ $interruptions -ge $interruptions_wanted ] || fail "only $interruptions interruptions"
echo "$interruptions interruptions in $chains chains"

# --- Every optimiser and schedule, averages and accumulation, through chains of --stop-after.
# variant NAME SETTING...: a chain of short processes, each a sixth of the run or less, against a
# run in one go.
stops=0
variant() {
  local name=$1 arguments=(--max-steps 140) stops_before=$stops begin longest
  shift
  for setting in "$@"; do arguments+=(--set "$setting"); done
  begin=$(date +%s%N)
  succeeds train adamw.json "${arguments[@]}" --out whole-$name
  longest=$((($(date +%s%N) - begin) / 8000000 + 1))
  run "$sluice" train adamw.json "${arguments[@]}" --out parts-$name --stop-after 0.00001
  for _ in $(seq 40); do
    [ $code = 75 ] || break
    stops=$((stops + 1))
    run "$sluice" train --resume --out parts-$name --threads $((RANDOM % 2 + 1)) \
      --stop-after "$(printf '0.%03d' $((longest / 3 + RANDOM % longest % 600 + 1)))"
  done
  [ $code = 75 ] && run "$sluice" train --resume --out parts-$name
  [ $code = 0 ] || fail "$name: exit $code: $(cat "$err")"
  [ $((stops - stops_before)) -ge 2 ] || fail "$name: only $((stops - stops_before)) stops"
  same_run parts-$name whole-$name
}
variant sgd optimizer.type=sgd optimizer.lr=0.3 schedule.type=linear schedule.min_lr=0.01
variant nag optimizer.type=nag optimizer.lr=3 optimizer.clip_norm=0 schedule.type=plateau \
  schedule.patience=0 train.ema_decay=0.9 train.early_stop_evals=40 model.dropout.weight=0.1
variant adam optimizer.type=adam schedule.type=inverse_sqrt train.accumulate_steps=3 \
  model.dropout.weight=0.3
variant adamw schedule.type=steps 'schedule.milestones=[0.3,0.6]' train.ema_decay=0.99 \
  train.accumulate_steps=1
variant lines data.mode=lines data.tokens_per_sample=12 train.accumulate_steps=2
variant context data.context_tokens=9 train.accumulate_steps=1
variant carried data.carry_context=true optimizer.type=adam train.ema_decay=0.9 model.activation_change_l2=1
variant constant optimizer.type=sgd optimizer.momentum=0 schedule.type=constant train.ema_decay=0.5
variant norm model.norm=rms model.residual_scale=1 optimizer.decay=all train.ema_decay=0.9
variant early optimizer.lr=0.2 schedule.type=plateau schedule.patience=1 train.early_stop_evals=3
grep -q 'no improvement in .* validations: lr' whole-nag/train.log || fail "nag: no plateau"
grep -q 'no improvement in .* validations: lr' whole-early/train.log || fail "early: no plateau"
grep -q '^.*early stop at step' whole-early/train.log || fail "early: no early stop"
echo "$stops stops"

# --- A finished run says so again.
succeeds train --resume --out chain-0
[ "$(cat "$out")" = chain-0/best.safetensors ] || fail "finished: $(cat "$out")"
same_run chain-0 reference-adamw

# --- Damage: the checkpoint before is used, the bad one is named and in the end replaced.
cp -a reference-adamw damaged
newest=damaged/checkpoints/step-00000340.safetensors
printf 'x' | dd of=$newest bs=1 seek=3000 conv=notrunc status=none
touch damaged/.config.json.tmp-1-0 damaged/checkpoints/.step-00000340.safetensors.tmp-1-0
succeeds train --resume --out damaged --set train.keep_last=1
grep -q "^warning: $newest: .*going on from the one before" "$err" || fail "damaged: $(cat "$err")"
grep -q '^resumed at step 330$' "$err" || fail "damaged: $(cat "$err")"
[ -n "$(temporary_files damaged)" ] && fail "stale temporary files stay"
[ "$(ls damaged/checkpoints)" = step-00000340.safetensors ] ||
  fail "damaged: left: $(ls damaged/checkpoints)"
succeeds train --resume --out damaged --set train.keep_last=2
same_run damaged reference-adamw

# --- A longer limit goes on; under a schedule without an end, as if it had been meant so.
endless=(--set schedule.type=constant --set schedule.warmup=0)
succeeds train adamw.json "${endless[@]}" --out long --max-steps 70
succeeds train adamw.json "${endless[@]}" --out short --max-steps 42
succeeds train --resume --out short --max-steps 70
grep -q '^resumed at step 42$' "$err" || fail "longer: $(cat "$err")"
same_run short long

# --- Insisting: the second SIGINT ends a step that takes long, and damages nothing.
"$sluice" train adamw.json --out slow --set train.accumulate_steps=1000000 >"$out" 2>"$err" \
  </dev/null &
process=$!
for _ in $(seq 200); do
  grep -q '^training: ' "$err" && has_checkpoint slow && break
  sleep 0.05
done
sleep 0.5  # now the step is under way
kill -INT $process
sleep 0.3
kill -0 $process 2>/dev/null || fail "the first SIGINT did not wait for the step"
begin=$(date +%s%N)
kill -INT $process
wait $process 2>/dev/null
code=$?
[ $code = 130 ] || fail "second SIGINT: exit $code: $(cat "$err")"
[ $((($(date +%s%N) - begin) / 1000000)) -lt 1000 ] || fail "the second SIGINT is slow"
succeeds info slow --which last

# --- A STOP that was there before does not stop what is started after it.
succeeds train tiny.json --out stale --max-steps 5
touch stale/STOP
succeeds train --resume --out stale --max-steps 10
[ -e stale/STOP ] && fail "a stale STOP stays"

finish
