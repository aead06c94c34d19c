# Shared by the end-to-end tests; sourced with the path of the binary as first argument.
#   work     where the test runs, removed at the end; its files count in tree_hash
#   scratch  what does not: captured output, the cache of token files
set -u
sluice=$(realpath "$1")
source_dir=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
work=$(mktemp -d)
scratch=$(mktemp -d)
export XDG_CACHE_HOME=$scratch/cache
trap 'jobs -p | xargs -r kill -9 2>/dev/null; rm -rf "$work" "$scratch"' EXIT
cd "$work" || exit 1
failures=0
out=$scratch/out err=$scratch/err

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# The last line of every test.
finish() {
  if [ $failures -gt 0 ]; then
    echo "$failures failures"
    exit 1
  fi
  echo "all as it should be"
}

# Every name and every byte below DIR..., but not what a lock says about its last holder.
tree_hash() {
  {
    find "$@" | LC_ALL=C sort
    find "$@" -type f ! -name lock -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
  } | sha256sum
}

# run COMMAND...: leaves `code`, and what was printed in the files $out and $err.
run() {
  "$@" >"$out" 2>"$err" </dev/null
  code=$?
}

# check_refusal CODE PATTERN NAME: what the last run left behind is one error line that matches,
# with that exit code, and nothing on stdout.
check_refusal() {
  [ "$code" = "$1" ] || fail "$3: exit $code, not $1: $(cat "$err")"
  [ -s "$out" ] && fail "$3: stdout is not empty: $(head -c 200 "$out")"
  [ "$(grep -c '^error: ' "$err")" = 1 ] || fail "$3: not one error line: $(cat "$err")"
  tail -n 1 "$err" | grep -q '^error: ' || fail "$3: the error is not the last line: $(cat "$err")"
  grep '^error: ' "$err" | grep -qE -- "$2" || fail "$3: no '$2' in: $(cat "$err")"
  LC_ALL=C grep -q '[[:cntrl:]]' "$err" && fail "$3: control characters in: $(cat -v "$err")"
}

# refuses CODE PATTERN ARGUMENTS...: a refusal that leaves every file as it was.
refuses() {
  local expected=$1 pattern=$2 before
  shift 2
  before=$(tree_hash .)
  run "$sluice" "$@"
  check_refusal "$expected" "$pattern" "$*"
  [ "$(tree_hash .)" = "$before" ] || fail "$*: files changed"
}

# succeeds ARGUMENTS...: exit 0.
succeeds() {
  run "$sluice" "$@"
  [ "$code" = 0 ] || fail "$*: exit $code: $(cat "$err")"
}

# A text, its validation part and a network that trains in a moment.
make_tiny_corpus() {
  head -c 6000 "$source_dir/data/shakespeare/train.txt" >train.txt
  head -c 1500 "$source_dir/data/shakespeare/valid.txt" | LC_ALL=C tr -cd 'A-Za-z .,\n' >valid.txt
  cat >tiny.json <<'JSON'
{
  "data": {"train": ["train.txt"], "valid": ["valid.txt"], "tokens_per_sample": 16,
           "batch_size": 4},
  "tokenizer": {"type": "char"},
  "model": {"embedding_dim": 6, "blocks": [{"layers": [{"kernel": 3, "channels": 8}], "repeat": 2}]},
  "optimizer": {"type": "adamw", "lr": 0.01, "clip_norm": 1.0},
  "schedule": {"type": "cosine", "warmup": 0.1},
  "train": {"max_steps": 30, "eval_every": 10, "save_every": 10, "log_every": 5, "threads": 1,
            "precision": "f32"}
}
JSON
}

# hold_run DIR: a run of tiny.json in DIR that has begun and is then held still, so that its directory
# must not change either. Its pid is left in $busy, for the test to kill.
hold_run() {
  "$sluice" train tiny.json --out "$1" --max-steps 100000000 >/dev/null 2>&1 &
  busy=$!
  for _ in $(seq 200); do
    [ -s "$1/metrics.jsonl" ] && break
    sleep 0.05
  done
  kill -STOP $busy
  [ -s "$1/metrics.jsonl" ] || fail "the run in the background does not start"
}
