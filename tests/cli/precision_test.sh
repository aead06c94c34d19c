#!/bin/bash
# End to end: what products are computed in, as it is chosen, said and remembered. On a CPU without
# AMX the vector kernels emulate bf16. usage: precision_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus
sed -i 's/, *$/,/; s/"precision": "f32"/"precision": "auto"/' tiny.json
grep -q '"precision": "auto"' tiny.json || fail "no precision to change: $(cat tiny.json)"

kernels=$("$sluice" --help | sed -n 's/^ *.*(default \([a-z0-9]*\))$/\1/p')
kernels=${SLUICE_ISA:-$kernels}
warning='^warning: precision bf16(x3)? is emulated by the [a-z0-9]+ kernels, slower than f32: .* no AMX'
# announced PRECISION: as the run's start line has it, with the kernels in brackets.
announced() { grep -qE "^training: .* steps of 64 tokens, $1 \\([a-z0-9]+\\) on " "$err"; }
figure() { python3 -c "import json; print(json.load(open('$out'))['$1'])"; }
model_of() { "$sluice" info "$1" --json | grep -o '"model_hash":"[0-9a-f]*"'; }
close_to() { python3 -c "import sys; a, b, t = map(float, sys.argv[1:]); sys.exit(abs(a / b - 1) > t)" "$@"; }

# --- The plain kernels know f32 alone, and are told so before anything is read.
for option in '--precision bf16' '--set train.precision=bf16x3'; do
  # shellcheck disable=SC2086  # words of a command line
  SLUICE_ISA=reference refuses 2 '^error: precision bf16(x3)?: .*found reference\)' \
    train tiny.json $option --train missing.txt --out none
done
SLUICE_ISA=reference refuses 2 '^error: precision bf16: .*found reference\)' \
  eval missing missing.txt --precision bf16
SLUICE_ISA=reference refuses 2 '^error: precision bf16: ' bench bench/tiny --precision bf16
SLUICE_ISA=reference succeeds train tiny.json --out plain --max-steps 5
announced f32 || fail "reference: $(cat "$err")"

# --- What is no precision.
for command in 'train tiny.json --out none' 'eval plain valid.txt' 'bench bench/tiny'; do
  # shellcheck disable=SC2086
  refuses 2 '^error: --precision: expected one of auto, f32, bf16, bf16x3, found "bf61"; did you mean' \
    $command --precision bf61
done
refuses 2 'train\.precision: unknown name \(expected one of f32, bf16, bf16x3, or "auto"' \
  train tiny.json --set train.precision=half
# A token of a text is multiplied in f32, or in what its weights are in.
refuses 2 'unknown option "--precision"' generate plain --precision bf16
for weights in bf16 int8; do
  for precision in bf16 auto; do
    refuses 2 "^error: --weights $weights and --precision $precision: " \
      eval plain valid.txt --weights $weights --precision $precision
  done
  succeeds eval plain valid.txt --weights $weights --precision f32 --json
  [ "$(figure precision)" = $weights ] || fail "--weights $weights: $(cat "$out")"
done

if [ "$kernels" = reference ]; then
  finish
  exit
fi

# --- Chosen by option, by config, or by the CPU; the option wins.
automatic=f32
[ "$kernels" = amx ] && automatic=bf16
succeeds train tiny.json --out auto
announced $automatic || fail "auto: $(cat "$err")"
grep -qE "$warning" "$err" && fail "auto is warned of: $(cat "$err")"
for precision in bf16 bf16x3; do
  succeeds train tiny.json --out option-$precision --precision $precision
  announced $precision || fail "--precision $precision: $(cat "$err")"
  warned=$(grep -cE "$warning" "$err")
  [ "$warned" = "$([ "$kernels" = amx ] && echo 0 || echo 1)" ] || fail "warned: $(cat "$err")"
  cp "$err" option.err
  succeeds train tiny.json --out config-$precision --set train.precision=$precision
  announced $precision || fail "train.precision=$precision: $(cat "$err")"
  [ "$(model_of option-$precision)" = "$(model_of config-$precision)" ] ||
    fail "$precision by option and by config differ"
  # In other bits than f32, but not far from it.
  succeeds eval option-$precision valid.txt --json --precision $precision
  [ "$(figure precision)" = $precision ] || fail "eval --precision $precision: $(cat "$out")"
  narrow=$(figure nats_per_token)
  succeeds eval option-$precision valid.txt --json
  [ "$(figure precision)" = f32 ] || fail "eval: $(cat "$out")"
  exact=$(figure nats_per_token)
  [ "$narrow" != "$exact" ] || fail "$precision: evaluated in f32"
  close_to "$narrow" "$exact" 0.002 || fail "$precision: $narrow, in f32 $exact"
  # The run validated in its own precision, and ended with the figure of f32.
  grep -qE "best: step [0-9]+, $(printf '%.4f' "$narrow") nats" option.err ||
    fail "$precision: not validated as $narrow: $(cat option.err)"
  grep -q "^in f32, as \"sluice eval\": $(printf '%.4f' "$exact") nats per token, perplexity " \
    option.err || fail "$precision: not $exact in f32: $(cat option.err)"
done
for threads in 1 2 3; do
  succeeds eval option-bf16 valid.txt --json --precision bf16 --threads $threads
  figure nll_nats_total >>nats
done
[ "$(sort -u nats | wc -l)" = 1 ] || fail "threads change what bf16 says: $(cat nats)"
succeeds eval option-bf16 valid.txt --precision bf16
grep -qE '^speed +.* tokens/s in bf16 \([a-z0-9]+\), ' "$out" || fail "eval: $(cat "$out")"
succeeds eval option-bf16 valid.txt --precision auto --json
[ "$(figure precision)" = $automatic ] || fail "eval --precision auto: $(cat "$out")"
succeeds train tiny.json --out f32 --precision f32 --set train.precision=bf16
announced f32 || fail "the option does not win: $(cat "$err")"
[ "$(model_of f32)" != "$(model_of option-bf16)" ] || fail "bf16 trains as f32"
grep -q '^in f32, as' "$err" && fail "f32 is evaluated twice"

# --- Said by --dry-run, with what the operands take.
succeeds train tiny.json --dry-run --precision bf16
grep -qE '^computed in +bf16 \([a-z0-9]+ kernels\)$' "$out" || fail "dry run: $(cat "$out")"
grep -qE '^  working copies +[0-9.]+[kM]?B$' "$out" || fail "dry run: $(cat "$out")"
succeeds train tiny.json --dry-run --precision f32
grep -qE '^computed in +f32 ' "$out" || fail "dry run: $(cat "$out")"
grep -q 'working copies' "$out" && fail "f32 has no copies: $(cat "$out")"

# --- Remembered; it may change when a run goes on, which says so.
remembered() { # RUN PRECISION
  succeeds info "$1" --which last --json
  [ "$(figure precision)" = "$2" ] || fail "$1: not $2: $(figure precision)"
}
remembered option-bf16x3 bf16x3
remembered f32 f32
succeeds train --resume --out option-bf16 --max-steps 32
announced bf16 || fail "resumed: $(cat "$err")"
grep -q '^precision: ' "$err" && fail "nothing changed: $(cat "$err")"
succeeds train --resume --out option-bf16 --max-steps 34 --precision f32
announced f32 || fail "resumed: $(cat "$err")"
grep -qx 'precision: bf16 until here, f32 from here on' "$err" || fail "resumed: $(cat "$err")"
grep -q 'precision: bf16 until here, f32 from here on$' option-bf16/train.log || fail "no log"
remembered option-bf16 f32
succeeds train --resume --out option-bf16 --max-steps 36 --set train.precision=bf16x3
grep -qx 'precision: f32 until here, bf16x3 from here on' "$err" || fail "resumed: $(cat "$err")"
succeeds verify option-bf16
refuses 2 'optimizer\.lr: cannot change.* train\.precision and data\.cache_dir can$' \
  train --resume --out option-bf16 --set optimizer.lr=1
# What goes on from a model chooses anew for this machine.
succeeds train --init option-bf16x3 --train train.txt --valid valid.txt --out further
announced $automatic || fail "--init: $(cat "$err")"

# --- bench, with the limit of the unit that multiplies.
for precision in f32 bf16 bf16x3; do
  succeeds bench tiny.json --set tokenizer.vocab_size=60 --seconds 0.1 --precision $precision --json
  [ "$(figure precision)" = $precision ] || fail "bench --precision $precision: $(cat "$out")"
  [ "$kernels $precision" = 'amx bf16' ] && [ "$(figure peak_instructions)" != AMX ] &&
    fail "bench: $(cat "$out")"
done
succeeds bench tiny.json --set tokenizer.vocab_size=60 --seconds 0.1 --precision bf16x3
grep -qE '^computed by +[a-z0-9]+ kernels, bf16x3, threads: ' "$out" || fail "bench: $(cat "$out")"
grep -qE '^limits +[0-9.]+ GFLOP/s of (f32|bf16) multiply-adds \(.*\), three for one$' "$out" ||
  fail "bench: $(cat "$out")"
succeeds bench tiny.json --set tokenizer.vocab_size=60 --seconds 0.1 --json
[ "$(figure precision)" = $automatic ] || fail "bench: $(cat "$out")"

finish
