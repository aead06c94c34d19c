"""The file of an experiment: what it may say, and the variations and budgets that follow."""

import dataclasses
import itertools
import json
import os
import re

from .errors import INPUT, USAGE, SweepError

LIMITS = {"max_time": "train.max_time", "max_steps": "train.max_steps", "tokens": None}
COMPARE = ("valid_loss", "valid_bits_per_byte")
# Set by seeds and rungs, so not by `set`, variants or axes.
RESERVED = {"train.seed": "seeds", "train.max_time": "rungs", "train.max_steps": "rungs",
            "train.max_epochs": "rungs"}
LONGEST_NAME = 80

HELP = """\
An EXPERIMENT is a JSON file, // comments allowed:
  base           a preset ("wikitext2-word") or the path of a config, relative
                 to the experiment
  set            {"optimizer.lr": 0.003, ...}: keys that differ from the base in
                 all runs
  axes           {"model.gate": ["glu", "gtu"], ...}: a variation for each
                 combination of values
  variants       [{"name": "deep", "set": {...}, "group": "..."}, ...]: spelt
                 out; with axes, each at each combination. A plot may join those
                 of a group by a line
  seeds          [1, 2, 3]: each variation is trained with each (default: [1])
  rungs          [{"max_time": "10m", "keep": 4}, {"max_time": "1h"}]: budgets
                 of a run; or max_steps, or tokens, rounded up to whole steps.
                 Each rung trains afresh; the `keep` variations with the lowest
                 mean over the seeds go on to the next. A rung may have its own
                 seeds
  compare        valid_loss (nats per token, the default), or
                 valid_bits_per_byte for variations whose tokenizers differ; of a
                 run's best validation
  report_tokens  [500000, 1000000]: the table also tells the loss after so much
                 training, which does not depend on the machine's speed
  title          of table and plot
  plot           {"x": K, "series": K, "x_label": TEXT, "log_x": true,
                 "y": [LOW, HIGH]}: final loss against x, a line for each value
                 of series. K is a config key that the variations set, or
                 parameters, receptive_field; series may be group. Without x:
                 learning curves, loss against tokens"""


@dataclasses.dataclass(frozen=True)
class Variation:
    """One point of the experiment: a name and the keys that make it differ from the base."""
    name: str
    settings: dict
    group: str | None = None

    @property
    def folder(self):
        return re.sub(r"[^A-Za-z0-9.=,+-]", "_", self.name)


@dataclasses.dataclass(frozen=True)
class Rung:
    """A budget: `limit` is {max_time | max_steps | tokens: value}; `keep` variations go on."""
    limit: dict
    keep: int
    seeds: tuple

    def __str__(self):
        (kind, value), = self.limit.items()
        return value if kind == "max_time" else (
            f"{value:,} " + {"max_steps": "steps", "tokens": "tokens"}[kind])


@dataclasses.dataclass(frozen=True)
class Experiment:
    path: str
    name: str
    title: str
    base: str
    variations: tuple
    rungs: tuple
    compare: str = "valid_loss"
    report_tokens: tuple = ()
    plot: dict = dataclasses.field(default_factory=dict)


def without_comments(text):
    """The text with // and /* */ comments blanked, so that lines keep their numbers."""
    pattern = r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/'
    return re.sub(pattern, lambda match: match[0] if match[0][0] == '"' else
                  re.sub(r"[^\n]", " ", match[0]), text, flags=re.S)


def seconds_of(text):
    """Seconds in a time as sluice writes it ("90s", "90m", "2h"), None if it is none."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh]?)", text) if isinstance(text, str) else None
    if not match or not float(match[1]) > 0:
        return None
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


class Reader:
    """Checks one file; every complaint names the file and the key."""

    def __init__(self, path):
        self.path = path

    def fail(self, what):
        raise SweepError(USAGE, f"{self.path}: {what}")

    def _unique(self, pairs):
        found = {}
        for key, value in pairs:
            if key in found:
                self.fail(f"{key}: given twice")
            found[key] = value
        return found

    def load(self):
        try:
            with open(self.path, encoding="utf-8") as file:
                text = without_comments(file.read())
        except OSError as error:
            raise SweepError(INPUT, f"{self.path}: {error.strerror}") from None
        except UnicodeDecodeError:
            self.fail("not UTF-8")
        try:
            found = json.loads(text, object_pairs_hook=self._unique)
        except json.JSONDecodeError as error:
            self.fail(f"line {error.lineno}: {error.msg}")
        return self.object(found, "the file", {"base", "set", "axes", "variants", "seeds", "rungs",
                                               "compare", "report_tokens", "title", "plot"})

    def object(self, value, where, keys=None):
        if not isinstance(value, dict):
            self.fail(f"{where}: expected an object, found {json.dumps(value)}")
        for key in value:
            if keys is not None and key not in keys:
                inside = "" if where == "the file" else where + "."
                self.fail(f"{inside}{key}: unknown key (expected one of {', '.join(sorted(keys))})")
        return value

    def array(self, value, where):
        if not isinstance(value, list) or not value:
            self.fail(f"{where}: expected a list that is not empty, found {json.dumps(value)}")
        return value

    def count(self, value, where, least=1):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.fail(f"{where}: expected a whole number of at least {least}, "
                      f"found {json.dumps(value)}")
        return value

    def text(self, value, where):
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            self.fail(f"{where}: expected a text, found {json.dumps(value)}")
        return value

    def settings(self, value, where):
        for key in self.object(value, where):
            self.config_key(key, where)
        return value

    def config_key(self, key, where):
        if key in RESERVED or key == "train":
            self.fail(f"{where}.{key}: belongs to {RESERVED.get(key, 'seeds and rungs')}")

    def seeds(self, value, where):
        found = [self.count(seed, where, 0) for seed in self.array(value, where)]
        if len(set(found)) != len(found):
            self.fail(f"{where}: the same seed twice")
        return tuple(found)

    def rung(self, value, where, seeds, last):
        self.object(value, where, {*LIMITS, "keep", "seeds"})
        limit = {kind: value[kind] for kind in LIMITS if kind in value}
        if len(limit) != 1:
            self.fail(f"{where}: expected exactly one of {', '.join(LIMITS)}")
        (kind, amount), = limit.items()
        if kind != "max_time":
            self.count(amount, f"{where}.{kind}")
        elif seconds_of(amount) is None:
            self.fail(f"{where}.max_time: expected a time like \"10m\", found {json.dumps(amount)}")
        if not last and "keep" not in value:
            self.fail(f"{where}.keep: missing (how many variations go on to the next rung)")
        if "seeds" in value:
            seeds = self.seeds(value["seeds"], where + ".seeds")
        return Rung(limit, self.count(value.get("keep", 1), where + ".keep"), seeds)

    def plot(self, value):
        self.object(value, "plot", {"x", "series", "x_label", "log_x", "y"})
        for key in ("x", "series", "x_label"):
            if key in value:
                self.text(value[key], "plot." + key)
        if not isinstance(value.get("log_x", False), bool):
            self.fail("plot.log_x: expected true or false")
        if "x" not in value and value.keys() & {"series", "log_x"}:
            self.fail("plot.series and plot.log_x need plot.x")
        y = value.get("y", [0, 1])
        if (not isinstance(y, list) or len(y) != 2 or
                not all(isinstance(end, (int, float)) for end in y) or y[0] >= y[1]):
            self.fail(f"plot.y: expected [LOW, HIGH], found {json.dumps(y)}")
        return value


def value_text(value):
    """A value in a name; without commas, at which --only divides."""
    return value if isinstance(value, str) else json.dumps(value, separators=(" ", ":"))


def short_keys(keys):
    """As much of each dotted key, from its end, as tells it from the others."""
    short = {}
    for key in keys:
        parts = key.split(".")
        tails = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        short[key] = next((tail for tail in tails if not any(
            other != key and ("." + other).endswith("." + tail) for other in keys)), key)
    return short


def axis_points(axes):
    """(name, settings) of each combination of the axes' values, the last axis varying fastest."""
    short = short_keys(axes)
    alone = len(axes) == 1
    for values in itertools.product(*axes.values()):
        point = dict(zip(axes, values))
        yield " ".join(value if alone and isinstance(value, str) else
                       f"{short[key]}={value_text(value)}" for key, value in point.items()), point


def variations(reader, found, common):
    """The variations that `variants` and `axes` make, each with the settings of all."""
    variants = [{"name": "", "set": {}}]
    if "variants" in found:
        variants = reader.array(found["variants"], "variants")
    axes = reader.settings(found.get("axes", {}), "axes")
    for key, values in axes.items():
        reader.array(values, f"axes.{key}")
    made = []
    for index, variant in enumerate(variants):
        where = f"variants.{index}"
        reader.object(variant, where, {"name", "set", "group"})
        if "variants" in found:
            reader.text(variant.get("name"), where + ".name")
        if "group" in variant:
            reader.text(variant["group"], where + ".group")
        own = reader.settings(variant.get("set", {}), where + ".set")
        for key in own:
            if key in axes:
                reader.fail(f"{where}.set.{key}: is an axis too")
        for name, point in axis_points(axes):
            made.append(Variation(f"{variant['name']} {name}".strip() or "base",
                                  {**common, **own, **point}, variant.get("group")))
    folders = {}
    for variation in made:
        if len(variation.name) > LONGEST_NAME:
            reader.fail(f"the name {variation.name[:LONGEST_NAME]}... is too long; "
                        "spell such variations out as variants")
        if "," in variation.name:
            reader.fail(f"{variation.name}: a name must not hold a comma, which --only divides at")
        other = folders.setdefault(variation.folder, variation)
        if other is not variation:
            reader.fail(f"two variations are called {variation.name}; give them other names")
        if variation.folder.startswith("."):
            reader.fail(f"{variation.name}: a name must not begin with a dot")
    return tuple(made)


def read(path, extra=None):
    """The experiment in the file at `path`, with the settings of --set in all its runs."""
    reader = Reader(path)
    found = reader.load()
    if "base" not in found or "rungs" not in found:
        reader.fail(f"{'rungs' if 'base' in found else 'base'}: missing")
    base = reader.text(found["base"], "base")
    if "/" in base or base.endswith(".json"):
        base = os.path.normpath(os.path.join(os.path.dirname(path), base))
        base = base if "/" in base else "./" + base
    for key in extra or {}:
        if key in RESERVED:
            raise SweepError(USAGE, f"--set {key}: belongs to {RESERVED[key]} of the experiment")
    common = {**reader.settings(found.get("set", {}), "set"), **(extra or {})}
    made = variations(reader, found, common)
    for key, value in (extra or {}).items():
        if any(variation.settings[key] != value for variation in made):
            raise SweepError(USAGE, f"--set {key}: the variations of {path} set it themselves")
    seeds = reader.seeds(found.get("seeds", [1]), "seeds")
    listed = reader.array(found["rungs"], "rungs")
    rungs = tuple(reader.rung(rung, f"rungs.{i}", seeds, i + 1 == len(listed))
                  for i, rung in enumerate(listed))
    compare = found.get("compare", COMPARE[0])
    if compare not in COMPARE:
        reader.fail(f"compare: expected {' or '.join(COMPARE)}, found {json.dumps(compare)}")
    tokens = found.get("report_tokens", [])
    tokens = tuple(reader.count(n, "report_tokens") for n in tokens and reader.array(
        tokens, "report_tokens"))
    name = os.path.splitext(os.path.basename(path))[0]
    return Experiment(path, name, reader.text(found.get("title", name), "title"), base, made, rungs,
                      compare, tokens, reader.plot(found.get("plot", {})))
