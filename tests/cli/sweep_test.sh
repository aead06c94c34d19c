#!/bin/bash
# End to end: scripts/sweep.py trains variations by successive halving, goes on where it was
# stopped, runs nothing twice, and prints the same table from its results.
# usage: sweep_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus

cat >sweep.json <<'JSON'
{
  // Two gates, two rates; the better half goes on.
  "base": "tiny.json",
  "set": {"train.eval_every": 5},
  "axes": {"model.gate": ["glu", "tanh"]},
  "seeds": [1, 2],
  "rungs": [{"max_steps": 20, "keep": 1}, {"tokens": 2560}],
  "report_tokens": [640, 1280, 2560]
}
JSON

# sweep ARGUMENTS...: of the experiment above.
sweep() { run "$source_dir/scripts/sweep.py" sweep.json --binary "$sluice" "$@"; }

# sweeps ARGUMENTS...: exit 0.
sweeps() {
  sweep "$@"
  [ "$code" = 0 ] || fail "sweep $*: exit $code: $(cat "$err")"
}

# records RESULTS: all that does not depend on the clock.
records() {
  python3 - "$1" <<'PY'
import json, sys
for line in sorted(open(sys.argv[1])):
    record = json.loads(line)
    for timing in ("seconds", "tokens_per_second"):
        assert record.pop(timing) > 0, line
    print(json.dumps(record))
PY
}

# --- Dry run: everything is checked and named, nothing is written.
before=$(tree_hash .)
sweeps --out whole --dry-run
[ "$(tree_hash .)" = "$before" ] || fail "--dry-run wrote something"
grep -q '^tanh, seed 2: 20 steps; to do; parameters 1.3k' "$out" || fail "dry run: $(cat "$out")"
tail -n 1 "$out" | grep -q '^4 runs now, 2 later$' || fail "dry run: $(cat "$out")"

# What the base's own name already stands for does not matter.
succeeds train tiny.json --out runs/tiny --overwrite --max-steps 1
sweeps --out whole --dry-run
rm -r runs

# --- A whole sweep: 2 variations with 2 seeds, then the better one once more with 40 steps.
sweeps --out whole
[ "$(wc -l <whole/results.jsonl)" = 6 ] || fail "results: $(cat whole/results.jsonl)"
grep -q '^\[1/6\] glu, seed 1: 20 steps; ' "$err" || fail "progress: $(cat "$err")"
grep -q '^\[6/6\] .*, seed 2: loss [0-9.]*, perplexity ' "$err" || fail "progress: $(cat "$err")"
cp "$out" table
python3 - whole/results.jsonl table <<'PY' || fail "table: $(cat table)"
import json, math, statistics, sys
records = [json.loads(line) for line in open(sys.argv[1])]
def of(name, rung):
    return [r for r in records if (r["name"], r["rung"]) == (name, rung)]
def loss(name, rung):
    return [r["valid_loss"] for r in of(name, rung)]
best, other = sorted(("glu", "tanh"), key=lambda name: statistics.fmean(loss(name, 1)))
assert len(loss(best, 2)) == 2 and not loss(other, 2), records
assert {r["steps"] for r in records if r["rung"] == 2} == {40}  # 2,560 tokens of 16 x 4 a step
rows = [line.split() for line in open(sys.argv[2])]
for row, name, rung, budget in ((rows[1], best, 2, ["2,560", "tokens"]),
                                (rows[2], other, 1, ["20", "steps"])):
    values = loss(name, rung)
    mean = statistics.fmean(values)
    assert row[1:4] == [name, *budget], row
    assert row[4:7] == [f"{mean:.4f}", "±", f"{statistics.stdev(values):.4f}"], row
    assert row[7] == f"{math.exp(mean):.2f}", row
    assert row[8] == f"({math.exp(min(values)):.2f}-{math.exp(max(values)):.2f})", row
    assert row[9] == "2", row
    at = [dict(r["curve"])[640] for r in of(name, rung)]
    assert row[13] == f"{statistics.fmean(at):.4f}", row
assert rows[2][-1] == "-", rows[2]  # 20 steps have not seen 2,560 tokens
PY
# The best run's model stays, and nothing else of the kind.
[ "$(find whole -name '*.safetensors' | wc -l)" = 1 ] || fail "$(find whole -name '*.safetensors')"
succeeds eval "$(find whole -name best.safetensors)" valid.txt --json

# --- A second time: nothing runs, the table is the same; so it is without the binary.
before=$(tree_hash whole)
sweeps --out whole
[ "$(tree_hash whole)" = "$before" ] || fail "a finished sweep changed its files"
cmp -s "$out" table || fail "second table: $(cat "$out")"
[ -s "$err" ] && fail "a finished sweep says: $(cat "$err")"
run "$source_dir/scripts/sweep.py" sweep.json --out whole --binary /nonexistent --table
cmp -s "$out" table || fail "--table: $(cat "$out" "$err")"
sweeps --out whole --markdown
[ "$(grep -c '^| ' "$out")" = 3 ] || fail "--markdown: $(cat "$out")"
sweeps --out whole --plot one.svg
sweeps --out whole --plot two.svg
cmp -s one.svg two.svg || fail "two plots of the same results differ"
python3 -c 'import sys, xml.dom.minidom as dom; dom.parse(sys.argv[1])' one.svg || fail "bad SVG"

# --- Stopped in the middle of runs, by a signal and by its own budget: the same results in the end.
cat >long.json <<'JSON'
{"base": "tiny.json", "axes": {"optimizer.lr": [0.01, 0.003]}, "rungs": [{"max_steps": 6000}],
 "set": {"train.eval_every": 500, "train.save_every": 50}}
JSON
long() { run "$source_dir/scripts/sweep.py" long.json --binary "$sluice" "$@"; }
long --out straight
[ "$code" = 0 ] || fail "long: exit $code: $(cat "$err")"
"$source_dir/scripts/sweep.py" long.json --binary "$sluice" --out parts \
  >"$out" 2>"$err" </dev/null &
process=$!
for _ in $(seq 400); do
  compgen -G 'parts/runs/lr=0.01/rung-1/seed-1/checkpoints/step-*' >/dev/null && break
  sleep 0.02
done
kill -INT $process
wait $process
code=$?
[ $code = 75 ] || fail "interrupted: exit $code: $(cat "$err")"
[ -s "$out" ] && fail "interrupted: stdout is not empty"
tail -n 1 "$err" | grep -q '^stopped; to go on: .*sweep.py long.json .*--out parts$' ||
  fail "interrupted: $(cat "$err")"
compgen -G 'parts/runs/lr=0.01/rung-1/seed-1/checkpoints/step-*' >/dev/null ||
  fail "the interrupted run has no checkpoint to go on from"
[ -s parts/results.jsonl ] && fail "the run was over before it was interrupted"
long --out parts --budget 0.00001s
[ "$code" = 75 ] || fail "--budget: exit $code: $(cat "$err")"
long --out parts
[ "$code" = 0 ] || fail "going on: exit $code: $(cat "$err")"
grep -q 'resumed at step' parts/runs/lr=0.01/rung-1/seed-1/train.log || fail "the run began anew"
[ "$(records parts/results.jsonl)" = "$(records straight/results.jsonl)" ] ||
  fail "interrupted and straight differ"

# --- A line that a kill has torn is made again, the others are kept.
head -c -40 whole/results.jsonl >torn && cp torn whole/results.jsonl
sweeps --out whole
[ "$(grep -c '^\[' "$err")" = 2 ] || fail "torn: $(cat "$err")"
[ "$(wc -l <whole/results.jsonl)" = 6 ] || fail "torn: $(wc -l <whole/results.jsonl) lines"

# --- Changed settings and a changed text run again, and say so; keys without effect do not.
sweeps --out whole --set train.log_every=7
grep -q 'runs again' "$err" && fail "log_every made runs again: $(cat "$err")"
sweeps --out whole --set optimizer.weight_decay=0.2
[ "$(grep -c 'have changed since its result: runs again$' "$err")" -ge 4 ] || fail "$(cat "$err")"
sweep --out whole --table
[ "$code" = 0 ] || fail "--set at the run hides its results: $(cat "$err")"
sweep --out whole --table --set optimizer.weight_decay=0.1
check_refusal 2 'no results of sweep.json yet' "stale results"
mv train.txt old.txt
tr a-y b-z <old.txt >train.txt
sweep --out whole --set optimizer.weight_decay=0.2 --only glu
[ "$(grep -c 'runs again$' "$err")" -ge 4 ] || fail "another text: $(cat "$err")"
mv old.txt moved.txt
sweep --out whole --set optimizer.weight_decay=0.2 --train moved.txt --only tanh
grep -q 'tanh.*runs again$' "$err" && fail "the same text elsewhere runs again: $(cat "$err")"
cp moved.txt train.txt

# --- What diverges is recorded and comes last.
cat >wild.json <<'JSON'
{"base": "tiny.json", "rungs": [{"max_steps": 60}], "seeds": [1],
 "variants": [{"name": "wild", "set": {"optimizer.type": "sgd", "optimizer.lr": 1e6,
   "optimizer.clip_norm": 0}}, {"name": "tame"}]}
JSON
run "$source_dir/scripts/sweep.py" wild.json --binary "$sluice" --out wild
[ "$code" = 0 ] || fail "wild: exit $code: $(cat "$err")"
grep -q '^ *1  tame' "$out" || fail "wild: $(cat "$out")"
grep -q '^ *2  wild .*1, 1 diverged' "$out" || fail "wild: $(cat "$out")"

# --- Refusals: one line, nothing written.
# refuses_sweep CODE PATTERN FILE ARGUMENTS...
refuses_sweep() {
  local expected=$1 pattern=$2 before
  shift 2
  before=$(tree_hash .)
  run "$source_dir/scripts/sweep.py" "$@" --binary "$sluice" --out refused
  check_refusal "$expected" "$pattern" "$*"
  rm -rf refused
  [ "$(tree_hash .)" = "$before" ] || fail "$*: files changed"
}
sed 's/"report_tokens"/"report_token"/' sweep.json >bad.json
refuses_sweep 2 'bad.json: report_token: unknown key' bad.json
sed 's/"keep": 1/"kept": 1/' sweep.json >bad.json
refuses_sweep 2 'bad.json: rungs.0.kept: unknown key' bad.json
sed 's/model.gate/model.gates/' sweep.json >bad.json
refuses_sweep 2 'bad.json: glu: --set: model.gates: unknown key' bad.json
refuses_sweep 2 '--only: no variation relu' sweep.json --only relu
refuses_sweep 2 '--budget soon: expected a time' sweep.json --budget soon
refuses_sweep 2 '--set train.seed: belongs to seeds' sweep.json --set train.seed=3
refuses_sweep 66 'absent.json: No such file' absent.json
rm bad.json
sed 's/"train.eval_every": 5/"data.valid": ["absent.txt"]/' sweep.json >lost.json
refuses_sweep 66 'absent.txt: No such file' lost.json
# A failure of training ends the sweep with sluice's own words and exit code.
printf 'not UTF-8: \xff\n' >broken.txt
sed 's/"train.eval_every": 5/"data.valid": ["broken.txt"]/' sweep.json >broken.json
refuses_sweep 65 'error: glu, seed 1: .*broken.txt: ' broken.json

# --- Two sweeps in one folder.
mkdir held && exec 9>held/lock && flock 9
sweep --out held
check_refusal 73 'held: another sweep is at work there' "locked"
exec 9>&-

# --- The ready experiments: every config is one, and what promises equal parameters has them.
for file in "$source_dir"/configs/sweeps/*.json; do
  PYTHONPATH=$source_dir/scripts python3 - "$file" "$sluice" >"$out" 2>"$err" <<'PY' ||
import json, subprocess, sys
from sweep import experiment, program
found = experiment.read(sys.argv[1])
counts = set()
for variation in found.variations:
    command = [sys.argv[2], "info", "--config", found.base, "--vocab", "33278", "--json",
               *program.set_options(variation.settings)]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    size, field = (json.loads(said.stdout)[key] for key in ("parameters", "receptive_field"))
    if "Receptive field" in found.title:
        assert variation.settings["data.context_tokens"] >= field - 1, variation
    counts.add(size["total"] - size["embedding"])
if "equal parameters" in found.title:
    assert max(counts) <= 1.01 * min(counts), counts
PY
    fail "$file: $(tail -n 1 "$err")"
done

finish
