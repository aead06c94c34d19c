"""The binary: what a config resolves to, training, and what a finished run holds."""

import glob
import hashlib
import json
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys

from .errors import DIVERGED, INPUT, INTERNAL, SweepError
from .text import perplexity

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Keys that change no result: the bits after so many steps are the same for any number of threads.
WITHOUT_EFFECT = {"data": ("cache_dir", "train", "valid"),
                  "train": ("threads", "save_every", "log_every", "flow_every", "keep_last")}


def find(named):
    """Path of the binary: as named, else that of the tree, else the installed one."""
    built = os.path.join(ROOT, "build", "release", "sluice")
    path = named or (built if os.path.isfile(built) else shutil.which("sluice"))
    if not path or not os.access(path, os.X_OK) or os.path.isdir(path):
        raise SweepError(INPUT, f"{path or built}: no binary there; build it (cmake --preset "
                                "release && cmake --build build/release), or name it by --binary")
    return os.path.abspath(path)


def _schema_of(value, schema):
    """Of the choices that a schema gives, the one for such a value."""
    for choice in schema.get("anyOf", ()):
        if isinstance(value, (dict, list)) and ("properties" in choice or "items" in choice):
            return _schema_of(value, choice)
    return schema


def same_config(old, new, schema):
    """Whether two configs mean the same, one perhaps of a binary that knows fewer keys: what both
    say is equal, and what one of them does not know has its default."""
    if isinstance(old, dict) and isinstance(new, dict):
        known = _schema_of(new, schema).get("properties", {})
        for key in old.keys() | new.keys():
            inner = known.get(key, {})
            values = [side.get(key, inner.get("default", math.nan)) for side in (old, new)]
            if not same_config(*values, inner):
                return False
        return True
    if isinstance(old, list) and isinstance(new, list):
        items = _schema_of(new, schema).get("items", {})
        return len(old) == len(new) and all(same_config(*pair, items) for pair in zip(old, new))
    return old == new


def digest(config):
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def set_options(settings):
    return [part for key, value in settings.items()
            for part in ("--set", f"{key}={json.dumps(value)}")]


def error_line(text):
    """The last line that says what went wrong, else the last one at all."""
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["error: no message"])[-1].removeprefix("error: ")


class Program:
    def __init__(self, path):
        self.path = path
        self.version = self._output(["--version"]).strip()
        self._schema = json.loads(self._output(["config", "schema"]))
        self._digests = {}

    def _run(self, arguments):
        try:
            return subprocess.run([self.path, *arguments], capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, check=False)
        except OSError as error:
            raise SweepError(INPUT, f"{self.path}: {error.strerror}") from None

    def _output(self, arguments):
        done = self._run(arguments)
        if done.returncode != 0:
            raise SweepError(done.returncode if done.returncode > 0 else INTERNAL,
                             error_line(done.stderr))
        return done.stdout

    def resolve(self, base, settings):
        """The whole config as a dictionary; SweepError with sluice's own words if it is none."""
        return json.loads(self._output(["config", "dump", base, *set_options(settings)]))

    def _digest(self, pattern):
        """Of the bytes of the files that a pattern names."""
        if pattern not in self._digests:
            digest = hashlib.sha256()
            for path in sorted(glob.glob(pattern)) or [pattern]:
                try:
                    with open(path, "rb") as file:
                        digest.update(hashlib.file_digest(file, "sha256").digest())
                except OSError as error:
                    raise SweepError(INPUT, f"{path}: {error.strerror}") from None
            self._digests[pattern] = digest.hexdigest()
        return self._digests[pattern]

    def result_config(self, config):
        """What a run's result depends on: the config but for keys without effect, and its files by
        what they hold, wherever they lie. With a limit in time the threads count too."""
        kept = {section: {key: value for key, value in values.items()
                          if key not in WITHOUT_EFFECT.get(section, ())}
                for section, values in config.items()}
        for key in ("train", "valid"):
            kept["data"][key] = [self._digest(p) for p in config["data"][key]]
        if config["tokenizer"]["file"] is not None:
            kept["tokenizer"]["file"] = self._digest(config["tokenizer"]["file"])
        if config["train"]["max_time"] is not None:
            threads = config["train"]["threads"]
            kept["train"]["threads"] = threads or len(os.sched_getaffinity(0))
        return kept

    def same(self, old, new):
        return same_config(old, new, self._schema)

    def plan(self, base, settings, folder):
        """What `train --dry-run` says a run needs: {label: text}."""
        said = self._output(["train", base, *set_options(settings), "--dry-run",
                             "--out", folder, "--overwrite"])
        return {label.strip(): text for label, text in
                re.findall(r"^(\S[^\n]*?) {2,}(\S.*)$", said, flags=re.M)}

    def info(self, folder):
        """What the last checkpoint of a run says of itself; nothing if there is none."""
        done = self._run(["info", folder, "--which", "last", "--json"])
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def train(self, arguments, stop, show):
        """Trains in a process that `stop` hands signals on to; (exit code, what it said)."""
        said = []
        try:
            # A group of its own: Ctrl-C in a terminal would reach the child twice, and the second
            # time means at once, without saving.
            child = subprocess.Popen([self.path, "train", *arguments], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                     errors="replace", process_group=0)
        except OSError as error:
            raise SweepError(INPUT, f"{self.path}: {error.strerror}") from None
        with child:
            stop.follow(child)
            for line in child.stderr:
                said.append(line)
                show(line.rstrip())
        stop.follow(None)
        return child.returncode, "".join(said)


class Stop:
    """Signals to the sweep: handed on to the run, which saves and ends, and then the sweep ends."""

    def __init__(self):
        self.asked = False
        self.timed = False
        self._child = None
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
            signal.signal(signal.SIGHUP, self._ask)
        signal.signal(signal.SIGTSTP, self._suspend)

    def follow(self, child):
        self._child = child
        if child is not None and self.asked:  # it came while the process was being made
            child.send_signal(signal.SIGINT)

    def _ask(self, _number, _frame):
        self.asked = True
        if self._child is not None:
            self._child.send_signal(signal.SIGINT)

    def _suspend(self, _number, _frame):
        """Ctrl-Z: the run must not go on behind a sweep that is held. The clock of a run by time
        would go on, so such a run is not held."""
        if self.timed:
            print("\nno pause in a run with a limit in time; Ctrl-C saves it, and the same command "
                  "goes on", file=sys.stderr, flush=True)
            return
        if self._child is not None:
            self._child.send_signal(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        if self._child is not None:
            self._child.send_signal(signal.SIGCONT)


def _rows(folder):
    """Rows of metrics.jsonl; what a crash has torn at its end is no row."""
    rows = []
    try:
        with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):
                    rows.append(json.loads(line))
    except (OSError, ValueError):
        pass
    return rows


def _tokens(folder, config):
    """A function from a row of metrics.jsonl to the tokens trained until then. Windows have all the
    same length; lines do not, so there it is the share of the text."""
    per_step = tokens_per_step(config)
    if config["data"]["mode"] == "stream":
        return lambda row: int(row["step"]) * per_step
    with open(os.path.join(folder, "train.log"), encoding="utf-8") as file:
        size = re.search(r"text: (\d+) training", file.read())
    return lambda row: round(row["epoch"] * int(size[1]))


def tokens_per_step(config):
    data = config["data"]
    return data["batch_size"] * data["tokens_per_sample"] * config["train"]["accumulate_steps"]


def outcome(program, folder, config, code):
    """What is kept of a run that ended with `code`: figures, sizes, learning curve."""
    rows = _rows(folder)
    tokens = _tokens(folder, config)
    # A loss that is no number stands as null.
    curve = [row for row in rows if row.get("valid_loss") is not None]
    best = min(curve, key=lambda row: row["valid_loss"], default=None)
    if code != DIVERGED and best is None:
        raise SweepError(INTERNAL, f"{folder}: a finished run without a validation")
    info = program.info(folder)
    rates = [row["tokens_per_second"] for row in rows if row.get("tokens_per_second")]
    found = {"status": "diverged" if code == DIVERGED else "done"}
    if best is not None:
        found |= {"valid_loss": best["valid_loss"],
                  "perplexity": finite(perplexity(best["valid_loss"])),
                  "bits_per_byte": best["valid_bits_per_byte"], "best_step": int(best["step"])}
    if rows:
        found |= {"steps": int(rows[-1]["step"]), "tokens": tokens(rows[-1])}
    done = found["status"] == "done"  # the time until a divergence says nothing
    return found | {
        "seconds": info.get("training_seconds") if done else None,
        "parameters": info.get("parameters"),
        "tokens_per_second": statistics.median(rates) if rates else None,
        "receptive_field": info.get("receptive_field"), "precision": info.get("precision"),
        "curve": [[tokens(row), row["valid_loss"]] for row in curve],
        "commit": commit(), "version": program.version}


def finite(value):
    """The number as JSON can hold it: null for what is infinite."""
    return value if math.isfinite(value) else None


def commit():
    """The tree's commit, with -dirty where it has changes; None outside of a repository."""
    try:
        done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=12",
                               "--exclude=*"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None
