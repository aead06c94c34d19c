#!/bin/bash
# On a terminal: the bar is drawn there, and a terminal that goes away (a dropped connection) stops
# the run as SIGHUP asks, with everything saved.
# usage: terminal_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus

python3 - "$sluice" 2>"$scratch/python" <<'PY' || fail "$(tail -n 3 "$scratch/python")"
import glob, os, pty, select, sys, time

pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], ["sluice", "train", "tiny.json", "--out", "runs/a", "--max-steps", "1000000",
                           "--set", "train.eval_every=1000000"])
seen, deadline = b"", time.time() + 60
while b"eta" not in seen or b"[" not in seen:  # the bar, not a log line alone
    assert time.time() < deadline, seen
    if select.select([terminal], [], [], 1)[0]:
        seen += os.read(terminal, 65536)
assert b"\r" in seen and b"\x1b[K" in seen, seen
os.close(terminal)
_, status = os.waitpid(pid, 0)
assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 75, status
steps = [int(path[-20:-12]) for path in glob.glob("runs/a/checkpoints/step-*.safetensors")]
assert max(steps) > 0, steps
PY
succeeds train --resume --out runs/a --max-steps 1

finish
