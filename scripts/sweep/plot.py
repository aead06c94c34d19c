"""Plots of an experiment as SVG: learning curves, or the final loss against a value."""

import collections
import math
from xml.sax.saxutils import escape

from .errors import USAGE, SweepError
from .text import size

# Okabe and Ito's palette (2008), which people with any colour vision tell apart; without
# its yellow, which white swallows. More series than colours: the same again, dashed.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("", "7 3", "2 2", "9 3 2 3")
WIDTH, HEIGHT = 860, 460
LEFT, TOP, BOTTOM = 72, 44, 56  # of the plot's frame
SIZES = ("parameters", "receptive_field")  # values on x that runs report
CHARACTER = 6.6                 # width of one in the legend, for the frame's right end


class Scale:
    """Values to pixels, linear or logarithmic, and where ticks stand."""

    def __init__(self, low, high, begin, end, log=False):
        if low == high:
            low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
        self.low, self.high, self.begin, self.end, self.log = low, high, begin, end, log

    def __call__(self, value):
        low, high, at = ((math.log(v) for v in (self.low, self.high, value)) if self.log
                         else (self.low, self.high, value))
        return self.begin + (at - low) / (high - low) * (self.end - self.begin)

    def ticks(self, most=8):
        if self.log:
            found = [m * 10.0 ** e for e in range(-12, 13) for m in (1, 2, 5)]
            found = [v for v in found if self.low <= v * 1.0001 and v <= self.high * 1.0001]
            return found if len(found) > 1 else [self.low, self.high]
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.9999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [n * step for n in range(first, last + 1)]


def _labels(ticks):
    """Labels of ticks, with the same decimals for all of a linear axis."""
    if max(ticks, default=0) >= 10000:
        return [size(value) for value in ticks]
    short = [f"{value:.6g}" for value in ticks]
    if "e" in "".join(short) or min(ticks, default=0) * 50 < max(ticks, default=0):
        return short
    decimals = max(len(label.partition(".")[2]) for label in short)
    return [f"{value:.{decimals}f}" for value in ticks]


def _series_style(index):
    return COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]


class Drawing:
    def __init__(self, title, legend, x_label, y_label):
        longest = max((len(text) for text in legend), default=0)
        self.right = WIDTH - 52 - min(longest, 40) * CHARACTER
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" fill="#222">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            f'<clipPath id="frame"><rect x="{LEFT}" y="{TOP}" width="{self.right - LEFT:.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}"/></clipPath>']
        self.text(LEFT, 24, title, size_=15)
        self.text((LEFT + self.right) / 2, HEIGHT - 14, x_label, anchor="middle")
        middle = (TOP + HEIGHT - BOTTOM) / 2
        self.parts.append(f'<text transform="translate(20 {middle:.1f}) rotate(-90)" '
                          f'text-anchor="middle">{escape(y_label)}</text>')
        for index, name in enumerate(legend):
            self._legend(index, name if len(name) <= 40 else name[:39] + "…")

    def _legend(self, index, name):
        colour, dash = _series_style(index)
        y = TOP + 12 + 19 * index
        self.line([(self.right + 12, y), (self.right + 36, y)], colour, dash, clip=False)
        self.text(self.right + 42, y + 4, name)

    def text(self, x, y, text, anchor="start", size_=12):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
                          f'font-size="{size_}">{escape(text)}</text>')

    def axes(self, x, y):
        for value, label in zip(y.ticks(), _labels(y.ticks())):
            self._grid(LEFT, y(value), self.right, y(value))
            self.text(LEFT - 8, y(value) + 4, label, anchor="end")
        for value, label in zip(x.ticks(), _labels(x.ticks())):
            self._grid(x(value), TOP, x(value), HEIGHT - BOTTOM)
            self.text(x(value), HEIGHT - BOTTOM + 18, label, anchor="middle")
        self.parts.append(f'<rect x="{LEFT}" y="{TOP}" width="{self.right - LEFT:.1f}" '
                          f'height="{HEIGHT - TOP - BOTTOM}" fill="none" stroke="#666"/>')

    def _grid(self, x1, y1, x2, y2):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                          'stroke="#ddd"/>')

    def line(self, points, colour, dash, clip=True):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-linejoin="round"' + (f' stroke-dasharray="{dash}"' if dash else "") +
            (' clip-path="url(#frame)"' if clip else "") + "/>")

    def band(self, lower, upper, colour):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*lower, *reversed(upper)])
        self.parts.append(f'<polygon points="{path}" fill="{colour}" fill-opacity="0.18" '
                          'clip-path="url(#frame)"/>')

    def point(self, x, low, middle, high, colour, hollow):
        """hollow: of some of the seeds only, as the others diverged."""
        self.parts.append(f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" '
                          f'stroke="{colour}" stroke-width="2" clip-path="url(#frame)"/>')
        self.parts.append(f'<circle cx="{x:.1f}" cy="{middle:.1f}" r="4" stroke="{colour}" '
                          f'stroke-width="2" fill="{"#fff" if hollow else colour}" '
                          'clip-path="url(#frame)"/>')

    def diverged(self, x, row, colour):
        """A cross on the frame's upper edge, or so many rows below where others stand there."""
        self.parts.append(f'<path d="M{x - 5:.1f},{TOP - 5 + 13 * row} l10,10 m0,-10 l-10,10" '
                          f'stroke="{colour}" stroke-width="2" fill="none"/>')

    def finish(self):
        return "\n".join([*self.parts, "</svg>", ""])


def _unit(experiment):
    return ("validation loss (nats per token)" if experiment.compare == "valid_loss"
            else "validation (bits per byte)")


def _scaled_curve(record, compare):
    factor = 1 if compare == "valid_loss" else record["bits_per_byte"] / record["valid_loss"]
    return {tokens: loss * factor for tokens, loss in record["curve"]}


def _curve(at, compare):
    """(tokens, lowest, mean, highest) where all the seeds have a validation."""
    curves = [_scaled_curve(r, compare) for r in at.records if r["status"] == "done"]
    shared = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    found = []
    for tokens in shared:
        values = [curve[tokens] for curve in curves]
        found.append((tokens, min(values), sum(values) / len(values), max(values)))
    return found


def _padded(low, high):
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _curves(experiment, ranked):
    """Curves whose first, steep part is cut off: what tells variations apart is at the end."""
    curves = [(at, _curve(at, experiment.compare)) for at in ranked if at.finite]
    curves = [(at, curve) for at, curve in curves if curve]
    if not curves:
        raise SweepError(USAGE, f"{experiment.path}: no finished run to plot yet")
    last = max(curve[-1][0] for _, curve in curves)
    lows = [point[1] for _, curve in curves for point in curve]
    highs = [point[3] for _, curve in curves for point in curve if point[0] >= 0.15 * last]
    labels = [f"{at.variation.name}: {at.mean:.3f}" +
              (f", {at.diverged} diverged" if at.diverged else "") for at, _ in curves]
    drawing = Drawing(experiment.title, labels, "tokens trained", _unit(experiment))
    first = min(curve[0][0] for _, curve in curves)
    x = Scale(0 if first < 0.2 * last else first, last, LEFT, drawing.right)
    y = Scale(*experiment.plot.get("y", _padded(min(lows), max(highs))), HEIGHT - BOTTOM, TOP)
    drawing.axes(x, y)
    for index, (_, curve) in enumerate(curves):
        colour, dash = _series_style(index)
        lower, mean, upper = ([(x(p[0]), y(p[i])) for p in curve] for i in (1, 2, 3))
        drawing.band(lower, upper, colour)
        drawing.line(mean, colour, dash)
    return drawing.finish()


def _value(experiment, at, key):
    """x of a variation: a size that its runs report, or a key that it sets."""
    if key in SIZES:
        value = at.average(key)
    else:
        value = at.variation.settings.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SweepError(USAGE, f"{experiment.path}: plot.x: {key} of {at.variation.name} is no "
                                "number")
    return value


def _unbroken(points):
    """Points in the parts that no diverged one is between."""
    parts = [[]]
    for point in points:
        if point[1].finite:
            parts[-1].append(point)
        elif parts[-1]:
            parts.append([])
    return parts


def _note(points, unsized):
    """What marks of divergence mean, where there are any, and what has none."""
    said = [text for text, seen in (
        ("× all seeds diverged", any(not at.finite for _, at in points)),
        ("○ some seeds diverged", any(at.finite and at.diverged for _, at in points))) if seen]
    return ", ".join([*said, *(f"{at.variation.name} diverged at once" for at in unsized)])


def _against_value(experiment, ranked):
    """Mean of each variation with a bar from its lowest to its highest seed; a line per series."""
    key, name = experiment.plot["x"], experiment.plot.get("series")
    series = {}
    unsized = [at for at in ranked
               if key in SIZES and not at.finite and at.average(key) is None]
    for at in (at for at in ranked if at not in unsized):
        label = (at.variation.group if name in ("group", None) else at.variation.settings.get(name))
        series.setdefault("" if label is None else str(label), []).append(
            (_value(experiment, at, key), at))
    if not any(at.finite for at in ranked):
        raise SweepError(USAGE, f"{experiment.path}: no finished run to plot yet")
    if len(series) > 1 and "" in series:
        series["other"] = series.pop("")
    points = [point for each in series.values() for point in each]
    log = experiment.plot.get("log_x", False)
    if log and min(point[0] for point in points) <= 0:
        raise SweepError(USAGE, f"{experiment.path}: plot.log_x: {key} is not above 0 everywhere")
    labels = [label for label in sorted(series) if label]
    drawing = Drawing(experiment.title, labels, experiment.plot.get("x_label", key),
                      "lowest " + _unit(experiment))
    low, high = (pick(point[0] for point in points) for pick in (min, max))
    span = (low / 1.15, high * 1.15) if log else _padded(low, high)
    x = Scale(*span, LEFT, drawing.right, log)
    figures = [value for _, at in points for value in at.finite]
    full = _padded(min(figures), max(figures))
    y = Scale(*experiment.plot.get("y", full), HEIGHT - BOTTOM, TOP)
    drawing.axes(x, y)
    crosses = collections.Counter()
    for index, label in enumerate(sorted(series)):
        colour, dash = _series_style(index)
        each = sorted(series[label], key=lambda point: point[0])
        for part in filter(None, _unbroken(each)):
            drawing.line([(x(value), y(at.mean)) for value, at in part], colour, dash)
        for value, at in each:
            if at.finite:
                drawing.point(x(value), *map(y, (min(at.finite), at.mean, max(at.finite))), colour,
                              hollow=at.diverged > 0)
            else:
                drawing.diverged(x(value), crosses[value], colour)
                crosses[value] += 1
    drawing.text(drawing.right, TOP - 8, _note(points, unsized), anchor="end")
    return drawing.finish()


def svg(experiment, ranked):
    """Of the variations at the highest rung reached: losses at others do not compare."""
    top = max((at.rung_index for at in ranked), default=0)
    ranked = [at for at in ranked if at.rung_index == top]
    return (_against_value if "x" in experiment.plot else _curves)(experiment, ranked)
