"""Exams: whose test result was asked for, and how many models were tested on the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from tlcore.documents import read_fields
from tlcore.errors import UnreadableError
from tlcore.storage.database import exams, now, project_version, read_rows, writing


@dataclass(frozen=True, slots=True)
class Exam:
    """A model whose test result somebody has seen. It stays when the model is deleted: nobody forgets what was seen.

    Attributes:
        model_id: Id of a run, a group or a simple head.
        version: The data set version whose test pictures it answered.
        opened: Seconds since 1970.
    """

    model_id: str
    version: int
    opened: float


def open_exam(engine: sa.Engine, project_id: str, model_id: str, version: int) -> None:
    """Remember that the test result of a model was asked for; the first time counts.

    Raises:
        NotFoundError: If the project was deleted meanwhile.
    """
    with writing(engine) as connection:
        project_version(connection, project_id)  # raises when it is gone
        same = sa.select(exams.c.opened).where(exams.c.project_id == project_id, exams.c.model_id == model_id)
        if connection.execute(same).first() is None:
            values = {"project_id": project_id, "model_id": model_id, "version": version, "opened": now()}
            connection.execute(sa.insert(exams).values(**values))


def list_exams(engine: sa.Engine, project_id: str) -> list[Exam]:
    """Return the opened exams of a project, the first one first, without those whose rows are damaged."""
    query = sa.select(exams.c.model_id, exams.c.version, exams.c.opened).where(exams.c.project_id == project_id)
    found = []
    for row in read_rows(engine, query.order_by(exams.c.opened, exams.c.model_id)):
        with suppress(UnreadableError):
            found.append(read_fields(row._mapping, Exam))
    return found


def exams_on_same_pictures(
    opened: Sequence[Exam], version: int, test_pictures: Callable[[int], frozenset[str] | None]
) -> list[Exam]:
    """Return the exams that were taken on the test pictures of a data set version.

    Args:
        opened: From `list_exams`.
        version: The version.
        test_pictures: Returns the keys of a version's test pictures; `None` when its list cannot be read.
    """
    pictures = {number: test_pictures(number) for number in {version, *(exam.version for exam in opened)}}
    same = {number for number, keys in pictures.items() if keys is not None and keys == pictures[version]}
    return [exam for exam in opened if exam.version in {version, *same}]
