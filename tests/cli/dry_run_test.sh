#!/bin/bash
# End to end: `train --dry-run` tells what a run will need, refuses what it would refuse, and leaves
# no trace. usage: dry_run_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus
export TMPDIR=$scratch/tmp
mkdir "$TMPDIR"

# dry ARGUMENTS...: succeeds, on stdout only, and nothing changes anywhere, the cache included.
dry() {
  local before
  before=$(tree_hash . "$scratch/cache" "$TMPDIR")
  succeeds train --dry-run "$@"
  [ "$(tree_hash . "$scratch/cache" "$TMPDIR")" = "$before" ] || fail "dry run $*: files changed"
}
mkdir -p "$scratch/cache"
value() { sed -n "s/^ *$1  *//p" "$out"; }

dry tiny.json --out runs/a
[ ! -e runs ] || fail "a dry run made a directory"
[ "$(value run)" = runs/a ] || fail "run: $(cat "$out")"
[ "$(value steps)" = "30 of 64 tokens" ] || fail "steps: $(cat "$out")"
[ "$(value 'receptive field')" = "5 tokens" ] || fail "field: $(cat "$out")"
[ "$(awk '{ if (length > n) n = length } END { print n }' "$out")" -le 80 ] ||
  fail "a dry run prints more than 80 columns"
# Without a limit in steps: by epochs, by time.
dry tiny.json --set train.max_steps=null --set train.max_epochs=2
value tokens | grep -qE '2\.[01][0-9] epochs' || fail "epochs: $(cat "$out")"
dry tiny.json --set train.max_steps=null --max-time 3s
value steps | grep -q 'bounded by time' || fail "time: $(cat "$out")"
value time | grep -q '^about 3s' || fail "time: $(cat "$out")"

# --- The report against the run: parameters, disk and peak memory.
cat >memory.py <<'PY'
import os, re, subprocess, sys
sluice, name, *arguments = sys.argv[1:]
def number(text):
    value, unit = re.match(r"(?:about )?([0-9.]+)([kMG]?)", text).groups()
    return float(value) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[unit]
def run(*more):
    command = [sluice, "train", *arguments, "--max-steps", "3", "--out", "runs/" + name, *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    text = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, (command, status)
    return text, 1024 * usage.ru_maxrss
report = dict(re.match(r" *(\S+(?: \S+)*)  +(.*)", line).groups()
              for line in run("--dry-run")[0].splitlines())
_, peak = run()
told = number(report["memory"])
print(f"{name}: told {told / 1e6:.1f} MB, held {peak / 1e6:.1f} MB")
assert abs(told / peak - 1) < 0.15, (name, told, peak, report)
for file, key in [("checkpoints/step-00000003.safetensors", "checkpoint"),
                  ("best.safetensors", "best model")]:
    size = os.path.getsize(f"runs/{name}/{file}")
    # Headers count for nothing.
    assert size < 1e6 or abs(number(report[key]) / size - 1) < 0.05, (key, report[key], size)
held = sum(os.path.getsize(os.path.join(folder, file))
           for folder, _, files in os.walk(f"runs/{name}") for file in files)
assert held < 1.05 * number(report["disk"]) + 1e5, (held, report)
PY
memory() {
  python3 memory.py "$sluice" "$@" 2>"$scratch/python" || fail "memory: $(tail -n 1 "$scratch/python")"
  rm -r "runs/$1"
}
text=$source_dir/data/shakespeare/train.txt
valid=(--valid valid.txt --threads 2)
ln -s "$source_dir/data" data
memory quick shakespeare-quick "${valid[@]}"
memory words default --train "$text" "${valid[@]}" --set tokenizer.type=word \
  --set data.tokens_per_sample=64 --set data.batch_size=4
memory dilated default --train "$text" "${valid[@]}" --set optimizer.type=nag \
  --set data.batch_size=32 --set data.tokens_per_sample=64 --set 'model.blocks=[{"layers":
    [{"kernel":1,"channels":64},{"kernel":3,"channels":64,"dilation":4},
     {"kernel":1,"channels":128}],"repeat":4}]'
memory wide default --train "$text" "${valid[@]}" --set data.batch_size=2 \
  --set data.tokens_per_sample=32 \
  --set 'model.blocks=[{"layers":[{"kernel":4,"channels":512}],"repeat":3}]'
if [ "${SLUICE_ISA-}" != reference ]; then
  for precision in bf16 bf16x3; do
    memory $precision default --train "$text" "${valid[@]}" --set data.batch_size=2 \
      --set data.tokens_per_sample=32 --precision $precision \
      --set 'model.blocks=[{"layers":[{"kernel":4,"channels":512}],"repeat":3}]'
    memory $precision default --train "$text" "${valid[@]}" --set data.batch_size=16 \
      --set data.tokens_per_sample=64 --precision $precision --set tokenizer.type=word
  done
fi
memory lines default --train "$text" "${valid[@]}" --set data.mode=lines --set data.batch_size=48
memory context default --train "$text" "${valid[@]}" --set data.batch_size=8 \
  --set data.tokens_per_sample=32 --set data.context_tokens=96
memory carried default --train "$text" "${valid[@]}" --set data.batch_size=48 \
  --set data.tokens_per_sample=32 --set data.carry_context=true
memory small tiny.json
rm data

# --- A run that is there.
succeeds train tiny.json --out runs/a --max-steps 10
dry tiny.json --out runs/a --overwrite
dry --resume --out runs/a --max-steps 30
[ "$(value steps)" = "20 of 64 tokens, after 10 that are done" ] || fail "resume: $(cat "$out")"
refuses 73 'runs/a: exists and is not empty' train --dry-run tiny.json --out runs/a
refuses 66 'new: not a run' train --dry-run --resume --out new
refuses 2 'optimizer\.lr: cannot change' train --dry-run --resume --out runs/a \
  --set optimizer.lr=1
hold_run runs/busy
refuses 73 'runs/busy: another process' train --dry-run --resume --out runs/busy
refuses 73 'runs/busy: another process' train --dry-run tiny.json --out runs/busy --overwrite
kill -KILL $busy
wait $busy 2>/dev/null

# --- What the run itself would refuse.
refuses 2 'train: no limit' train --dry-run tiny.json --set train.max_steps=null
refuses 2 'no training text' train --dry-run --max-steps 1
refuses 66 'missing\.txt' train --dry-run tiny.json --train missing.txt
echo short >short.txt
refuses 65 'expected.*16' train --dry-run tiny.json --train short.txt
refuses 73 'not a directory' train --dry-run tiny.json --out train.txt
refuses 74 'Not a directory' train --dry-run tiny.json --out train.txt/below
refuses 74 'data\.cache_dir' train --dry-run tiny.json --set data.cache_dir=train.txt \
  --set tokenizer.type=byte
refuses 71 'out of memory: .* GB wanted' train --dry-run tiny.json \
  --set 'model.blocks=[{"layers":[{"channels":100000}]}]'
refuses 71 'out of memory: .* GB wanted' train --dry-run tiny.json \
  --set data.batch_size=20000 --set data.tokens_per_sample=1000 --set model.embedding_dim=100000
# However a dry run ends, amid its encoding too, nothing is left.
for _ in $(seq 40); do cat "$text"; done >"$scratch/long.txt"
for _ in $(seq 3); do cat "$scratch/long.txt"; done >"$scratch/longer.txt"
cat >interruptible.py <<'PY'
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in what a script has in the background
os.execv(sys.argv[1], sys.argv[1:])
PY
for signal in INT TERM KILL; do
  python3 interruptible.py "$sluice" train --dry-run tiny.json --train "$scratch/longer.txt" --set tokenizer.type=byte \
    >/dev/null 2>&1 &
  process=$!
  for _ in $(seq 500); do
    ls -l /proc/$process/fd 2>/dev/null | grep -q "$TMPDIR/.*deleted" && break
    sleep 0.01
  done
  kill -$signal $process || fail "a dry run was too fast to be killed"
  wait $process 2>/dev/null
  [ -z "$(ls -A "$TMPDIR")" ] || fail "SIG$signal: temporary files stay: $(ls -A "$TMPDIR")"
done
[ -z "$(ls -A "$TMPDIR")" ] || fail "temporary files stay: $(ls "$TMPDIR")"

finish
