"""Numbers in words: percentages, intervals, sizes and times as a person reads them."""

from __future__ import annotations

from tlcore.dataset import Split
from tlcore.results.evaluation import accuracy_interval
from tlcore.settings.words import file_size as file_size

SURE = 0.995
"""From here on a rounded percentage would claim certainty."""


def percent(fraction: float, decimals: int = 0) -> str:
    """Return a fraction of `[0, 1]` as a percentage, such as `97 %`."""
    return f"{100 * fraction:.{decimals}f} %"


def chance(probability: float) -> str:
    """Return a model's probability as a percentage that never claims 0 or 100 unless it is."""
    if SURE <= probability < 1:
        return "over 99 %"
    if 0 < probability < 1 - SURE:
        return "under 1 %"
    return percent(probability)


def accuracy_decimals(total: int) -> int:
    """Return how many decimals an accuracy over that many pictures can carry."""
    return 0 if total < 100 else 1


def accuracy_words(correct: int, total: int, split: Split = "test") -> str:
    """Return an accuracy such as `94.0 %`, or that the part of the data set had no pictures."""
    return percent(correct / total, accuracy_decimals(total)) if total else f"no {split} pictures"


def interval_words(correct: int, total: int) -> str:
    """Return the 95 % interval of an accuracy in words, such as `between 91 and 97 %`."""
    low, high = _interval_ends(correct, total)
    return f"about {low} %" if low == high else f"between {low} and {high} %"


def interval_range(correct: int, total: int) -> str:
    """Return the 95 % interval of an accuracy as short as can be, such as `91 to 97 %`; a dash for none."""
    return "{} to {} %".format(*_interval_ends(correct, total)) if total else "–"


def accuracy_with_interval(correct: int, total: int, split: Split = "test") -> str:
    """Return an accuracy with its 95 % interval, such as `94.0 % (91 to 97 %)`, or as above."""
    words = accuracy_words(correct, total, split)
    return f"{words} ({interval_range(correct, total)})" if total else words


def _interval_ends(correct: int, total: int) -> tuple[str, str]:
    low, high = (f"{100 * end:.{0 if total < 1000 else 1}f}" for end in accuracy_interval(correct, total))
    return low, high


def ordinal(number: int) -> str:
    """Return a place in a row, such as `1st` or `12th`."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def points(total: int) -> str:
    """Return what one of that many pictures counts, in percentage points."""
    return f"{100 / total:.2g} points"


def amount(number: int) -> str:
    """Return a number of weights with two digits that count: `960`, `17 k`, `3.4 M`."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= unit:
            value = number / unit
            return f"{value:.1f} {letter}" if value < 9.95 else f"{value:,.0f} {letter}"
    return str(number)


def duration(seconds: float) -> str:
    """Return a time as people say it, rounded up: `40 s`, `3 min`, `1 h 20 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = -(-int(seconds) // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def seconds_words(seconds: float) -> str:
    """Return a time as people say it, with a decimal when it is short: `0.4 s`, `40 s`, `3 min`."""
    if seconds < 0.05:
        return "less than 0.1 s"
    return f"{seconds:.1f} s" if seconds < 9.95 else duration(seconds)
