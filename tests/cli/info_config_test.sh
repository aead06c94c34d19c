#!/bin/bash
# End to end: `info --config`, a network layer by layer from its config alone.
# usage: info_config_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus

# Every preset that has a vocabulary of its own, and others by --vocab: at most 80 columns, and the
# JSON form adds up.
while read -r preset _; do
  # The others have cutoffs of their own.
  case $preset in gcnn-*) set -- ;; *) set -- --set 'model.output.cutoffs=[]' ;; esac
  succeeds info --config "$preset" --vocab 300000 "$@"
  grep -q '^total ' "$out" || fail "$preset: $(cat "$out")"
  [ "$(awk '{ if (length > n) n = length } END { print n }' "$out")" -le 80 ] ||
    fail "info --config $preset: more than 80 columns"
  succeeds info --config "$preset" --vocab 300000 --json "$@"
  python3 - "$out" 2>"$scratch/python" <<'PY' || fail "$preset: $(tail -n 3 "$scratch/python")"
import json, sys
net = json.load(open(sys.argv[1]))
layers, parameters = net["layers"], net["parameters"]
assert parameters["total"] == sum(layer["parameters"] for layer in layers)
assert parameters["total"] == sum(parameters[part] for part in ("embedding", "body", "output"))
assert net["flop_per_token"] == sum(layer["flop_per_token"] for layer in layers)
assert net["receptive_field"] == layers[-1]["receptive_field"]
for layer in layers:
    size = 1
    for extent in layer["shape"]: size *= extent
    tied = layer["name"] == "output" and layer["parameters"] < size  # the embedding's rows
    assert tied or layer["parameters"] >= size, layer
    assert not tied or size == layers[0]["parameters"], layer
    assert layer["flop_per_token"] in (0, 2 * size), layer
PY
done < <("$sluice" config list)

# At the vocabulary of the preset, --vocab's, a byte tokenizer's.
total() { # TOTAL ARGUMENTS...
  local expected=$1
  shift
  succeeds info --config "$@"
  grep -qE "^total +$expected " "$out" || fail "info --config $*: $(grep '^total' "$out")"
}
total 229305428 gcnn-14
total $((229305428 - 3320 * (280 + 32))) gcnn-14 --vocab $((267744 - 3320))
total $((256 * 6 + 6 * 8 + 2 * 8 + 2 * (3 * 8 * 16 + 2 * 16) + 9 * 256)) tiny.json \
  --set tokenizer.type=byte --set 'model.output.cutoffs=[]'
total $((256 * 6 + 6 * 8 + 8 + 2 * (16 + 3 * 8 * 16 + 16) + 16 + 9 * 256)) tiny.json \
  --set tokenizer.type=byte --set 'model.output.cutoffs=[]' --set model.norm=layer
grep -qE '^blocks\.1\.norm +\[8\] +16 +3 +0$' "$out" || fail "norm: $(cat "$out")"
grep -qE '^ +\[channels\] of a norm$' "$out" || fail "norm: $(cat "$out")"
# A trained model has what its config said.
succeeds train tiny.json --out runs/a --max-steps 1
succeeds info runs/a --json
parameters=$(grep -o '"parameters":[0-9]*' "$out" | grep -o '[0-9]*')
words=$(grep -o '"vocab_size":[0-9]*' "$out" | grep -o '[0-9]*')
total "$parameters" runs/a/config.json --vocab "$words"
# A limit on the run's length is not needed here.
total "$parameters" runs/a/config.json --vocab "$words" --set train.max_steps=null

refuses 2 'info: what about\? .*found neither' info
refuses 2 'info: what about\? .*found both' info runs/a --config default
refuses 2 '^error: info: --vocab: belongs to --config' info runs/a --vocab 9
refuses 2 '^error: info: --which: belongs to a run' info --config default --vocab 9 --which nonsense
refuses 2 '^error: --which: expected best or last' info runs/a --which nonsense
refuses 2 '^error: info: --set: belongs to --config' info runs/a --set train.seed=1
refuses 2 'tokenizer\.vocab_size: not known.*--vocab' info --config default
refuses 2 'unknown preset' info --config gcnn-15
refuses 2 '--vocab: expected an integer' info --config default --vocab 1
refuses 2 'model\.output\.cutoffs: not known.*expected a list' info --config gcnn-8 \
  --set model.output.cutoffs=auto
refuses 2 'model\.output\.cutoffs\.[01]: ' info --config gcnn-8 --vocab 100
refuses 2 'model\.output\.cutoffs\.[01]: ' info --config gcnn-8 \
  --set 'model.output.cutoffs=[20,10]'
refuses 2 'too many parameters' info --config default --vocab 9 \
  --set 'model.blocks=[{"layers":[{"channels":1000000}],"repeat":4000}]'

finish
