#!/bin/bash
# From a clone to a model that has been trained, evaluated and made to write: the whole product on
# one small corpus. An interrupted demo goes on where it stopped; a finished one is shown again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

run=runs/demo-shakespeare
sluice=build/release/sluice

case "${1-}" in
  "") again=no ;;
  --again) again=yes ;;
  *)
    echo "usage: scripts/demo.sh [--again]     (--again: train anew in place of $run)" >&2
    exit 2
    ;;
esac

cat <<TEXT
Sluice demo: a character model of Shakespeare, from this clone to text it wrote.
On two cores it takes about 5 minutes the first time:
  1. packages    under a minute, if any are missing (as root or through sudo)
  2. build       about 2 minutes
  3. training    about 2 minutes, into $run
  4. evaluation and text    a few seconds
Ctrl-C is safe: running it again goes on where it stopped.
TEXT

took() { echo "    ($((SECONDS - began)) s)"; }

echo && echo "1. Packages" && began=$SECONDS
scripts/install_deps.sh
took

echo && echo "2. Build" && began=$SECONDS
cmake --preset release >/dev/null
cmake --build build/release --parallel "$(nproc)"
took

echo && echo "3. Training" && began=$SECONDS
train=("$sluice" train)
if [ $again = yes ] && [ -e $run ]; then
  echo "Training anew: the model in $run is replaced."
  train+=(shakespeare-quick --out $run --overwrite)
elif compgen -G "$run/checkpoints/step-*.safetensors" >/dev/null; then
  echo "$run exists: going on from its last checkpoint. If that run is finished, its model is"
  echo "used as it is; scripts/demo.sh --again trains anew."
  train+=(--resume --out $run)
elif [ -e $run ]; then
  # Stopped before its first checkpoint: there is nothing to resume and nothing to lose.
  train+=(shakespeare-quick --out $run --overwrite)
else
  train+=(shakespeare-quick --out $run)
fi
echo "\$ ${train[*]}"
status=0
"${train[@]}" || status=$?
if [ $status -eq 75 ]; then
  echo "Stopped, and saved. Run scripts/demo.sh again to go on."
fi
if [ $status -ne 0 ]; then exit $status; fi
took

echo && echo "4. Evaluation and text" && began=$SECONDS
echo "\$ $sluice eval $run data/shakespeare/valid.txt"
"$sluice" eval $run data/shakespeare/valid.txt
echo
echo "\$ $sluice generate $run --prompt 'ROMEO:' --echo -n 400"
"$sluice" generate $run --prompt 'ROMEO:' --echo -n 400
took

echo
echo "Done in $((SECONDS / 60)) min $((SECONDS % 60)) s. Now on your own text:"
echo "  $sluice train --train my.txt"
