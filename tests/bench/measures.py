"""One measured figure and its limit, interleaved timing, and the table at the end."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

DIGITS = 4


@dataclass(frozen=True, slots=True)
class Measurement:
    """One line of the result.

    Attributes:
        name: What was measured.
        unit: Of `ours` and `theirs`.
        ours: Transfer Lab's figure.
        limit: What must be reached.
        theirs: The other side's figure; `None` when the limit is on ours alone.
        better: Whether more or less of the unit is better.
        limit_on: `ratio`: the ratio must be at least the limit. `ours`: our figure must be at most the limit
            where less is better, at least the limit where more is.
        details: Further figures, other peers among them.
    """

    name: str
    unit: str
    ours: float
    limit: float
    theirs: float | None = None
    better: Literal["more", "less"] = "less"
    limit_on: Literal["ratio", "ours"] = "ratio"
    details: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.limit_on == "ratio" and self.theirs is None:
            raise ValueError("`theirs` must be given when the limit is on the ratio. Received: theirs=None")

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than theirs; above 1 means that ours is better."""
        if self.theirs is None:
            return None
        return self.ours / self.theirs if self.better == "more" else self.theirs / self.ours

    @property
    def is_reached(self) -> bool:
        """Whether the limit is kept."""
        if self.limit_on == "ratio":
            assert self.ratio is not None
            return self.ratio >= self.limit
        return self.ours >= self.limit if self.better == "more" else self.ours <= self.limit

    def to_json(self) -> str:
        """Return the result as one line of JSON."""
        fields: dict[str, object] = {
            "name": self.name,
            "ours": rounded(self.ours),
            "theirs": self.theirs if self.theirs is None else rounded(self.theirs),
            "ratio": self.ratio if self.ratio is None else rounded(self.ratio),
            "limit": rounded(self.limit),
            "limit_on": self.limit_on,
            "better": self.better,
            "unit": self.unit,
            "reached": self.is_reached,
        }
        return json.dumps({**fields, **self.details})


def rounded(value: float) -> float:
    """Return a figure with four significant digits; more would pretend."""
    return float(f"{value:.{DIGITS}g}")


def seconds_of(function: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Time several ways to do something in turns, so that a slow minute of the machine hits all of them.

    Args:
        ways: What to call, by name.
        rounds: How often each is timed.
        warm_up: Rounds before that which do not count.

    Returns:
        The seconds of every round, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(-warm_up, rounds):
        # Each round begins with another way, since who comes first after a pause has a cooler machine.
        start = number % len(names)
        for name in names[start:] + names[:start]:
            taken = seconds_of(ways[name])
            if number >= 0:
                seconds[name].append(taken)
    return seconds


def medians(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of each way."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of the values do not exceed: the nearest rank."""
    ranked = sorted(values)
    rank = -(-len(ranked) * percent // 100)
    return ranked[max(0, int(rank) - 1)]


def table(lines: Sequence[Mapping[str, object]]) -> str:
    """Return results, as `Measurement.to_json` gives them, as a table for people."""
    header = ("name", "ours", "theirs", "ratio", "limit", "unit", "")
    rows = [header]
    for line in lines:
        sign = "<=" if line["limit_on"] == "ours" and line["better"] == "less" else ">="
        rows.append(
            (
                str(line["name"]),
                _figure(line["ours"]),
                _figure(line["theirs"]),
                _figure(line["ratio"]),
                f"{line['limit_on']} {sign} {_figure(line['limit'])}",
                str(line["unit"]),
                "reached" if line["reached"] else "MISSED",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _figure(value: object) -> str:
    return "" if value is None else f"{value:g}"
