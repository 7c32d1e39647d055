"""Predictions as a CSV table that opens safely in any spreadsheet program."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pages.components.results.answers import DO_NOT_KNOW, Answer

if TYPE_CHECKING:
    from tlcore.storage.answers import StoredAnswer

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet program takes a text that begins like this for a formula and runs it."""


def defused(text: str) -> str:
    """Return a text that a spreadsheet program shows instead of running it; an apostrophe in front does that."""
    risky = text.startswith(FORMULA_STARTS) or text.strip(" \xa0").startswith(FORMULA_STARTS)
    return f"'{text}" if risky else text


def prediction_csv(class_names: Sequence[str], answers: Iterable[Answer], threshold: float = 0.0) -> str:
    """Return a CSV table with one line per picture.

    Args:
        class_names: Names in the order of the probabilities.
        answers: What the model said to each picture, or why it was refused.
        threshold: Less probable answers are `I don't know`, and what the model would have said stands beside it.

    Returns:
        Columns `file`, `answer`, `best guess` when there is a threshold, `probability`, one per class, and `refused
        because`. It begins with a byte order mark, by which Excel knows that it is UTF-8.
    """
    import pandas as pd  # 0.3 s: not with the page, which needs it for the button only

    cells: list[list[str]] = []
    for answer in answers:
        said = [""] * (2 + bool(threshold) + len(class_names))
        if not answer.reason:
            numbers = [f"{value:.6f}" for value in answer.probabilities]
            best = class_names[answer.best]
            told = DO_NOT_KNOW if answer.probabilities[answer.best] < threshold else best
            said = [told, *([best] if threshold else []), numbers[answer.best], *numbers]
        cells.append([answer.name, *said, answer.reason])
    header = ["file", "answer", *(["best guess"] if threshold else []), "probability", *class_names, "refused because"]
    table = pd.DataFrame(cells, columns=[defused(name) for name in header], dtype=str)
    return "\ufeff" + table.map(defused).to_csv(index=False, lineterminator="\r\n")


def answers_csv(class_names: Sequence[str], answers: Iterable[StoredAnswer], threshold: float = 0.0) -> Iterator[str]:
    """Yield the lines of a CSV table of any length, as of `prediction_csv`.

    Args:
        class_names: Names in the order of the probabilities.
        answers: What the model said to each picture, or why it was refused.
        threshold: As of `prediction_csv`.

    Yields:
        The columns of `prediction_csv`, with `folder says` before those of the classes.
    """
    guess = ["best guess"] if threshold else []
    yield "\ufeff" + _line(["file", "answer", *guess, "probability", "folder says", *class_names, "refused because"])
    for answer in answers:
        said = answer.said
        cells = [""] * (len(class_names) + len(guess) + 3)
        if said is not None:
            numbers = [f"{value:.6f}" for value in answer.probabilities]
            truth = "" if answer.truth is None else class_names[answer.truth]
            best = class_names[said]
            told = DO_NOT_KNOW if answer.probabilities[said] < threshold else best
            cells = [told, *([best] if threshold else []), numbers[said], truth, *numbers]
        yield _line([answer.name, *cells, answer.reason])


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(map(defused, cells))
    return buffer.getvalue()
