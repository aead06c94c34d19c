"""results.jsonl: a line for each finished run, and what the lines say of a variation."""

import json
import math
import os
import statistics

from .errors import DATA, INPUT, OUTPUT, SweepError


def _records(data, path):
    """Records of whole lines, and where these end. Only the last line may be torn."""
    records, end = [], 0
    lines = data.split(b"\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            record = json.loads(line)
            key = (record["name"], record["rung"], record["seed"])
        except (ValueError, KeyError, TypeError):
            if number == len(lines) - 1 and not lines[-1]:
                break
            raise SweepError(DATA, f"{path}: line {number}: not a record of a sweep") from None
        records.append((key, record))
        end += len(line) + 1
    return records, end


class Results:
    """The latest record of each (name, rung, seed)."""

    def __init__(self, path):
        self.path = path
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise SweepError(INPUT, f"{path}: {error.strerror}") from None
        records, self._end = _records(data, path)
        self._latest = dict(records)
        self._current_path = os.path.join(os.path.dirname(path), "current.json")
        try:
            with open(self._current_path, encoding="utf-8") as file:
                self._current = json.load(file)
        except FileNotFoundError:
            self._current = {"set": {}, "hashes": []}
        except (OSError, ValueError) as error:
            raise SweepError(INPUT, f"{self._current_path}: {error}") from None

    def get(self, name, rung, seed):
        return self._latest.get((name, rung, seed))

    def append(self, record):
        """Writes behind the last whole line: what a kill has torn is overwritten."""
        line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o666)
            try:
                os.ftruncate(file, self._end)
                written = os.pwrite(file, line, self._end)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise SweepError(OUTPUT, f"{self.path}: {error.strerror}") from None
        if written != len(line):
            raise SweepError(OUTPUT, f"{self.path}: could not be written whole")
        self._end += len(line)
        self._latest[record["name"], record["rung"], record["seed"]] = record


    def state_current(self, hashes, extra):
        """Keeps what the experiment came to when a sweep last began, with the settings of its
        --set: a table, which is made without the binary, tells results by it."""
        self._current = {"set": extra, "hashes": sorted(hashes)}
        try:
            with open(self._current_path + ".part", "w", encoding="utf-8") as file:
                json.dump(self._current, file, ensure_ascii=False)
            os.replace(self._current_path + ".part", self._current_path)
        except OSError as error:
            raise SweepError(OUTPUT, f"{self._current_path}: {error.strerror}") from None

    def current(self, record, variation, rung):
        """Whether the record is of what the last sweep ran and the experiment says now."""
        settings = {**self._current["set"], **variation.settings}
        return record["hash"] in self._current["hashes"] and (
            (record["limit"], record["set"]) == (rung.limit, settings))


def figure(record, compare):
    """What runs are compared by; infinite for one that diverged."""
    if record["status"] != "done":
        return math.inf
    return record["valid_loss" if compare == "valid_loss" else "bits_per_byte"]


class Standing:
    """A variation at one rung: its records and what they come to."""

    def __init__(self, variation, rung_index, records, compare, seeds):
        self.variation = variation
        self.rung_index = rung_index
        self.records = records  # of the seeds that are done, in the order of the seeds
        self.seeds = seeds      # how many there will be
        figures = [figure(record, compare) for record in records]
        self.finite = [value for value in figures if math.isfinite(value)]
        self.diverged = len(figures) - len(self.finite)
        self.mean = statistics.fmean(self.finite) if self.finite else math.inf
        self.spread = statistics.stdev(self.finite) if len(self.finite) > 1 else None

    def order(self):
        """Rank: those that diverged behind those that did not; the name decides between equals."""
        return self.diverged, self.mean, self.variation.name

    def average(self, key):
        """Mean of a figure over the runs that have it; None if none has."""
        values = [record[key] for record in self.records if record.get(key) is not None]
        return statistics.fmean(values) if values else None


def standing(experiment, results, variation, rung_index, usable=None):
    """The variation at that rung, from the usable records: by default those that are current."""
    usable = usable or results.current
    rung = experiment.rungs[rung_index]
    records = [results.get(variation.name, rung_index + 1, seed) for seed in rung.seeds]
    records = [r for r in records if r is not None and usable(r, variation, rung)]
    return Standing(variation, rung_index, records, experiment.compare, len(rung.seeds))


def standings(experiment, results, names=None):
    """Each variation at the last rung that it has reached, best first."""
    found = []
    for variation in experiment.variations:
        if names is not None and variation.name not in names:
            continue
        for index in reversed(range(len(experiment.rungs))):
            at = standing(experiment, results, variation, index)
            if at.records:
                found.append(at)
                break
    return sorted(found, key=lambda at: (-at.rung_index, *at.order()))


def stale(experiment, results):
    """How many records exist for this experiment's runs that were made with other settings."""
    count = 0
    for variation in experiment.variations:
        for index, rung in enumerate(experiment.rungs):
            for seed in rung.seeds:
                record = results.get(variation.name, index + 1, seed)
                count += record is not None and not results.current(record, variation, rung)
    return count


def loss_at(record, tokens):
    """Loss of the last validation at or before `tokens`; None where there is none, or where the run
    ended earlier by more than the distance of its last two validations."""
    before = [point for point in record["curve"] if point[0] <= tokens]
    if not before:
        return None
    if len(before) == len(record["curve"]):
        gap = before[-1][0] - (before[-2][0] if len(before) > 1 else 0)
        if tokens - before[-1][0] > gap:
            return None
    return before[-1][1]
