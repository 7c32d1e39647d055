"""A model's answers to many pictures: one file, written while they come, read a page at a time."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from tlcore.errors import UnreadableError

Order = Literal["brought", "least sure", "surest", "answer"]

_COLUMNS = "number, name, said, probability, truth, probabilities, reason, strange"
_ORDERS: dict[Order, str] = {
    "brought": "number",
    "least sure": "probability IS NULL, probability, number",
    "surest": "probability IS NULL, probability DESC, number",
    "answer": "said IS NULL, said, probability DESC, number",
}
_DAMAGED = "The answers to these pictures are missing or damaged. Delete them here, and bring the pictures again."
_TABLES = (
    "CREATE TABLE answers (number INTEGER PRIMARY KEY, name TEXT NOT NULL, said INTEGER, probability REAL, "
    "truth INTEGER, probabilities BLOB NOT NULL, reason TEXT NOT NULL, strange INTEGER)",
    # Apart, so that what is sorted and filtered fits into a few pages of the file.
    "CREATE TABLE thumbnails (number INTEGER PRIMARY KEY, thumbnail BLOB NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What a model said to one of many pictures, or why the picture was refused.

    Attributes:
        name: The path of its file as the person knows it; text only.
        probabilities: One per class, in `[0, 1]`; empty when refused.
        truth: Index of the class that its folder names; `None` where none does.
        thumbnail: A small JPEG file; empty when refused, and where it is not asked for.
        reason: Why it was refused; empty when it was not.
        strange: Whether it looks like none of the classes; `None` where nothing could say so.
    """

    name: str
    probabilities: tuple[float, ...] = ()
    truth: int | None = None
    thumbnail: bytes = b""
    reason: str = ""
    strange: bool | None = None

    @property
    def said(self) -> int | None:
        """Index of the most probable class; `None` when refused."""
        return int(np.argmax(self.probabilities)) if self.probabilities else None

    def is_sure(self, threshold: float) -> bool:
        """Whether it counts with a threshold; a less probable one is "I don't know", neither right nor wrong."""
        return bool(self.probabilities) and max(self.probabilities) >= threshold


@dataclass(frozen=True, slots=True)
class AnswerFilter:
    """Which answers to show; all that are given must hold.

    Attributes:
        said: Index of the class that the model said.
        below: Only answers whose probability is less than this, in `[0, 1]`.
        only_wrong: Only those whose folder names another class than the model said.
        only_strange: Only those that look like none of the classes.
        only_unknown: Only those to which the model said "I don't know".
        threshold: Least probability of an answer; with a lower one the model said "I don't know", and no class.
    """

    said: int | None = None
    below: float | None = None
    only_wrong: bool = False
    only_strange: bool = False
    only_unknown: bool = False
    threshold: float = 0.0

    def where(self) -> tuple[str, list[float]]:
        """Return the condition in SQL, and its values."""
        conditions, values = ["1"], []
        if self.said is not None:
            conditions.append("said = ?")
            values.append(float(self.said))
        if self.below is not None:
            conditions.append("probability < ?")
            values.append(self.below)
        if self.only_wrong:
            conditions.append("truth <> said")
        if self.threshold and (self.only_wrong or self.said is not None):
            conditions.append("probability >= ?")
            values.append(self.threshold)
        if self.only_unknown:
            conditions.append("probability < ?")
            values.append(self.threshold)
        if self.only_strange:
            conditions.append("strange")
        return " AND ".join(conditions), values


class AnswerWriter:
    """Adds answers to a new file, one after the other; nothing of them stays in memory."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, answer: StoredAnswer) -> None:
        """Write an answer."""
        said = answer.said
        probability = None if said is None else answer.probabilities[said]
        written = self._connection.execute(
            f"INSERT INTO answers ({_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
            (
                answer.name,
                said,
                probability,
                answer.truth,
                np.array(answer.probabilities, np.float32).tobytes(),
                answer.reason,
                answer.strange,
            ),
        )
        if answer.thumbnail:
            values = (written.lastrowid, answer.thumbnail)
            self._connection.execute("INSERT INTO thumbnails (number, thumbnail) VALUES (?, ?)", values)


@contextmanager
def writing_answers(path: Path) -> Iterator[AnswerWriter]:
    """Open a new file of answers; it is whole at the end.

    Args:
        path: An empty file, or none.

    Raises:
        OSError: If the disk is full or cannot be written.
    """
    try:
        with closing(_open_new(path)) as connection, connection:
            for statement in _TABLES:
                connection.execute(statement)
            yield AnswerWriter(connection)
    except sqlite3.OperationalError as error:
        is_full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
        raise OSError(errno.ENOSPC if is_full else errno.EIO, str(error)) from error


def _open_new(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    # Nobody reads the file before it is whole and has its name: until then nothing need be undone, or be on the disk.
    connection.execute("PRAGMA journal_mode=OFF")
    connection.execute("PRAGMA synchronous=OFF")
    return connection


def count_answers(path: Path, which: AnswerFilter) -> int:
    """Return how many answers pass a filter.

    Raises:
        UnreadableError: If the file is missing or damaged.
    """
    condition, values = which.where()
    with _reading(path) as connection:
        query = f"SELECT COUNT(*) FROM answers WHERE reason = '' AND {condition}"
        return int(connection.execute(query, values).fetchone()[0])


def read_answers(path: Path, which: AnswerFilter, order: Order, *, start: int, number: int) -> list[StoredAnswer]:
    """Return some of the answers that pass a filter, with their thumbnails.

    Args:
        path: The file.
        which: The filter.
        order: By what they are sorted, before `start` and `number` count.
        start: How many to leave out at the beginning.
        number: At most so many.

    Raises:
        UnreadableError: If the file is missing or damaged.
    """
    condition, values = which.where()
    query = (
        f"SELECT {_COLUMNS} FROM answers WHERE reason = '' AND {condition} ORDER BY {_ORDERS[order]} LIMIT ? OFFSET ?"
    )
    with _reading(path) as connection:
        return [
            replace(_answer(row), thumbnail=_thumbnail(connection, row[0]))
            for row in connection.execute(query, (*values, number, start)).fetchall()
        ]


def _thumbnail(connection: sqlite3.Connection, number: int) -> bytes:
    found = connection.execute("SELECT thumbnail FROM thumbnails WHERE number = ?", (number,)).fetchone()
    return b"" if found is None else bytes(found[0])


def read_refused(path: Path, number: int) -> list[StoredAnswer]:
    """Return the first of the files that were refused, in the order in which they came; errors as above."""
    query = f"SELECT {_COLUMNS} FROM answers WHERE reason <> '' ORDER BY number LIMIT ?"
    with _reading(path) as connection:
        return [_answer(row) for row in connection.execute(query, (number,))]


def all_answers(path: Path) -> Iterator[StoredAnswer]:
    """Yield everything in the order in which it came, without thumbnails, a row at a time; errors as above."""
    with _reading(path) as connection:
        yield from map(_answer, connection.execute(f"SELECT {_COLUMNS} FROM answers ORDER BY number"))


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        # Immutable: no lock and no other file beside it. A download reads on in whatever thread is free.
        address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True, check_same_thread=False)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise UnreadableError(_DAMAGED) from error


def _answer(row: tuple[object, ...]) -> StoredAnswer:
    _, name, _, _, truth, probabilities, reason, strange = row
    try:
        values = np.frombuffer(probabilities, np.float32)  # type: ignore[call-overload]
    except (ValueError, TypeError) as error:
        raise UnreadableError(_DAMAGED) from error
    return StoredAnswer(
        str(name),
        tuple(values.tolist()),
        None if truth is None else int(str(truth)),
        reason=str(reason),
        strange=None if strange is None else bool(strange),
    )
