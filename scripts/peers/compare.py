#!/usr/bin/python3
"""Compares f32 training speed of Sluice with the same network in PyTorch, in the same minutes.

Each round runs PyTorch with Conv1d, PyTorch with unfold + Linear, and `sluice train`, one after
the other, so that a machine that slows down slows all three. Reports the median tokens per second
of each and the ratio of Sluice to the faster PyTorch form. The text is synthetic: words whose
frequency falls as 1/rank. Needs Debian's python3-torch and libopenblas0-pthread
(scripts/install_deps.sh --dev) and a release build.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# The network `small` with full softmax.
VOCAB, CHANNELS, LAYERS, KERNEL, DROPOUT = 10000, 256, 8, 4, 0.1
BATCH, TOKENS = 20, 70
LOG_EVERY, ROWS_SKIPPED = 5, 2  # Sluice's first rows hold warm-up


def parse_args():
    parser = argparse.ArgumentParser(description="Times training in Sluice and in PyTorch.")
    parser.add_argument("--sluice", default=os.path.join(ROOT, "build", "release", "sluice"),
                        help="the binary (default: build/release/sluice)")
    parser.add_argument("--torch-only", action="store_true", help="leave Sluice out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each in a round")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if min(args.rounds, args.steps, args.threads) < 1:
        parser.error("--rounds, --steps and --threads must be at least 1")
    if not args.torch_only and not os.access(args.sluice, os.X_OK):
        parser.error(f"no binary at {args.sluice}: build it (cmake --preset release && "
                     "cmake --build build/release), or name it by --sluice")
    args.sluice = os.path.abspath(args.sluice)
    return args


def run(command, **kwargs):
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} failed ({done.returncode}):\n{done.stderr}")
    return done.stdout


def time_torch(args, form):
    """(what ran, tokens per second) of one PyTorch process."""
    repeats = max(1, args.steps // 5)
    out = run(["/usr/bin/python3", os.path.join(HERE, "torch_gcnn.py"), "--form", form,
               f"--threads={args.threads}", f"--vocab={VOCAB}", f"--channels={CHANNELS}",
               f"--layers={LAYERS}", f"--kernel={KERNEL}", f"--dropout={DROPOUT}",
               f"--batch={BATCH}", f"--tokens={TOKENS}", "--steps=5", f"--repeats={repeats}"])
    about, *rows = map(json.loads, out.splitlines())
    if not any(fast in name for name in about["blas"] for fast in ("openblas", "mkl", "blis")):
        sys.exit("error: PyTorch runs on the reference BLAS, which is many times slower "
                 f"({', '.join(about['blas']) or 'none found'}); install libopenblas0-pthread")
    return about, statistics.median(row["tokens_per_second"] for row in rows)


def write_corpus(folder):
    """Training and validation text over VOCAB - 2 words (</s> and <unk> make VOCAB); every word
    occurs, so that the vocabulary has exactly that size."""
    generator = random.Random(1)
    words = [f"w{rank}" for rank in range(VOCAB - 2)]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    for name, count in (("train.txt", 300000), ("valid.txt", 2000)):
        drawn = generator.choices(words, weights, k=count)
        if name == "train.txt":
            drawn += words
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            for start in range(0, len(drawn), 20):
                file.write(" ".join(drawn[start:start + 20]) + "\n")


def write_config(args, folder):
    far = 10 ** 9  # steps: beyond the end of the run
    config = {
        "data": {"train": ["train.txt"], "valid": ["valid.txt"], "tokens_per_sample": TOKENS,
                 "batch_size": BATCH, "cache_dir": "cache"},
        "tokenizer": {"type": "word", "vocab_size": VOCAB},
        "model": {"embedding_dim": CHANNELS, "norm": "weight",
                  "blocks": [{"layers": [{"kernel": KERNEL, "channels": CHANNELS}],
                              "repeat": LAYERS}],
                  "dropout": {"embedding": DROPOUT, "layer": DROPOUT, "output": DROPOUT},
                  "output": {"type": "softmax"}},
        "optimizer": {"type": "nag", "lr": 1.0, "momentum": 0.99, "clip_norm": 0.1},
        "train": {"max_steps": ROWS_SKIPPED * LOG_EVERY + max(args.steps, LOG_EVERY),
                  "eval_every": far, "save_every": far, "log_every": LOG_EVERY,
                  "precision": "f32", "threads": args.threads},
    }
    with open(os.path.join(folder, "peer.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)


def time_sluice(args, folder, name):
    """Tokens per second of one run, from its metrics.jsonl."""
    run([args.sluice, "train", "./peer.json", "--out", name], cwd=folder)
    with open(os.path.join(folder, name, "metrics.jsonl"), encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    rates = [row["tokens_per_second"] for row in rows if row.get("tokens_per_second")]
    if len(rates) <= ROWS_SKIPPED:
        sys.exit(f"error: {name}/metrics.jsonl has only {len(rates)} rows with tokens_per_second")
    return statistics.median(rates[ROWS_SKIPPED:])


def main():
    args = parse_args()
    rates = {"torch conv1d": [], "torch unfold": []}
    if not args.torch_only:
        rates["sluice"] = []
    about = {}
    with tempfile.TemporaryDirectory(prefix="sluice-peers-") as folder:
        write_corpus(folder)
        write_config(args, folder)
        for number in range(1, args.rounds + 1):
            for form in ("conv1d", "unfold"):
                about, rate = time_torch(args, form)
                rates[f"torch {form}"].append(rate)
            if not args.torch_only:
                rates["sluice"].append(time_sluice(args, folder, f"run-{number}"))
            print(f"round {number}: " + ", ".join(f"{k} {v[-1]:.0f}" for k, v in rates.items()) +
                  f" tokens/s (load {os.getloadavg()[0]:.1f})", flush=True)

    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"\nPyTorch {about['version']}, BLAS {', '.join(about['blas'])}, {args.threads} threads, "
          f"{about['parameters']} parameters, batch {BATCH} x {TOKENS}, f32")
    for name, values in rates.items():
        print(f"{name:13} {medians[name]:9.0f} tokens/s (median; {min(values):.0f} to "
              f"{max(values):.0f})")
    if not args.torch_only:
        faster = max(("torch conv1d", "torch unfold"), key=medians.get)
        by_round = [s / max(c, u) for s, c, u in zip(
            rates["sluice"], rates["torch conv1d"], rates["torch unfold"])]
        print(f"ratio to {faster}: {medians['sluice'] / medians[faster]:.2f} "
              f"(by round {min(by_round):.2f} to {max(by_round):.2f})")
    if os.getloadavg()[0] > args.threads + 1:
        print("note: other work is running; it slows PyTorch's spinning threads most, so do not "
              "quote this ratio")


if __name__ == "__main__":
    main()
