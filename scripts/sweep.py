#!/usr/bin/env python3
"""Trains variations of a config one after the other, lets the best go on to
larger budgets, and says how they compare: a table over seeds with spread, a
plot. The same command goes on where an earlier one was stopped.
Needs Python 3.11 and sluice, nothing else.
"""

import argparse
import fcntl
import fnmatch
import json
import os
import shlex
import sys
import time

if sys.version_info < (3, 11):
    sys.exit("error: scripts/sweep.py needs Python 3.11 or newer")

from sweep import experiment as experiments
from sweep import plot, program, results, table
from sweep.errors import INTERRUPTED, LOCKED, OUTPUT, USAGE, Interrupted, SweepError
from sweep.runner import Runner, say


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise SweepError(USAGE, f"{message}; see scripts/sweep.py --help")


def parse(arguments):
    parser = Parser(prog="scripts/sweep.py", description=__doc__, allow_abbrev=False,
                    epilog=experiments.HELP + """

Example:
  scripts/sweep.py configs/sweeps/gates.json --dry-run
  scripts/sweep.py configs/sweeps/gates.json --budget 3h""",
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", metavar="EXPERIMENT")
    parser.add_argument("--out", metavar="DIR", help="where results.jsonl and the runs are kept "
                        "(default: runs/sweeps/<name of the experiment>)")
    parser.add_argument("--binary", metavar="PATH", help="sluice (default: build/release/sluice, "
                        "else the installed one)")
    parser.add_argument("--train", metavar="FILE", action="append",
                        help="training text (repeatable)")
    parser.add_argument("--valid", metavar="FILE", action="append",
                        help="validation text (repeatable)")
    parser.add_argument("--set", metavar="KEY=JSON", action="append", default=[],
                        help="change one key in all runs; a bare word is a string (repeatable)")
    parser.add_argument("--only", metavar="NAME,...",
                        help="only these variations; * stands for anything")
    parser.add_argument("--budget", metavar="TIME", help="from now on: stop after this long "
                        "(90m, 3h), saved; the same command goes on")
    parser.add_argument("--keep-models", action="store_true",
                        help="the best model of each run stays (default: of the best run)")
    parser.add_argument("--dry-run", action="store_true", help="check every config, say what "
                        "would be trained, how large it is and how long it takes")
    parser.add_argument("--table", action="store_true", help="train nothing, print the results")
    parser.add_argument("--markdown", action="store_true", help="the same as a Markdown table")
    parser.add_argument("--plot", metavar="F.svg", help="train nothing, draw the results")
    return parser.parse_args(arguments)


def settings(assignments):
    """The settings of --set, as sluice itself reads them."""
    found = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise SweepError(USAGE, f"--set {assignment}: expected KEY=JSON")
        if key in found:
            raise SweepError(USAGE, f"--set {key}: given twice")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


def named(experiment, only):
    """Names of the variations that --only means; None for all."""
    if only is None:
        return None
    found = set()
    for pattern in only.split(","):
        matching = {v.name for v in experiment.variations
                    if v.name == pattern or fnmatch.fnmatchcase(v.name, pattern)}
        if not matching:
            names = ", ".join(v.name for v in experiment.variations)
            raise SweepError(USAGE, f"--only: no variation {pattern} (expected one of {names})")
        found |= matching
    return found


def report(args, experiment, found, names):
    """Table and plot of what results.jsonl holds."""
    ranked = results.standings(experiment, found, names)
    old = results.stale(experiment, found)
    if old:
        say(f"warning: {old} of the results in {found.path} were made with other settings than "
            f"{experiment.path} has now; they are left out")
    if not ranked:
        raise SweepError(USAGE, f"{found.path}: no results of {experiment.path} yet")
    if args.plot:
        try:
            with open(args.plot, "w", encoding="utf-8") as file:
                file.write(plot.svg(experiment, ranked))
        except OSError as error:
            raise SweepError(OUTPUT, f"{args.plot}: {error.strerror}") from None
    if args.table or args.markdown or not args.plot:
        print((table.markdown if args.markdown else table.plain)(experiment, ranked))


def lock(folder):
    """Held until the process ends: two sweeps in one folder would train everything twice."""
    try:
        os.makedirs(folder, exist_ok=True)
        file = open(os.path.join(folder, "lock"), "w", encoding="utf-8")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SweepError(LOCKED, f"{folder}: another sweep is at work there") from None
    except OSError as error:
        raise SweepError(OUTPUT, f"{folder}: {error.strerror}") from None
    return file


def make_runner(args, experiment, found, folder):
    texts = {"data.train": args.train, "data.valid": args.valid}
    data = {key: files for key, files in texts.items() if files}
    runner = Runner(experiment, program.Program(program.find(args.binary)), found, folder, data)
    runner.keep_models = args.keep_models
    if args.budget is not None:
        seconds = experiments.seconds_of(args.budget)
        if seconds is None:
            raise SweepError(USAGE, f"--budget {args.budget}: expected a time such as 90m or 3h")
        runner.deadline = time.monotonic() + seconds
    return runner


def main(arguments):
    args = parse(arguments)
    extra = settings(args.set)
    experiment = experiments.read(args.experiment, extra)
    names = named(experiment, args.only)
    folder = args.out or os.path.join("runs", "sweeps", experiment.name)
    path = os.path.join(folder, "results.jsonl")
    if args.table or args.markdown or args.plot:
        report(args, experiment, results.Results(path), names)
        return 0
    if args.dry_run:
        runner = make_runner(args, experiment, results.Results(path), folder)
        runner.check()
        for line in runner.plan(names):
            print(line)
        return 0
    held = lock(folder)
    found = results.Results(path)
    runner = make_runner(args, experiment, found, folder)
    stop = program.Stop()
    try:
        found.state_current(runner.check(), extra)
        if not runner.run(stop, names):
            say("done with what --only names; without it the sweep goes on")
    except Interrupted:
        say(f"stopped; to go on: {shlex.join([sys.argv[0], *arguments])}")
        return INTERRUPTED
    report(args, experiment, found, names)
    held.close()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SweepError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(problem.code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
