#!/bin/bash
# End to end: `verify`, on whole files and on damaged ones; `config schema`.
# usage: verify_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus
succeeds train tiny.json --out runs/a --max-steps 20 --set train.ema_decay=0.9
tokens=$(find "$scratch/cache/sluice" -type f | head -n 1)
succeeds tokenizer train train.txt --out word.tok --type word

# Whole: a line for each file, with kind and size; a run is its config and all its models.
succeeds verify runs/a "$tokens" word.tok tiny.json
{
  for file in runs/a/config.json runs/a/checkpoints/step-000000{10,20}.safetensors \
    runs/a/best.safetensors "$tokens" word.tok tiny.json; do
    case $file in
      *.json) kind=config ;; */step-*) kind=checkpoint ;; *.tok) kind=tokenizer ;;
      */best*) kind=model ;; *) kind='token file' ;;
    esac
    echo "ok $kind $file ($(stat -c %s "$file"))"
  done
} >expected
cmp -s "$out" expected || fail "verify: $(diff "$out" expected)"
[ -s "$err" ] && fail "verify is not quiet: $(cat "$err")"

# A damaged one: nothing is called good, the first is named, the others are counted.
flip() { # FILE OFFSET
  python3 - "$@" <<'PY'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[int(sys.argv[2])] ^= 1
open(sys.argv[1], "wb").write(data)
PY
}
cp -r runs/a runs/bad
flip runs/bad/checkpoints/step-00000010.safetensors -1
refuses 65 '^error: runs/bad/checkpoints/step-00000010\.safetensors: .*; the file is damaged$' verify runs/bad
flip runs/bad/best.safetensors 3000
refuses 65 '^error: runs/bad/checkpoints/step-00000010\.safetensors: .*; 2 of 4 files are bad, 2 are good$' \
  verify runs/bad
refuses 65 '; 2 of 5 files are bad, 3 are good$' verify word.tok runs/bad
refuses 66 '^error: missing: .*; 3 of 5 files are bad, 2 are good$' verify missing runs/bad
cp "$tokens" tokens && flip tokens -1
refuses 65 '^error: tokens: ' verify tokens
head -c -1 word.tok >cut.tok
refuses 65 '^error: cut\.tok: offset ' verify cut.tok
sed 's/"lr"/"rl"/' tiny.json >typo.json
refuses 65 '^error: typo\.json: line [0-9]+: optimizer\.rl: unknown key' verify typo.json
sed 's/"max_steps": 30, //' tiny.json >limit.json
refuses 65 '^error: limit\.json: train: no limit' verify limit.json
refuses 65 '^error: train\.txt: nothing to verify .*found text' verify train.txt
refuses 66 'missing' verify missing
refuses 66 'runs: not a run' verify runs
refuses 2 'FILE is required' verify
"$sluice" verify runs/a >/dev/full 2>"$err"
[ $? = 74 ] || fail "verify to a full stdout: $(cat "$err")"

# The schema is JSON and knows the keys of a dump; what it means is tested in tests/config.
succeeds config schema
python3 - "$out" 2>"$scratch/python" <<'PY' || fail "schema: $(tail -n 2 "$scratch/python")"
import json, sys
schema = json.load(open(sys.argv[1]))
assert list(schema)[:2] == ["$schema", "title"] and schema["additionalProperties"] is False
assert "lr" in schema["properties"]["optimizer"]["properties"]
PY
refuses 2 'too many arguments' config schema default

finish
