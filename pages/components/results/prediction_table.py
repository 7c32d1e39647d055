"""Predictions as a CSV table that opens safely in any spreadsheet program."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pages.components.results.answers import DO_NOT_KNOW, Answer

if TYPE_CHECKING:
    from tlcore.storage.answers import StoredAnswer

STRANGE = "Like none of your classes"
"""The head of the column, on the page and in the file."""

_WIDE_SIGNS = frozenset("＝＋－＠﹦﹢﹣﹫")
_BEGINNING = r"""[\s\x00-\x1f\xa0\ufeff\u200b-\u200f\u2060"]*"""
"""What programs skip, or take for a quote, before they look whether a cell is a formula."""

_ENDS = r";\t|\r\n\v\f\x85\u2028\u2029"
"""What some programs take for the end of a cell or a line."""

_FORMULA = re.compile(
    # A space alone is harmless; a tab or an end of line at the beginning makes some programs look at what comes next.
    rf"^(?=[\t\r\n]|{_BEGINNING}[=+\-@\u2212])"
    # Where commas are decimal marks, programs cut lines at semicolons.
    rf"|(?<=[{_ENDS}])(?![{_ENDS}])(?={_BEGINNING}[=+\-@\u2212])"
)


def defused(text: str) -> str:
    """Return a text that a spreadsheet program shows instead of running it.

    An apostrophe stands before every place where a program may see the beginning of a formula: at the beginning, and
    after what some programs take for the end of a cell. Full-width signs, as Japanese and Chinese keyboards write them,
    count as their usual forms.
    """
    # As long as the text, so that places are the same: a sign that has no usual form of one letter is none of those.
    usual = "".join(unicodedata.normalize("NFKC", letter) if letter in _WIDE_SIGNS else letter for letter in text)
    places = dict.fromkeys(found.start() for found in _FORMULA.finditer(usual))
    parts = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    return "'".join(parts)


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns a table of answers has.

    Attributes:
        class_names: Names in the order of the probabilities; each is a column.
        threshold: Less probable answers are `I don't know`, and what the model would have said stands beside it; 0 for
            none.
        strange: Whether something could say which pictures look like none of the classes.
        folders: Whether folders around pictures say classes.
    """

    class_names: Sequence[str]
    threshold: float = 0.0
    strange: bool = False
    folders: bool = False

    def header(self) -> list[str]:
        """Return the heads of the columns."""
        return [
            "file",
            "answer",
            *(["best guess"] if self.threshold else []),
            "probability",
            *([STRANGE.lower()] if self.strange else []),
            *(["folder says"] if self.folders else []),
            *self.class_names,
            "refused because",
        ]

    def cells(self, answer: StoredAnswer) -> list[str]:
        """Return the line of a picture; of one that was refused, its name and the reason."""
        said = answer.said
        if said is None:
            return [answer.name, *[""] * (len(self.header()) - 2), answer.reason]
        numbers = [f"{value:.6f}" for value in answer.probabilities]
        best = self.class_names[said]
        return [
            answer.name,
            best if answer.is_sure(self.threshold) else DO_NOT_KNOW,
            *([best] if self.threshold else []),
            numbers[said],
            *([yes_or_no(answer.strange)] if self.strange else []),
            *(["" if answer.truth is None else self.class_names[answer.truth]] if self.folders else []),
            *numbers,
            "",
        ]


def yes_or_no(value: bool | None) -> str:
    """Return a cell that says whether something is so; empty where that is not known."""
    return "" if value is None else "yes" if value else "no"


def answers_csv(columns: Columns, answers: Iterable[StoredAnswer]) -> Iterator[str]:
    """Yield the lines of a CSV table of any length.

    Args:
        columns: What stands in it.
        answers: What the model said to each picture, or why it was refused.

    Yields:
        The heads, then a line for each picture. The first begins with a byte order mark, by which Excel knows that it
        is UTF-8.
    """
    yield "\ufeff" + _line(columns.header())
    for answer in answers:
        yield _line(columns.cells(answer))


def prediction_csv(
    class_names: Sequence[str],
    answers: Iterable[Answer],
    threshold: float = 0.0,
    is_strange: Callable[[Answer], bool | None] = lambda _answer: None,
) -> str:
    """Return such a table of pictures that were brought to the page.

    Args:
        class_names: Names in the order of the probabilities.
        answers: What the model said to each picture, or why it was refused.
        threshold: As of `Columns`.
        is_strange: Tells whether a picture looks like none of the classes; `None` where nothing can say so.
    """
    from tlcore.storage.answers import StoredAnswer

    stored = [
        StoredAnswer(one.name, one.probabilities, reason=one.reason, strange=None if one.reason else is_strange(one))
        for one in answers
    ]
    columns = Columns(class_names, threshold, strange=any(one.strange is not None for one in stored))
    return "".join(answers_csv(columns, stored))


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(map(defused, cells))
    return buffer.getvalue()
