"""Predictions as a CSV table that opens safely in any spreadsheet program."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet program takes a text that begins like this for a formula and runs it."""


def defused(text: str) -> str:
    """Return a text that a spreadsheet program shows instead of running it; an apostrophe in front does that."""
    risky = text.startswith(FORMULA_STARTS) or text.strip(" \xa0").startswith(FORMULA_STARTS)
    return f"'{text}" if risky else text


def prediction_csv(class_names: Sequence[str], rows: Iterable[tuple[str, Sequence[float] | None, str]]) -> str:
    """Return a CSV table with one line per picture.

    Args:
        class_names: Names in the order of the probabilities.
        rows: File name, probabilities (`None` for a refused picture) and the reason when refused.

    Returns:
        Columns `file`, `answer`, `probability`, one per class, and `refused because`. It begins with a byte
        order mark, by which Excel knows that it is UTF-8.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    header = ["file", "answer", "probability", *class_names, "refused because"]
    writer.writerow([defused(name) for name in header])
    for file, probabilities, reason in rows:
        if probabilities is None:
            cells = ["", "", *("" for _ in class_names)]
        else:
            best = max(range(len(class_names)), key=lambda index: probabilities[index])
            numbers = [f"{float(value):.6f}" for value in probabilities]
            cells = [defused(class_names[best]), numbers[best], *numbers]
        writer.writerow([defused(file), *cells, defused(reason)])
    return "\ufeff" + stream.getvalue()
