#!/bin/bash
# generate: many samples and prompts, stop strings, beam search, turns on a pipe and on a terminal.
# usage: generate_test.sh SLUICE
source "$(dirname "$0")/harness.bash"
make_tiny_corpus
succeeds train tiny.json --out runs/a

# check NAME ARGUMENTS...: a Python script from stdin.
check() {
  local name=$1
  shift
  python3 - "$@" 2>"$scratch/python" || fail "$name: $(tail -n 3 "$scratch/python")"
}
generate() {
  succeeds generate runs/a "$@"
  cp "$out" generated
}

# --- several samples, several prompts
generate --seed 7 -n 40 --prompt To
cp generated one
generate --seed 7 -n 40 --prompt To --num-samples 4
check '--num-samples' <<'PY'
import re
parts = re.split(r"^--- prompt 1 sample (\d) ---\n", open("generated").read(), flags=re.M)
assert parts[0] == "" and parts[1::2] == list("1234"), parts
assert parts[2] == open("one").read(), parts[2]
assert len(set(parts[2::2])) == 4, parts
PY
for threads in 1 2 3; do
  run "$sluice" generate runs/a --seed 7 -n 40 --prompt To --num-samples 4 --threads $threads
  cmp -s "$out" generated || fail "--num-samples --threads $threads differs"
done
generate --seed 7 -n 5 --prompt To --num-samples 2 --echo
check '--num-samples --echo' <<'PY'
import re
texts = re.split(r"^---.*---\n", open("generated").read(), flags=re.M)[1:]
assert len(texts) == 2 and all(text.startswith("To") and len(text) == 8 for text in texts), texts
PY

printf 'To\n\nROM\nThe king' >prompts.txt
generate --seed 7 -n 30 --prompts prompts.txt --num-samples 2 --json
cp generated all.json
"$sluice" generate runs/a --seed 7 -n 30 --prompts - --num-samples 2 <prompts.txt >"$out" 2>"$err"
check '--prompts' "$sluice" "$out" <<'PY'
import json, re, subprocess, sys
samples = [json.loads(line) for line in open("all.json")]
assert [s["prompt"] for s in samples] == [p for p in ["To", "", "ROM", "The king"] for _ in "12"]
for sample in samples:
    assert list(sample) == "prompt text tokens logprob_nats finish_reason seed seconds".split()
    assert sample["tokens"] == 30 and sample["finish_reason"] == "length", sample
# Each again by itself, by its seed.
assert samples[0]["seed"] == 7
for sample in samples[:3] + samples[-1:]:
    alone = json.loads(subprocess.check_output(
        [sys.argv[1], "generate", "runs/a", "--seed", str(sample["seed"]), "-n", "30", "--prompt",
         sample["prompt"], "--json"]))
    for key in ("text", "logprob_nats", "seed"):
        assert alone[key] == sample[key], (key, alone, sample)
plain = re.split(r"^--- prompt (\d) sample (\d) ---\n", open(sys.argv[2]).read(), flags=re.M)[1:]
assert list(zip(plain[0::3], plain[1::3])) == [(p, s) for p in "1234" for s in "12"], plain
assert plain[2::3] == [sample["text"] + "\n" for sample in samples], plain
PY
generate --seed 7 -n 30 --prompts <(printf 'o\n\n') --num-samples 3 --json
check 'a sample whatever else is asked for' <<'PY'
import json
few = [json.loads(line) for line in open("all.json")]
more = [json.loads(line) for line in open("generated")]
assert len(more) == 6 and more[0]["seed"] == 7
for i in (0, 1):  # of the second prompt, which is empty in both
    assert {**few[2 + i], "seconds": 0} == {**more[3 + i], "seconds": 0}, (few[2 + i], more[3 + i])
PY
printf 'To\n' >single.txt
generate --seed 7 -n 40 --prompts single.txt
{ echo '--- prompt 1 sample 1 ---' && cat one; } | cmp -s - generated || fail "one prompt of a file"
yes To | head -n 150 >many.txt
generate --seed 7 -n 3 --prompts many.txt --json
[ "$(wc -l <generated)" = 150 ] || fail "150 prompts: $(wc -l <generated)"

# --- weights of fewer bits: nearly the same model
generate --seed 7 -n 40 --prompt To --weights f32
cmp -s generated one || fail "--weights f32 is not what there is without"
for weights in bf16 int8; do
  generate --prompt To -n 40 --temperature 0 --weights $weights --threads 2 --json
  cp generated written.json
  generate --prompt To -n 40 --temperature 0 --weights $weights --threads 1 --json
  succeeds eval runs/a valid.txt --json
  cp "$out" exact.json
  succeeds eval runs/a valid.txt --json --weights $weights
  check "--weights $weights" written.json generated exact.json "$out" $weights <<'PY'
import json, math, sys
written, again, exact, narrow = [json.load(open(name)) for name in sys.argv[1:5]]
assert written["logprob_nats"] == again["logprob_nats"], (written, again)
assert exact["precision"] == "f32" and narrow["precision"] == sys.argv[5], narrow["precision"]
change = narrow["perplexity"] / exact["perplexity"] - 1
assert change != 0 and abs(change) < 0.01, change
PY
  succeeds eval runs/a valid.txt --weights $weights
  grep -q "^weights  *rounded to $weights$" "$out" || fail "no weights: $(cat "$out")"
done
refuses 2 '^error: --weights: expected one of f32, bf16, int8, found "bf15"; did you mean "bf16"\?$' \
  generate runs/a --weights bf15
refuses 2 '^error: --weights: expected one of f32, bf16, int8, found "8"' eval runs/a valid.txt \
  --weights 8

# --- what may be drawn
for option in '--min-p 1' '--beam 1'; do
  run "$sluice" generate runs/a -n 30 --temperature 0 --prompt To
  cp "$out" greedy
  generate $option -n 30 --prompt To
  cmp -s generated greedy || fail "$option is not greedy"
done
run "$sluice" generate runs/a -n 60 --temperature 0 --prompt To --repeat-penalty 5 --repeat-window 20
check '--repeat-penalty' "$out" <<'PY'
import sys
text = open(sys.argv[1]).read()
# Greedy and hardly trained, it would go round in a small circle.
assert len(set(text)) >= 15 > len(set(open("greedy").read())), text
PY
generate -n 20 --beam 5 --prompt To --json
run "$sluice" generate runs/a -n 20 --beam 5 --prompt To --json --threads 1
check '--beam' "$out" <<'PY'
import json, sys
one, two = json.load(open("generated")), json.load(open(sys.argv[1]))
assert one["text"] == two["text"] and one["logprob_nats"] == two["logprob_nats"]
assert one["tokens"] == 20 and one["seed"] is None, one
PY
generate -n 20 --temperature 0 --prompt To --json
check 'greedy' <<'PY'
import json
assert json.load(open("generated"))["seed"] is None
PY
generate -n 4 --beam 2 --prompts prompts.txt
[ "$(grep -c '^--- prompt [1-4] sample 1 ---$' generated)" = 4 ] || fail "--beam --prompts"

# --- prompts from files: pipes too, and what an editor puts in front
printf '\xef\xbb\xbfTo' >mark.txt
for prompt in '--prompt-file mark.txt' "--prompts mark.txt" '--prompt-file pipe' '--prompts pipe'; do
  [ "${prompt#* }" = pipe ] && rm -f pipe && mkfifo pipe && { printf To >pipe & }
  succeeds generate runs/a --seed 7 -n 40 $prompt
  sed '/^--- prompt 1 sample 1 ---$/d' "$out" | cmp -s - one || fail "$prompt: $(cat "$out")"
done
rm pipe

# --- stop strings: whatever pieces they come in, and streamed or not
whole=$(cat one)
stop=${whole:12:3}
run "$sluice" generate runs/a --seed 7 -n 40 --prompt To --stop "$stop" --stop 'never comes'
check '--stop' "$out" "$stop" <<'PY'
import sys
whole, stop = open("one").read(), sys.argv[2]
assert open(sys.argv[1]).read() == whole[:whole.index(stop)] + "\n"
PY
cp "$out" streamed
generate --seed 7 -n 40 --prompt To --stop "$stop" --json
check '--stop --json' <<'PY'
import json
sample = json.load(open("generated"))
assert sample["text"] + "\n" == open("streamed").read() and sample["finish_reason"] == "stop"
PY
# A model of bytes: the stop string is a character that comes in two tokens, and no broken character
# is ever on stdout.
succeeds train tiny.json --out runs/bytes --set tokenizer.type=byte --max-steps 1
succeeds generate runs/bytes --seed 3 -n 4000 --temperature 2
check 'a character in --stop' "$sluice" "$out" <<'PY'
import re, subprocess, sys
text = open(sys.argv[2], "rb").read().decode()
wide = re.search("[\u0080-\ufffc]", text).group()
args = [sys.argv[1], "generate", "runs/bytes", "--seed", "3", "-n", "4000", "--temperature", "2"]
short = subprocess.check_output([*args, "--stop", wide]).decode()
assert short == text[:text.index(wide)] + "\n", wide
reader = subprocess.Popen(args, stdout=subprocess.PIPE)
while chunk := reader.stdout.read1():
    chunk.decode()  # whole characters in every write
PY

# --- refused
refuses 2 '--prompt and --prompts: expected one of them' generate runs/a --prompt a --prompts b
refuses 2 'expected one of them' generate runs/a --prompt-file a --interactive
for option in '--temperature 1' '--temp 1' '--top-k 2' '--top-p 0.5' '--min-p 0.1' \
  '--repeat-penalty 2' '--num-samples 2' '--seed 1'; do
  refuses 2 '--beam: has no use for --' generate runs/a --beam 2 $option
done
for option in '--top-k 2' '--top-p 0.5' '--min-p 0.1' '--num-samples 2' '--seed 1'; do
  refuses 2 "--temperature 0: has no use for ${option% *}" generate runs/a --temperature 0 $option
done
succeeds generate runs/a -n 1 --temperature 0 --num-samples 1
for option in '--beam 2' '--num-samples 2' --echo --json; do
  refuses 2 '--interactive: has no use for --' generate runs/a --interactive $option
done
for option in '--min-p 1.1' '--min-p -1' '--repeat-penalty 0.001' '--repeat-window 0' '--beam 0' \
  '--num-samples 0' '--max-tokens -1'; do
  refuses 2 "${option% *}: expected" generate runs/a $option
done
refuses 2 '--repeat-window: has no effect' generate runs/a --repeat-window 5
refuses 2 '--stop: expected text' generate runs/a --stop=
refuses 2 '--stop: expected text' generate runs/a --stop $'\xff'
printf 'To\n\nT\xff\n' >bad.txt
refuses 65 '^error: bad\.txt: line 3: offset 1: not UTF-8 .*found 0xff' generate runs/a \
  --prompts bad.txt
printf '\xef\xbb\xbfT\xff' >bad.txt
refuses 65 '^error: bad\.txt: offset 4: not UTF-8' generate runs/a --prompt-file bad.txt
refuses 65 '^error: bad\.txt: line 1: offset 4: not UTF-8' generate runs/a --prompts bad.txt
printf 'To\nT€\n' >bad.txt
refuses 65 '^error: bad\.txt: line 2: offset 1: unknown to the model .*found U\+20AC "€"' \
  generate runs/a --prompts bad.txt
printf 'To\r\n' >bad.txt
refuses 65 '^error: bad\.txt: offset 2: unknown to .*found U\+000D "\\r"' generate runs/a \
  --prompt-file bad.txt
: >empty.txt
refuses 65 'empty.txt: no prompts' generate runs/a --prompts empty.txt
refuses 66 'missing.txt' generate runs/a --prompts missing.txt
refuses 66 '^error: runs: ' generate runs/a --prompt-file runs

# --- in turns, through a pipe
generate --seed 7 -n 10 --prompt To
printf 'To\nROM' | "$sluice" generate runs/a --interactive --seed 7 -n 10 >"$out" 2>"$err" ||
  fail "--interactive: $(cat "$err")"
[ -s "$err" ] && fail "--interactive says something without a terminal: $(cat "$err")"
check '--interactive' "$out" <<'PY'
import sys
text = open(sys.argv[1]).read()
first = open("generated").read()
assert text.startswith(first) and text.endswith("\n") and len(text) >= len(first) + 10, text
PY
printf 'To\nT€\n' | "$sluice" generate runs/a --interactive -n 3 >"$out" 2>"$err"
[ $? = 65 ] && grep -q '^error: standard input: line 2: offset 1' "$err" ||
  fail "bad line: $(cat "$err")"
{ echo To && head -c 17000000 /dev/zero | tr '\0' a; } |
  "$sluice" generate runs/a --interactive -n 3 >"$out" 2>"$err"
[ $? = 65 ] && grep -q '^error: standard input: line 2: too long' "$err" ||
  fail "a long line: $(cat "$err")"
"$sluice" generate runs/a --interactive </dev/null >"$out" 2>"$err" || fail "no line at all"
[ -s "$out" ] && fail "something out of nothing: $(cat "$out")"

# --- signals end it as they would any program
check 'signals' "$sluice" <<'PY'
import itertools, signal, subprocess, sys
for number, mode in itertools.product((signal.SIGINT, signal.SIGTERM), ([], ["--interactive"])):
    # A shell's background jobs have SIGINT ignored.
    victim = subprocess.Popen([sys.argv[1], "generate", "runs/a", "-n", "100000000", *mode],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    victim.stdin.write(b"To\n")
    victim.stdin.flush()
    assert victim.stdout.read1(10)
    victim.send_signal(number)
    victim.communicate()
    assert victim.returncode in (-number, 128 + number), victim.returncode
PY

# --- in turns, on a terminal
check 'a terminal' "$sluice" <<'PY'
import os, pty, select, signal, sys, time

def start(*arguments):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.argv[1], ["sluice", "generate", "runs/a", *arguments])
    return pid, terminal

def read_until(terminal, what, seen=b""):
    deadline = time.time() + 60
    while what not in seen:
        assert time.time() < deadline, seen
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 65536)
    return seen

pid, terminal = start("--interactive", "-n", "100000000", "--seed", "1")
read_until(terminal, b"> ")
for turn in range(2):
    os.write(terminal, b"To be\n")
    seen = read_until(terminal, b"\r\n")
    while len(seen) < 100:
        seen += os.read(terminal, 65536)
    os.write(terminal, b"\x03")  # breaks off, and asks again
    read_until(terminal, b"\n> ")
os.write(terminal, "T\u20ac\n".encode())
assert b"warning: standard input: line 3: offset 1" in read_until(terminal, b"\n> ")
os.write(terminal, b"\x03")  # at the prompt: ends
_, status = os.waitpid(pid, 0)
code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
assert code == 130, status

pid, terminal = start("--interactive", "-n", "5")
read_until(terminal, b"> ")
os.write(terminal, b"To\n")
read_until(terminal, b"\n> ")
os.write(terminal, b"\x04")
_, status = os.waitpid(pid, 0)
assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, status

# One text that is shown when it is whole: a bar until then.
for mode in (["--json"], ["--beam", "2"]):
    pid, terminal = start("-n", "100000000", *mode)
    read_until(terminal, b" of 100000000 tokens")
    os.kill(pid, signal.SIGINT)
    os.waitpid(pid, 0)
    os.close(terminal)
PY

finish
