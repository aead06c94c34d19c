"""Figures as people read them."""

import math


def duration(seconds):
    """"45 s", "12.5 min", "3.2 h"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(number):
    """Three or four digits and a unit: 950, 14.6k, 7.60M."""
    for unit, divisor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= divisor:
            scaled = number / divisor
            return (f"{scaled:.2f}" if scaled < 10 else f"{scaled:.1f}") + unit
    return f"{number:.0f}"


def perplexity(loss):
    """exp(loss); infinite where no double holds it, which is above 709.78 nats."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def count(number, noun):
    return f"{number} {noun}{'' if number == 1 else 's'}"
