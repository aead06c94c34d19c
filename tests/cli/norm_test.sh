#!/bin/bash
# End to end: networks behind rms and layer norms.
# usage: norm_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus

for norm in rms layer; do
  succeeds train tiny.json --out runs/$norm --max-steps 40 --set model.norm=$norm \
    --set model.residual_scale=1 --set train.save_every=20 --set train.flow_every=20
  grep -q '"blocks.1.norm"' runs/$norm/metrics.jsonl || fail "$norm: no flow of the norms"
  succeeds verify runs/$norm
  succeeds average runs/$norm/checkpoints/*.safetensors --out $norm.safetensors
  succeeds info $norm.safetensors --json
  grep -q "\"norm\":\"$norm\"" "$out" || fail "$norm: $(cat "$out")"
  # Weights and products in fewer bits: the same figure but for their rounding.
  figures=()
  for form in --weights=f32 --weights=int8 --precision=bf16; do
    succeeds eval runs/$norm valid.txt --json $form
    figures+=("$(grep -o '"nats_per_token":[0-9.]*' "$out" | grep -o '[0-9.]*$')")
  done
  python3 - "${figures[@]}" <<'PY' || fail "$norm: losses ${figures[*]}"
import sys
exact, *others = map(float, sys.argv[1:])
sys.exit(not (2.5 < exact < 3.6 and all(0 < abs(loss / exact - 1) < 0.01 for loss in others)))
PY
  # Texts written together have the bits of each alone.
  succeeds generate runs/$norm --prompt The -n 30 --seed 4 --num-samples 3 --json
  python3 - "$out" "$sluice" runs/$norm 2>"$scratch/python" <<'PY' ||
import json, subprocess, sys
samples = [json.loads(line) for line in open(sys.argv[1])]
assert len(samples) == 3
for sample in samples:
    alone = json.loads(subprocess.check_output(
        [sys.argv[2], "generate", sys.argv[3], "--seed", str(sample["seed"]), "-n", "30", "--prompt",
         "The", "--json"]))
    for key in ("text", "logprob_nats"):
        assert alone[key] == sample[key], (key, alone, sample)
PY
    fail "$norm: generate: $(tail -n 1 "$scratch/python")"
  # Another norm is another network.
  refuses 2 '^error: model\.norm: .*expected "'$norm'", found "weight"' \
    train --init runs/$norm --train train.txt --out new --set model.norm=weight
done
refuses 2 'model\.norm: .*batch' train tiny.json --out new --set model.norm=batch
succeeds config schema
grep -q '"layer"' "$out" || fail "schema: no layer norm"

finish
