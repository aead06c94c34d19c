#!/bin/bash
# scripts/demo.sh with a fake build and a fake sluice: what is trained, resumed and replaced.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
sandbox=$(mktemp -d)
trap 'rm -rf "$sandbox"' EXIT
failures=0

clone=$sandbox/a\ clone # the path of a clone may hold a space
run=$clone/runs/demo-shakespeare
mkdir -p "$clone/scripts" "$clone/build/release" "$sandbox/bin" && cp "$root/scripts/demo.sh" "$clone/scripts"
printf '#!/bin/bash\n' | tee "$clone/scripts/install_deps.sh" >"$sandbox/bin/cmake"
cat >"$clone/build/release/sluice" <<'FAKE'
#!/bin/bash
echo "sluice $*" >>calls
[ "$1" = train ] || exit 0
mkdir -p runs/demo-shakespeare/checkpoints
if [ -e die_early ]; then exit 70; fi
touch runs/demo-shakespeare/checkpoints/step-00000000.safetensors
if [ -e wait_for_signal ]; then
  trap 'exit 75' INT
  touch training
  while :; do sleep 0.05; done
fi
FAKE
chmod +x "$clone"/scripts/* "$sandbox"/bin/* "$clone/build/release/sluice"

demo() { # STATUS [ARGUMENT...]: runs the demo from elsewhere and checks its exit status
  local wanted=$1 status=0
  shift
  rm -f "$clone/calls"
  (cd / && PATH="$sandbox/bin:$PATH" "$clone/scripts/demo.sh" "$@") >"$sandbox/out" 2>&1 || status=$?
  [ $status -eq "$wanted" ] || fail "exit status $status, expected $wanted"
}
fail() {
  echo "FAILED ($case): $1" && cat "$sandbox/out" "$clone/calls"
  failures=$((failures + 1))
}
calls() { # LINE...: what sluice was asked to do
  printf '%s\n' "$@" | cmp -s - "$clone/calls" || fail "wrong calls, expected: $*"
}
out=runs/demo-shakespeare
shown=("sluice eval $out data/shakespeare/valid.txt"
  "sluice generate $out --prompt ROMEO: --echo -n 400")

case="first run"
demo 0 && calls "sluice train shakespeare-quick --out $out" "${shown[@]}"

case="second run goes on with what is there"
demo 0 && calls "sluice train --resume --out $out" "${shown[@]}"

case="--again replaces"
demo 0 --again && calls "sluice train shakespeare-quick --out $out --overwrite" "${shown[@]}"

case="stopped before the first checkpoint"
rm -rf "$run" && touch "$clone/die_early" && demo 70
calls "sluice train shakespeare-quick --out $out"
rm "$clone/die_early" && demo 0
calls "sluice train shakespeare-quick --out $out --overwrite" "${shown[@]}"

case="Ctrl-C in training"
rm -rf "$run" && touch "$clone/wait_for_signal"
# In a process group of its own, as in a terminal: the signal reaches the script and sluice.
PATH="$sandbox/bin:$PATH" python3 - "$clone/scripts/demo.sh" "$clone/training" >"$sandbox/out" 2>&1 <<'PYTHON'
import os, signal, subprocess, sys, time
demo = subprocess.Popen([sys.argv[1]], start_new_session=True)
deadline = time.monotonic() + 20
while not os.path.exists(sys.argv[2]) and time.monotonic() < deadline:
    time.sleep(0.02)
os.killpg(demo.pid, signal.SIGINT)
sys.exit(demo.wait(timeout=20))
PYTHON
status=$?
[ $status -eq 75 ] || fail "exit status $status, expected 75"
grep -q 'Run scripts/demo.sh again to go on' "$sandbox/out" || fail "does not say how to go on"
rm "$clone/wait_for_signal" && demo 0
calls "sluice train --resume --out $out" "${shown[@]}"

case="an unknown argument"
demo 2 --fast

[ $failures -eq 0 ] && echo "demo: all cases hold"
exit $((failures > 0))
