"""Runs what an experiment still lacks, one run at a time, rung after rung."""

import dataclasses
import glob
import math
import os
import shutil
import sys
import time

from . import program as programs
from . import results as figures
from .errors import DIVERGED, INTERNAL, USAGE, Interrupted, SweepError
from .experiment import LIMITS, Rung, Variation, seconds_of
from .text import count, duration, perplexity


@dataclasses.dataclass(frozen=True)
class Run:
    """One training: a variation at a rung with a seed, its whole config, what of it the result
    depends on, and the hash of that."""
    variation: Variation
    rung_index: int
    rung: Rung
    seed: int
    settings: dict
    config: dict
    result_config: dict
    hash: str

    def __str__(self):
        return f"{self.variation.name}, seed {self.seed}"


class Runner:
    def __init__(self, experiment, program, results, folder, data):
        self.experiment = experiment
        self.program = program
        self.results = results
        self.folder = folder
        self.data = data  # settings of --train and --valid, which are no part of a result
        self.deadline = math.inf
        self.keep_models = False
        self._runs = {}

    def run_of(self, variation, rung_index, seed):
        """The run as the experiment says it now."""
        key = variation.name, rung_index, seed
        if key not in self._runs:
            rung = self.experiment.rungs[rung_index]
            settings = {**variation.settings, **self.data, "train.seed": seed}
            settings |= {"train.max_steps": None, "train.max_time": None, "train.max_epochs": None}
            settings |= self._limit(variation, rung)
            config = self._resolve(variation, settings)
            counts = self.program.result_config(config)
            self._runs[key] = Run(variation, rung_index, rung, seed, settings, config, counts,
                                  programs.digest(counts))
        return self._runs[key]

    def _resolve(self, variation, settings):
        try:
            return self.program.resolve(self.experiment.base, settings)
        except SweepError as error:
            raise self._refusal(error.code, variation, error) from None

    def _refusal(self, code, variation, what):
        return SweepError(code, f"{self.experiment.path}: {variation.name}: {what}")

    def _limit(self, variation, rung):
        (kind, amount), = rung.limit.items()
        if kind != "tokens":
            return {LIMITS[kind]: amount}
        config = self._resolve(variation, {**variation.settings, **self.data})
        if config["data"]["mode"] != "stream":
            raise self._refusal(USAGE, variation, "a rung in tokens needs data.mode stream; give "
                                "it in max_steps or max_time")
        return {"train.max_steps": math.ceil(amount / programs.tokens_per_step(config))}

    def done(self, run):
        """Whether the run's result is there."""
        record = self.record(run)
        return record is not None and (record["hash"] == run.hash or self.program.same(
            record.get("config"), run.result_config))

    def record(self, run):
        return self.results.get(run.variation.name, run.rung_index + 1, run.seed)

    def contenders(self, rung_index):
        """The variations at a rung; None before the rung below is complete."""
        if rung_index == 0:
            return list(self.experiment.variations)
        below = self.contenders(rung_index - 1)
        if below is None or any(not self.done(run) for run in self._all(below, rung_index - 1)):
            return None
        ranked = [figures.standing(self.experiment, self.results, variation, rung_index - 1,
                                   lambda *_: True) for variation in below]
        ranked.sort(key=figures.Standing.order)
        keep = self.experiment.rungs[rung_index - 1].keep
        return [at.variation for at in ranked if at.finite][:keep]

    def _all(self, variations, rung_index):
        """Seeds outside: a table is worth looking at as soon as the first seed is through."""
        return [self.run_of(variation, rung_index, seed)
                for seed in self.experiment.rungs[rung_index].seeds for variation in variations]

    def check(self):
        """Every config, before hours go into the first one; hashes of all runs there may be."""
        for index in range(len(self.experiment.rungs)):
            for run in self._all(self.experiment.variations, index):
                if self.record(run) is not None and not self.done(run):
                    say(f"{run}, {run.rung}: settings or text have changed since its result: "
                        "runs again")
        return {run.hash for run in self._runs.values()}

    def pending(self, only=None):
        """Runs that are known to be missing, in their order, and how many later rungs will add."""
        for index, rung in enumerate(self.experiment.rungs):
            here = self.contenders(index)
            missing = [run for run in self._all(here, index) if not self.done(run)]
            if missing:
                mine = [run for run in missing if only is None or run.variation.name in only]
                return mine, missing, self._later(index, len(here))
        return [], [], []

    def _later(self, index, variations):
        """(index, runs) of the rungs behind that one."""
        rungs, found = self.experiment.rungs, []
        for later in range(index + 1, len(rungs)):
            variations = min(variations, rungs[later - 1].keep)
            found.append((later, variations * len(rungs[later].seeds)))
        return found

    def run(self, stop, only=None):
        """Until nothing is missing; True if the experiment is complete, not only the named part."""
        self._restate()
        while True:
            mine, missing, later = self.pending(only)
            if not mine:
                self.prune()
                return not missing
            self._step(mine, later if only is None else [], stop)

    def _restate(self):
        """Where settings are written another way, or the binary knows more keys, and the config is
        the same, results are written anew, so that a table, which is made without the binary,
        knows them."""
        for run in self._runs.values():
            record, now = self.record(run), self._identity(run)
            if self.done(run) and any(record[key] != value for key, value in now.items()):
                self.results.append({**record, **now})

    def _identity(self, run):
        """By what a record is known as that of the run."""
        return {"limit": run.rung.limit, "set": run.variation.settings, "hash": run.hash,
                "config": run.result_config}

    def _step(self, mine, later, stop):
        run = mine[0]
        if stop.asked or time.monotonic() >= self.deadline:
            raise Interrupted
        left = len(mine) + sum(runs for _, runs in later)
        total = left + self._finished(run.rung_index)
        label = f"[{total - left + 1}/{total}] {run}"
        say(f"{label}: {run.rung}; {self._eta(mine, later)}")
        begun = time.monotonic()
        self._execute(run, label, stop)
        record = self.record(run)
        spent = record["seconds"] or time.monotonic() - begun
        say(f"{label}: {said_of(record)} in {duration(spent)}")
        self.prune()

    def _finished(self, last_rung):
        return sum(self.done(run) for index in range(last_rung + 1)
                   for run in self._all(self.contenders(index), index))

    def _execute(self, run, label, stop):
        folder = self.run_folder(run)
        arguments = self._prepare(run, folder)
        if self.deadline < math.inf:
            arguments += ["--stop-after", f"{max(self.deadline - time.monotonic(), 1):.1f}s"]
        stop.timed = "max_time" in run.rung.limit
        code, said = self.program.train(arguments, stop, live(label))
        if code in (0, DIVERGED):
            self.results.append({
                "name": run.variation.name, "rung": run.rung_index + 1, "seed": run.seed,
                **self._identity(run), **programs.outcome(self.program, folder, run.config, code)})
            return
        if stop.asked or code == 75:
            raise Interrupted
        what = f"killed by signal {-code}" if code < 0 else programs.error_line(said)
        raise SweepError(code if code > 0 else INTERNAL, f"{run}: {what}")

    def run_folder(self, run):
        return os.path.join(self.folder, "runs", run.variation.folder, f"rung-{run.rung_index + 1}",
                            f"seed-{run.seed}")

    def _prepare(self, run, folder):
        """Arguments of train: to go on where the folder holds a part of this very run."""
        note = folder + ".hash"
        if _checkpoints(folder) and _read(note) == run.hash:
            return ["--resume", "--out", folder]
        # Before the note says otherwise: what is left of another config must not be gone on with
        # as this one, wherever we are killed.
        for path in _checkpoints(folder):
            os.remove(path)
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        with open(note, "w", encoding="utf-8") as file:
            file.write(run.hash + "\n")
        return [self.experiment.base, *programs.set_options(run.settings), "--out", folder,
                *(["--overwrite"] if os.path.exists(folder) else [])]

    def prune(self):
        """Checkpoints of finished runs go, and their models but for the best at the last rung."""
        finished = [(self.record(run), run) for run in self._runs.values() if self.done(run)]
        best = min(finished, default=None, key=lambda pair: (
            -pair[1].rung_index, figures.figure(pair[0], self.experiment.compare)))
        for _, run in finished:
            # The folder of checkpoints stays: by it sluice knows a run it may overwrite.
            gone = _checkpoints(self.run_folder(run))
            if not self.keep_models and run is not best[1]:
                gone.append(os.path.join(self.run_folder(run), "best.safetensors"))
            for path in gone:
                if os.path.exists(path):
                    os.remove(path)

    def seconds(self, run):
        """How long a run will take, by those of its variation, else by all; None if unknown."""
        if "max_time" in run.rung.limit:
            return seconds_of(run.rung.limit["max_time"])
        steps = run.config["train"]["max_steps"]
        rates = {}
        for index in range(len(self.experiment.rungs)):
            for other in self.experiment.variations:
                for record in figures.standing(self.experiment, self.results, other, index).records:
                    if record["seconds"] and record.get("steps"):
                        rates.setdefault(other.name, []).append(record["seconds"] / record["steps"])
        known = rates.get(run.variation.name) or [rate for each in rates.values() for rate in each]
        return steps * sum(known) / len(known) if known else None

    def _eta(self, mine, later):
        spans = [self.seconds(run) for run in mine]
        for index, runs in later:
            spans += [self.seconds(self.run_of(mine[0].variation, index, mine[0].seed))] * runs
        if None in spans:
            return "time left is known after the first run"
        return f"about {duration(sum(spans))} left"

    def plan(self, only=None):
        """Lines of --dry-run: what would be trained, how large it is and how long it takes."""
        mine, _, later = self.pending(only)
        plans = {}
        for run in mine:
            if run.variation.name not in plans:
                said = self.program.plan(self.experiment.base, run.settings,
                                         self.run_folder(run))
                plans[run.variation.name] = said
            said = plans[run.variation.name]
            state = "goes on" if self._begun(run) else "to do"
            yield (f"{run}: {run.rung}; {state}; parameters {said.get('parameters', '?')}; "
                   f"receptive field {said.get('receptive field', '?')}; {said.get('time', '?')}")
        for index, runs in later:
            yield f"then {count(runs, 'run')} of {self.experiment.rungs[index]}"
        yield f"{count(len(mine), 'run')} now, {sum(runs for _, runs in later)} later"

    def _begun(self, run):
        folder = self.run_folder(run)
        return os.path.isdir(folder) and _read(folder + ".hash") == run.hash


def _checkpoints(folder):
    return glob.glob(os.path.join(glob.escape(folder), "checkpoints", "step-*.safetensors"))


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None


def said_of(record):
    if record["status"] != "done":
        return "diverged"
    return f"loss {record['valid_loss']:.4f}, perplexity {perplexity(record['valid_loss']):.2f}"


def say(line):
    print(("\r\033[K" if sys.stderr.isatty() else "") + line, file=sys.stderr, flush=True)


def live(label):
    """Shows a run's latest line on a terminal, and nothing in a log."""
    if not sys.stderr.isatty():
        return lambda line: None
    width = shutil.get_terminal_size().columns - 1

    def show(line):
        line = f"{label}: {line}"[:width]
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
    return show
