#!/usr/bin/env python3
"""Compares the speed of Sluice with that of the same networks in PyTorch, in the same minutes.

Each round runs, one after the other, `sluice bench` and each form of the network in PyTorch, in
training and in evaluation, so that a machine that slows down slows all of them. Each precision is
held against PyTorch's of the same kind. Prints a Markdown
table of medians with lowest and highest, and the ratio of Sluice to the faster PyTorch form. See
README.md here.
"""

import argparse
import datetime
import glob
import json
import os
import shlex
import statistics
import subprocess
import sys
import time

import machine
import network as networks

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FORMS = ("conv1d", "linear")
WHATS = {"train": "training", "eval": "evaluation"}
# What PyTorch computes in beside each precision of Sluice: bf16x3 has f32's errors.
PEERS = {"f32": "f32", "bf16": "bf16", "bf16x3": "f32"}


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description="Times Sluice and PyTorch in alternation.")
    parser.add_argument("configs", metavar="CONFIG", nargs="*",
                        help="Sluice configs with all sizes, or names of presets such as "
                             "bench/small (default: configs/bench/*.json)")
    parser.add_argument("--sluice", default=os.path.join(ROOT, "build", "release", "sluice"),
                        help="the binary (default: build/release/sluice)")
    parser.add_argument("--python", help="an interpreter with PyTorch (default: the first that has "
                                         "it of this one, PATH's and /usr/bin/python3)")
    parser.add_argument("--torch-only", action="store_true", help="leave Sluice out")
    parser.add_argument("--precision", choices=[*PEERS, "both"], default="f32",
                        help="both: f32 and bf16, each beside PyTorch's; bf16x3 stands beside "
                             "PyTorch's f32")
    parser.add_argument("--what", choices=[*WHATS, "both"], default="both")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5,
                        help="timed in one run, about; three steps at least")
    parser.add_argument("--pause", type=float, default=1, help="seconds between two runs")
    args = parser.parse_args(arguments)
    if min(args.rounds, args.threads) < 1 or not args.seconds > 0 or args.pause < 0:
        parser.error("--rounds and --threads must be at least 1, --seconds above 0, --pause not "
                     "negative")
    if not args.configs:
        args.configs = sorted(glob.glob(os.path.join(ROOT, "configs", "bench", "*.json")))
        if not args.configs:
            parser.error("no configs/bench/*.json here: name a CONFIG")
    args.configs = [preset_path(config) for config in args.configs]
    try:
        args.networks = {path: networks.read_network(path) for path in args.configs}
    except networks.ConfigError as error:
        parser.exit(2, f"error: {error}\n")
    runs = os.path.isfile(args.sluice) and os.access(args.sluice, os.X_OK)
    if not args.torch_only and not runs:
        parser.error(f"no binary at {args.sluice}: build it (cmake --preset release && "
                     "cmake --build build/release), or name it by --sluice")
    args.precisions = ["f32", "bf16"] if args.precision == "both" else [args.precision]
    args.whats = list(WHATS) if args.what == "both" else [args.what]
    return args


def preset_path(config):
    """The file of a preset as `sluice` would name it; other arguments are paths."""
    path = os.path.join(ROOT, "configs", config + ".json")
    named = not config.endswith(".json") and not os.path.isabs(config)
    return path if named and not os.path.exists(config) and os.path.isfile(path) else config


def run_json(command):
    """The one JSON object that a command prints, which must succeed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        sys.exit(f"error: {command[0]} cannot be run: {error.strerror}")
    if done.returncode != 0:
        sys.exit(f"error: {shlex.join(command)} failed ({done.returncode}):\n"
                 f"{done.stderr.strip()}")
    try:
        return json.loads(done.stdout)
    except ValueError:
        sys.exit(f"error: {shlex.join(command)} printed no JSON: {done.stdout[:200]!r}")


def check_same(args, path, precision, result, who):
    """The figures of one run count only where the run did what was asked."""
    expected = {"threads": args.threads, "precision": precision,
                "parameters": args.networks[path].parameters()}
    for key, value in expected.items():
        if result.get(key) != value:
            sys.exit(f"error: {path}: {who} ran something else: {key}: expected {value}, "
                     f"found {result.get(key)}")


def time_sluice(args, path, precision):
    """The JSON of `sluice bench`."""
    result = run_json([args.sluice, "bench", path, "--json", f"--threads={args.threads}",
                       f"--seconds={2 * args.seconds}",  # half of it is training
                       f"--precision={precision}"])
    check_same(args, path, precision, result, "Sluice")
    return result


def time_torch(args, path, precision, form, what):
    """The JSON of one PyTorch process."""
    result = run_json([args.python, os.path.join(HERE, "gcnn_torch.py"), path, f"--form={form}",
                       f"--what={what}", f"--precision={precision}",
                       f"--threads={args.threads}", "--steps=1000", f"--seconds={args.seconds}"])
    check_same(args, path, precision, result, "PyTorch")
    return result


def run_round(args, path, precision, rates, about):
    """Adds one figure to each list of rates, by (who, what)."""
    def note(who, what, rate):
        rates.setdefault((who, what), []).append(rate)

    if not args.torch_only:
        time.sleep(args.pause)
        result = time_sluice(args, path, precision)
        about.setdefault("kernels", {})[precision] = result["backend"]
        for what in args.whats:
            note("Sluice", what, result[f"{what}_tokens_per_second"])
    for what in args.whats:
        for form in FORMS:
            time.sleep(args.pause)
            result = time_torch(args, path, PEERS[precision], form, what)
            about.update(torch=result["torch"], blas=result["blas"])
            note(form, what, result["tokens_per_second"])


def figure(values):
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"


def ratios(rates, what):
    """(of the medians, lowest round, highest round), Sluice to the faster form in each."""
    sluice, forms = rates["Sluice", what], [rates[form, what] for form in FORMS]
    rounds = [ours / max(theirs) for ours, *theirs in zip(sluice, *forms)]
    faster = max(statistics.median(values) for values in forms)
    return statistics.median(sluice) / faster, min(rounds), max(rounds)


def table(args, all_rates):
    """Markdown: a row for each network, precision and what."""
    who = [*([] if args.torch_only else ["Sluice"]), *FORMS]
    heads = ["network", "", "", *("Sluice" if name == "Sluice" else f"PyTorch, {name}" for name in who)]
    if not args.torch_only:
        heads.append("ratio")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for (path, precision), rates in all_rates.items():
        for what in args.whats:
            cells = [args.networks[path].name, precision, WHATS[what]]
            cells += [figure(rates[name, what]) for name in who]
            if not args.torch_only:
                ratio, low, high = ratios(rates, what)
                cells.append(f"**{ratio:.2f}** ({low:.2f}–{high:.2f})")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def facts(args, about):
    """What computed, when and by which command."""
    ours = [] if args.torch_only else [
        f"Sluice's {' and '.join(sorted(set(about['kernels'].values())))} kernels"]
    return "; ".join([
        machine.cpu_model(), *ours, f"PyTorch {about['torch']}, {about['blas']}",
        f"{datetime.date.today()}: `{shlex.join(['scripts/peers/compare.py', *sys.argv[1:]])}`"])


def main():
    args = parse_args()
    args.python = machine.find_python(args.python)
    about, loads = {}, []
    all_rates = {(path, precision): {} for path in args.configs for precision in args.precisions}
    for number in range(1, args.rounds + 1):
        for (path, precision), rates in all_rates.items():
            run_round(args, path, precision, rates, about)
            loads.append(os.getloadavg()[0])
            last = ", ".join(f"{who} {what} {values[-1]:,.0f}"
                             for (who, what), values in rates.items())
            print(f"round {number}, {args.networks[path].name}, {precision}: {last} tokens/s "
                  f"(load {loads[-1]:.1f})", file=sys.stderr, flush=True)

    print(table(args, all_rates))
    print(f"\nTokens/s, {args.threads} threads: median of {args.rounds} rounds (lowest–highest).",
          end="")
    if "bf16x3" in args.precisions:
        print(" bf16x3: beside PyTorch in f32.", end="")
    if not args.torch_only:
        print(" Ratio: Sluice to the faster PyTorch form, of the medians (lowest–highest round).",
              end="")
    print(f"\n{facts(args, about)}")
    if max(loads) > args.threads + 1:
        print(f"\nNote: other work ran beside (load up to {max(loads):.1f}), which slows PyTorch's "
              "spinning threads most: do not quote these ratios.")


if __name__ == "__main__":
    main()
