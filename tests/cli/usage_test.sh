#!/bin/bash
# End to end: the command line itself, on the commands that need no model.
# usage: usage_test.sh SLUICE
set -u
sluice=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# run COMMAND...: leaves `code`, and what was printed in the files out and err.
run() {
  "$@" >out 2>err </dev/null
  code=$?
}

# refuses CODE PATTERN ARGUMENTS...: exactly one error line that matches, nothing on stdout.
refuses() {
  local expected=$1 pattern=$2
  shift 2
  run "$sluice" "$@"
  [ "$code" = "$expected" ] || fail "$*: exit $code, not $expected"
  [ -s out ] && fail "$*: stdout is not empty"
  [ "$(wc -l <err)" = 1 ] || fail "$*: $(wc -l <err) lines on stderr: $(cat err)"
  grep -q '^error: ' err || fail "$*: no error line: $(cat err)"
  grep -qE -- "$pattern" err || fail "$*: no '$pattern' in: $(cat err)"
  LC_ALL=C grep -q '[[:cntrl:]]' err && fail "$*: control characters in: $(cat -v err)"
}

# prints PATTERN ARGUMENTS...: exit 0, nothing on stderr, stdout matches.
prints() {
  local pattern=$1
  shift
  run "$sluice" "$@"
  [ "$code" = 0 ] || fail "$*: exit $code: $(cat err)"
  [ -s err ] && fail "$*: stderr is not empty: $(cat err)"
  grep -qE -- "$pattern" out || fail "$*: no '$pattern' in: $(cat out)"
}

# Help and version.
prints '^sluice 0\.1\.0$' --version
[ "$(wc -l <out)" = 1 ] || fail "--version: more than one line"
prints '^Usage: sluice COMMAND' --help
prints '^Usage: sluice COMMAND' -h
commands=$(sed -n '/^Commands:/,/^$/s/^  \([a-z]*\( [a-z]*\)\?\)  .*/\1/p' out)
[ -n "$commands" ] || fail "--help lists no command"
check_help() {
  grep -q '^Example:' out || fail "$* --help: no example"
  [ "$(awk '{ if (length > n) n = length } END { print n }' out)" -le 80 ] ||
    fail "$* --help: more than 80 columns"
}
check_help sluice
while read -r command; do
  # shellcheck disable=SC2086  # a command may be two words
  prints "^Usage: sluice $command" $command --help
  check_help "$command"
done <<<"$commands"
prints '^  config check ' config --help
prints '^  tokenizer encode  [a-z]' tokenizer --help
prints '^  sluice tokenizer train ' tokenizer --help # the example of one of its own commands
prints '^Usage: sluice config list' config list --no-such-option --help

# Commands.
refuses 2 'no command .*config'
refuses 2 'unknown command .*did you mean "config"' confg
refuses 2 'unknown command' help
refuses 2 'unknown command .*found ""' ''
refuses 2 'config: no command .*check, dump, list' config
refuses 2 'unknown command .*did you mean "check"' config chek
refuses 2 'found "x"' --version x
refuses 2 'tokenizer: no command .*train, encode, decode, info' tokenizer
refuses 2 'tokenizer: unknown command .*did you mean "encode"' tokenizer encod

# Options.
refuses 2 'CONFIG is required' config check
refuses 2 'unknown option "--sett".*did you mean "--set"' config dump --sett a=1
refuses 2 'unknown option "-x"' config list -x
refuses 2 'too many arguments .*found "extra"' config list extra
refuses 2 'too many arguments .*found "b"' config check shakespeare-quick b
refuses 2 '--set: expected a value, found the end' config dump --set
refuses 2 '--set: expected a value, found the option "--set"' config dump --set --set
refuses 2 'expected KEY=VALUE, found ""' config dump --set=
refuses 2 'expected KEY=VALUE, found ""' config dump --set ''
refuses 2 '"train.seed": set twice' config dump --set train.seed=1 --set train.seed=2
refuses 2 'data.cache_dir: empty' config check shakespeare-quick --set data.cache_dir=
refuses 2 'unknown preset .*found "--help"' config check -- --help

# Configs.
refuses 2 'unknown preset .*did you mean "shakespeare-quick"' config check shakespeare-quik
refuses 66 '^error: missing\.json: ' config check missing.json
refuses 66 '^error: \./missing: ' config check ./missing
mkdir folder.json
refuses 66 '^error: folder\.json: ' config check folder.json
mkfifo pipe.json
run timeout 10 "$sluice" config check pipe.json
[ "$code" = 66 ] || fail "a FIFO as config: exit $code"
if [ "$(id -u)" != 0 ]; then
  echo '{}' >secret.json
  chmod 000 secret.json
  refuses 66 '^error: secret\.json: ' config check secret.json
fi
head -c 2000000 /dev/zero >big.json
refuses 2 '^error: big\.json: .*too large' config check big.json
: >empty.json
refuses 2 '^error: empty\.json: line 1: empty' config check empty.json
printf '{\n"model": {\n"droput": {}}}' >typo.json
refuses 2 '^error: typo\.json: line 3: model\.droput: unknown key .*did you mean "dropout"\?$' \
  config check typo.json
printf '{"a\\nb\\u001b[31m": 1}' >escape.json
refuses 2 'a\\nb' config check escape.json
refuses 66 'x\\ny' config check $'x\ny.json'
refuses 66 'x\\xff' config check $'x\xff.json'
refuses 2 'train\.max_steps.*found "1e3"|found 1e3' config check shakespeare-quick \
  --set train.max_steps=1e3
refuses 2 'train: no limit' config check shakespeare-quick --set train.max_steps=null
refuses 2 '^error: data\.context_tokens: .*expected 0 when data\.mode is lines, found 8' \
  config check shakespeare-quick --set data.mode=lines --set data.context_tokens=8
refuses 2 '^error: data\.carry_context: .*expected false' config check shakespeare-quick \
  --set data.mode=lines --set data.carry_context=true
refuses 2 '^error: data\.tokens_per_sample: .*found 2' config check shakespeare-quick \
  --set data.carry_context=true --set data.tokens_per_sample=2

# An instruction set that cannot be had is refused before anything is read; help does not mind.
export SLUICE_ISA=avx9
for command in 'train missing.json' 'eval missing missing.txt' 'generate missing'; do
  # shellcheck disable=SC2086  # words of a command line
  refuses 2 '^error: SLUICE_ISA: .*expected one of .*reference, found "avx9"' $command
done
prints '^  SLUICE_ISA ' --help
unset SLUICE_ISA

# The product.
prints '^shakespeare-quick: ok$' config check shakespeare-quick --set train.seed=5
prints '^shakespeare-quick +[A-Z]' config list
prints '"repeat": 3' config dump shakespeare-quick --set model.blocks.0.repeat=3
cp out full.json
prints '^full\.json: ok$' config check full.json
run "$sluice" config dump ./full.json
cmp -s out full.json || fail "the dump of a dump differs"
prints '"train": \["a b"\]' config dump --set 'data.train=a b'

# stdout that cannot be written: one line and 74; a reader that went away: 141, quietly.
"$sluice" config list 2>err >/dev/full
[ $? = 74 ] || fail "full stdout: wrong exit"
[ "$(grep -c '^error: standard output: ' err)" = 1 ] || fail "full stdout: $(cat err)"
"$sluice" config list 2>err >&-
[ $? = 74 ] || fail "closed stdout: wrong exit"
[ "$(grep -c '^error: standard output: ' err)" = 1 ] || fail "closed stdout: $(cat err)"
"$sluice" --help 2>err >/dev/full
[ $? = 74 ] || fail "--help to a full stdout: wrong exit"
mkfifo gone
cat <gone >/dev/null &
reader=$!
exec 9>gone
kill $reader
wait $reader 2>/dev/null
"$sluice" config list 2>err >&9
[ $? = 141 ] || fail "broken pipe: wrong exit"
[ -s err ] && fail "broken pipe is not quiet: $(cat err)"
exec 9>&-
# With every stream closed nothing may land in the config file that is opened next.
cp full.json before.json
"$sluice" config check full.json <&- >&- 2>&-
[ $? = 74 ] || fail "all streams closed: wrong exit"
cmp -s full.json before.json || fail "a closed stdout let the config be written to"

# Too little memory is an error like any other. (A sanitizer's build does not start under a limit.)
{
  printf '{"data": {"train": [""'
  printf ', ""%.0s' $(seq 200000)
  printf ']}}'
} >long.json
limit=40000
if { (ulimit -v $limit && "$sluice" --version); } >/dev/null 2>&1; then
  limited() (ulimit -v $limit && exec "$sluice" config check long.json)
  run limited
  [ $code = 71 ] || fail "little memory: exit $code"
  grep -q '^error: out of memory' err || fail "little memory: $(cat err)"
fi

if [ $failures -gt 0 ]; then
  echo "$failures failures"
  exit 1
fi
echo "all as it should be"
