#!/usr/bin/env python3
"""Holds a recipe for words against an LSTM of as many parameters, given the same time on the same
cores, on one slice of text after the other; prints Markdown.

For each SLICE (a directory with train.txt, valid.txt and test.txt, see word_slice.py):
  1. `sluice train CONFIG` for --minutes, with the one config for all slices;
  2. the LSTM of lstm_torch.py, with at most the parameters of 1. and the same threads: every
     optimizer, schedule and lr of the grid for --short minutes at the first of --dropouts, the
     best two of them for --middle minutes, the best of those for --minutes at each of --dropouts;
  3. the exact perplexity of both on valid.txt, by which both choose, the LSTM among its runs for
     --minutes, and on test.txt, by which they are compared. One seed each.

One run at a time. Results are kept in OUT/results.jsonl; the same command goes on where an earlier
one was stopped and repeats no finished run. Times are of training, so that a slice takes
6 x short + 2 x middle + (1 + dropouts) x minutes and a little more.

Example:
  scripts/peers/word_small.py slices/books slices/news --config configs/wikitext2-word.json \\
      --out runs/words
"""

import argparse
import datetime
import fcntl
import hashlib
import json
import math
import os
import shlex
import subprocess
import sys
import threading

import machine

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# (optimizer, schedule, lr): PyTorch's word_language_model as it is, with an end, and Adam.
GRID = [("sgd", "plateau", 20.0), ("sgd", "cosine", 20.0), ("sgd", "cosine", 40.0),
        ("adam", "cosine", 0.001), ("adam", "cosine", 0.002), ("adam", "cosine", 0.004)]
SAMPLE_SECONDS = 5  # from one look at the load to the next
MIDDLE = 2  # settings that go on from the short runs


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slices", metavar="SLICE", nargs="+",
                        help="directory with train.txt, valid.txt and test.txt")
    parser.add_argument("--config", required=True, help="of Sluice, a file or a preset")
    parser.add_argument("--out", metavar="DIR", required=True, help="where results are kept")
    parser.add_argument("--what", choices=["both", "sluice", "lstm"], default="both",
                        help="lstm alone: needs --parameters or a finished run of Sluice")
    parser.add_argument("--minutes", type=float, default=60, help="of each side (default 60)")
    parser.add_argument("--short", type=float, default=5,
                        help="minutes of the LSTM's grid (default 5)")
    parser.add_argument("--middle", type=float, default=20,
                        help="minutes of the best two of it (default 20; 0: leave out)")
    parser.add_argument("--dropouts", type=dropouts, default="0.3,0.5", metavar="P,...",
                        help="of the LSTM for the whole time (default 0.3,0.5)")
    parser.add_argument("--parameters", type=int, metavar="N",
                        help="of the LSTM at most, instead of what the recipe has")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sluice", default=os.path.join(ROOT, "build", "release", "sluice"),
                        help="the binary (default: build/release/sluice)")
    parser.add_argument("--python", help="an interpreter with PyTorch")
    parser.add_argument("--table", action="store_true", help="train nothing, print the results")
    args = parser.parse_args(arguments)
    if args.threads < 1 or not min(args.minutes, args.short) > 0 or args.middle < 0:
        parser.error("--threads must be at least 1, --minutes and --short above 0, --middle not "
                     "negative")
    args.slices = [os.path.normpath(folder) for folder in args.slices]
    args.names = dict(zip(args.slices, map(os.path.basename, args.slices)))
    if len(set(args.names.values())) < len(args.slices):
        parser.error("the slices need different names")
    for folder in args.slices:
        for path in parts(folder):
            if not os.path.isfile(path):
                parser.error(f"{folder}: no {os.path.basename(path)} (word_slice.py makes slices)")
    runs = os.path.isfile(args.sluice) and os.access(args.sluice, os.X_OK)
    if not runs:
        parser.error(f"no binary at {args.sluice}: build it, or name it by --sluice")
    return args


def dropouts(text):
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(0 <= value < 1 for value in values):
        raise argparse.ArgumentTypeError(f"expected numbers from 0 to below 1, found {text!r}")
    return values


class Load:
    """The machine's highest load while something runs."""

    def __enter__(self):
        self.highest = 0.0
        self.over = threading.Event()
        self.watch = threading.Thread(target=self._watch, daemon=True)
        self.watch.start()
        return self

    def _watch(self):
        while True:
            self.highest = max(self.highest, os.getloadavg()[0])
            if self.over.wait(SAMPLE_SECONDS):
                return

    def __exit__(self, *_):
        self.over.set()
        self.watch.join()
        self.highest = max(self.highest, os.getloadavg()[0])


class Results:
    """Finished runs, each found again by what it was asked."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.lock = open(os.path.join(folder, "lock"), "w", encoding="utf-8")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.lock.close()
            sys.exit(f"error: {folder}: another comparison is under way there")
        self.path = os.path.join(folder, "results.jsonl")
        self.runs = []
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                text = file.read()
            whole = text[:text.rfind("\n") + 1]  # a line half written is no result
            self.runs = [json.loads(line) for line in whole.splitlines()]
            if whole != text:
                with open(self.path, "w", encoding="utf-8") as file:
                    file.write(whole)

    def find(self, key):
        return next((run["result"] for run in self.runs if run["key"] == key), None)

    def add(self, key, result):
        self.runs.append({"key": key, "result": result})
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(self.runs[-1]) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def get(self, key, make, only_table):
        """The result of a key, made where there is none; None where it must not be made."""
        result = self.find(key)
        if result is None and not only_table:
            print(f"== {describe(key)}", file=sys.stderr, flush=True)
            with Load() as load:
                result = make()
            result |= {"load": load.highest, "date": str(datetime.date.today())}
            self.add(key, result)
            print(f"== perplexity {result['valid_perplexity']:.2f}", file=sys.stderr, flush=True)
        return result


def describe(key):
    return ", ".join(f"{name} {value}" for name, value in key.items()
                     if name not in ("text", "config_hash"))


def run_program(command):
    """stdout of a program whose messages go to ours; it must succeed."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        sys.exit(f"error: {command[0]} cannot be run: {error.strerror}")
    if done.returncode != 0:
        sys.exit(f"error: {shlex.join(command)} failed ({done.returncode})")
    return done.stdout


def digest(*paths):
    found = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    return found.hexdigest()[:16]


def parts(folder):
    return tuple(os.path.join(folder, name) for name in ("train.txt", "valid.txt", "test.txt"))


def last_with(path, key):
    """The last line of a file of JSON lines that has the key."""
    with open(path, encoding="utf-8") as file:
        return [entry for entry in map(json.loads, file) if key in entry][-1]


def evaluate_sluice(args, run, path):
    return json.loads(run_program([args.sluice, "eval", run, path, "--json",
                                   "--threads", str(args.threads)]))


def train_sluice(args, folder):
    train, valid, test = parts(folder)
    run = os.path.join(args.out, f"sluice-{args.names[folder]}")
    # What an interrupted comparison left began in another hour.
    run_program([args.sluice, "train", args.config, "--train", train, "--valid", valid, "--out",
                 run, "--overwrite", "--threads", str(args.threads),
                 "--max-time", f"{args.minutes * 60:.0f}s"])
    found, tested = (evaluate_sluice(args, run, path) for path in (valid, test))
    about = json.loads(run_program([args.sluice, "info", run, "--json"]))
    last = json.loads(run_program([args.sluice, "info", run, "--which", "last", "--json"]))
    return {"valid_perplexity": found["perplexity"], "valid_nats": found["nats_per_token"],
            "test_perplexity": tested["perplexity"], "test_nats": tested["nats_per_token"],
            "tokens": found["tokens"], "test_tokens": tested["tokens"],
            "vocabulary": found["vocab_size"], "oov": found["oov"],
            "parameters": about["parameters"],
            "precision": about["precision"], "seconds": last["training_seconds"],
            "epochs": last_with(os.path.join(run, "metrics.jsonl"), "epoch")["epoch"],
            "model_hash": found["model_hash"], "version": found["version"]}


def train_lstm(args, folder, setting, dropout, minutes, parameters):
    train, valid, test = parts(folder)
    optimizer, schedule, lr = setting
    return json.loads(run_program([
        args.python, os.path.join(HERE, "lstm_torch.py"), "--train", train, "--valid", valid,
        "--test", test, f"--parameters={parameters}", f"--max-time={minutes * 60:.0f}s",
        f"--optimizer={optimizer}", f"--schedule={schedule}", f"--lr={lr}",
        f"--dropout={dropout}", f"--threads={args.threads}"]))


def sluice_result(args, results, folder):
    key = {"who": "sluice", "slice": args.names[folder], "text": digest(*parts(folder)),
           "config": os.path.basename(args.config),
           "config_hash": hashlib.sha256(run_program(
               [args.sluice, "config", "dump", args.config]).encode()).hexdigest()[:16],
           "minutes": args.minutes, "threads": args.threads}
    return results.get(key, lambda: train_sluice(args, folder), args.table or args.what == "lstm")


def lstm_results(args, results, folder, parameters):
    """(minutes, setting, dropout, result) of each run, the last ones for the whole time."""
    text, done = digest(*parts(folder)), []

    def run(setting, dropout, minutes):
        optimizer, schedule, lr = setting
        key = {"who": "lstm", "slice": args.names[folder], "text": text, "parameters": parameters,
               "minutes": minutes, "threads": args.threads, "optimizer": optimizer,
               "schedule": schedule, "lr": lr, "dropout": dropout}
        found = results.get(key, lambda: train_lstm(args, folder, setting, dropout, minutes,
                                                    parameters),
                            args.table or args.what == "sluice")
        if found:
            done.append((minutes, setting, dropout, found))
        return found["valid_nats"] if found else math.inf

    settings = GRID
    for minutes, keep in ((args.short, MIDDLE if args.middle else 1), (args.middle, 1)):
        if minutes and len(settings) > keep:
            nats = {setting: run(setting, args.dropouts[0], minutes) for setting in settings}
            settings = sorted(settings, key=nats.get)[:keep]
    for dropout in args.dropouts:
        run(settings[0], dropout, args.minutes)
    return done


def perplexity(result, part="valid"):
    return f"{result[part + '_perplexity']:.2f}" if math.isfinite(result[part + "_nats"]) \
        else "diverged"


def require_same_question(name, ours, theirs):
    """Perplexities compare where the same tokens are foretold out of the same vocabulary."""
    for key, what in (("tokens", "tokens of valid.txt"), ("test_tokens", "tokens of test.txt"),
                      ("vocabulary", "words of the vocabulary")):
        if ours[key] != theirs[key]:
            sys.exit(f"error: {name}: the two sides counted different {what} "
                     f"({ours[key]} and {theirs[key]})")


def ratio_cells(ours, theirs):
    if not (math.isfinite(ours["test_nats"]) and math.isfinite(theirs["test_nats"])):
        return ["-", "-"]
    ratio = ours["test_perplexity"] / theirs["test_perplexity"]
    return [f"**{ratio:.3f}**", f"{100 * (1 - ratio):+.1f} %"]


def main_row(args, name, ours, runs):
    """Cells of a slice, or None where a side has no whole run."""
    whole = [run for run in runs if run[0] == args.minutes]
    if not ours or not whole:
        return None
    best = min((run[3] for run in whole), key=lambda result: result["valid_nats"])
    require_same_question(name, ours, best)
    return [name, f"{ours['test_tokens']:,}",
            *(f"{key(side)}" for side in (ours, best)
              for key in (lambda x: f"{x['parameters']:,}", lambda x: f"{x['seconds']:.0f}",
                          lambda x: f"{x['epochs']:.1f}", perplexity,
                          lambda x: perplexity(x, "test"))), *ratio_cells(ours, best)]


def markdown(heads, rows):
    return "\n".join("| " + " | ".join(cells) + " |"
                     for cells in (heads, ["---"] * len(heads), *rows))


def report(args, found):
    """found: name of a slice -> (Sluice's result, the LSTM's runs)."""
    heads = ["slice", "test tokens"]
    heads += [f"{who}: {what}" for who in ("Sluice", "LSTM")
              for what in ("parameters", "seconds", "epochs", "valid", "test")]
    rows = [main_row(args, name, *sides) for name, sides in found.items()]
    lines = [markdown([*heads, "Sluice / LSTM", "below"], [row for row in rows if row])]
    lines += ["",
              "Perplexity on the whole of valid.txt, by which both sides choose, and of test.txt, "
              f"of which the ratio is; ends of lines counted; {args.threads} threads, "
              f"{args.minutes:g} minutes of training and one seed each.", "",
              "All runs of the LSTM, on valid.txt:", "", markdown(
                  ["slice", "minutes", "optimizer", "schedule", "lr", "dropout", "epochs",
                   "tokens/s", "perplexity"],
                  [[name, f"{minutes:g}", *map(str, setting), str(dropout),
                    f"{result['epochs']:.1f}", f"{result['tokens_per_second']:,.0f}",
                    perplexity(result)]
                   for name, (_, runs) in found.items()
                   for minutes, setting, dropout, result in runs])]
    results = [result for ours, runs in found.values()
               for result in [ours, *(run[3] for run in runs)] if result]
    lines += ["", facts(args, results)]
    highest = max((result["load"] for result in results), default=0)
    if highest > args.threads + 1:
        lines += ["", f"Note: other work ran beside (load up to {highest:.1f}): do not quote these "
                  "figures."]
    return "\n".join(lines)


def facts(args, results):
    torch = sorted({f"PyTorch {r['torch']}, {r['blas']}" for r in results if "torch" in r})
    ours = sorted({f"Sluice {r['version']} in {r['precision']}" for r in results
                   if "version" in r})
    dates = sorted({r["date"] for r in results})
    command = shlex.join(["scripts/peers/word_small.py", *sys.argv[1:]])
    return "; ".join([machine.cpu_model(), *ours, *torch,
                      f"{'–'.join(dict.fromkeys(dates[:1] + dates[-1:]))}: `{command}`"])


def compare(args, results):
    found = {}
    for folder in args.slices:
        ours = sluice_result(args, results, folder)
        parameters = args.parameters or (ours and ours["parameters"])
        if not parameters and args.what == "lstm" and not args.table:
            sys.exit(f"error: {folder}: --what=lstm needs --parameters or a finished run of Sluice")
        runs = lstm_results(args, results, folder, parameters) if parameters else []
        found[args.names[folder]] = ours, runs
    return found


def main():
    args = parse_args()
    if not args.table and args.what != "sluice":
        args.python = machine.find_python(args.python)
    try:
        results = Results(args.out)
        print(report(args, compare(args, results)))
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
