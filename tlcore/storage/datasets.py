"""Immutable, numbered versions of a project's data set, with undo."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tlcore.dataset import Dataset
from tlcore.documents import read_document, read_fields, write_document
from tlcore.errors import ConflictError, StorageError
from tlcore.home import DataRoot, write_atomically
from tlcore.storage.database import dataset_versions, now, project_version, projects, read_row, read_value, writing

_IMAGE_KEY = re.compile(rb'"([0-9a-f]{64})"')

NO_WAY_BACK = 0
"""As the parent of a version: it was made from one that is not here. No version has this number; a first one has no
parent at all, and taking it back leaves the project empty."""

CHANGED = "The data set was changed in another tab meanwhile. Look at it again and repeat your edit."


@dataclass(frozen=True, slots=True)
class Version:
    """One version: its number, the one it was made from, what changed, and the key of its content.

    The parent is `None` of the first one, and `NO_WAY_BACK` where what came before belongs to another project.
    """

    number: int
    parent: int | None
    note: str
    content: str
    created: float


def content_path(content: str, home: DataRoot) -> Path:
    """Return where the list of pictures of a version lies."""
    return home.versions_dir / f"{content}.json"


def image_keys(contents: Iterable[str], home: DataRoot) -> set[str]:
    """Return the keys in the files of versions, not read as whole data sets: there may be thousands.

    A file that is not there belongs to a version that was deleted just now or that nobody can open.

    Raises:
        OSError: If a file that is there cannot be read.
    """
    keys: set[str] = set()
    for content in contents:
        with suppress(FileNotFoundError):
            keys.update(key.decode() for key in _IMAGE_KEY.findall(content_path(content, home).read_bytes()))
    return keys


def write_list(data: bytes, home: DataRoot) -> str:
    """Store a data set, given as a document, for a version, and return the key of its content.

    Call it in the transaction that writes the version's row, so that nobody deletes another project with the same
    pictures in between.

    Raises:
        StorageError: If the disk is full.
    """
    content = hashlib.sha256(data).hexdigest()
    path = content_path(content, home)
    if not path.exists():
        write_atomically(path, lambda temporary: temporary.write_bytes(data))
    return content


def commit_version(
    engine: sa.Engine, project_id: str, dataset: Dataset, note: str, *, parent: int | None, home: DataRoot
) -> int:
    """Store a data set as the project's next version and make it the current one.

    Args:
        engine: The database.
        project_id: The project.
        dataset: The new content.
        note: What changed, in words.
        parent: The version that the edit started from.
        home: The data root.

    Returns:
        The number of the new version.

    Raises:
        ConflictError: If the current version is no longer `parent`, because another tab changed it.
        StorageError: If the disk is full.
    """
    data = write_document(dataset).encode()
    with writing(engine) as connection:
        if project_version(connection, project_id) != parent:
            raise ConflictError(CHANGED)
        content = write_list(data, home)
        highest = sa.select(sa.func.coalesce(sa.func.max(dataset_versions.c.number), 0))
        number = connection.execute(highest.where(dataset_versions.c.project_id == project_id)).scalar_one() + 1
        connection.execute(
            sa.insert(dataset_versions).values(
                project_id=project_id, number=number, parent=parent, note=note, content=content, created=now()
            )
        )
        connection.execute(sa.update(projects).where(projects.c.id == project_id).values(version=number))
    return int(number)


def get_version(engine: sa.Engine, project_id: str, number: int) -> Version:
    """Return the row of one version.

    Raises:
        NotFoundError: If there is none.
        UnreadableError: If its row is damaged.
    """
    table = dataset_versions.c
    query = sa.select(table.number, table.parent, table.note, table.content, table.created)
    query = query.where(table.project_id == project_id, table.number == number)
    row = read_row(engine, query, "This version of the data set is not here. Reload the page.")
    return read_fields(row._mapping, Version)


def load_dataset(content: str, home: DataRoot) -> Dataset:
    """Return the data set that a version holds, by its content key.

    Raises:
        StorageError: If its file is missing or damaged.
    """
    path = content_path(content, home)
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    if hashlib.sha256(data).hexdigest() != content:
        raise StorageError(
            "The list of pictures of this project is missing or damaged. "
            "Undo the last change on Data, then make it anew."
        )
    return read_document(data, Dataset)


def can_undo(engine: sa.Engine, project_id: str, number: int) -> bool:
    """Whether the version that this one was made from is still there, or it was the first one.

    Raises:
        NotFoundError: If there is no such version.
        UnreadableError: If its row is damaged.
    """
    parent = get_version(engine, project_id, number).parent
    return parent is None or read_value(engine, _find_version(project_id, parent)) is not None


def check_version(connection: sa.Connection, project_id: str, number: int) -> None:
    """Check in the caller's transaction that a version was not removed to make room.

    Raises:
        ConflictError: If it was.
    """
    newest = sa.select(sa.func.max(dataset_versions.c.number)).where(dataset_versions.c.project_id == project_id)
    # No number is given twice, and the highest one stays, so that what is missing below it was there once.
    has_been = number < (connection.execute(newest).scalar() or 0)
    if has_been and connection.execute(_find_version(project_id, number)).first() is None:
        raise ConflictError(
            "The data set as it was then was removed to make room, so nothing can be trained with it any more. Reload "
            "the page and train with the present one."
        )


def _find_version(project_id: str, number: int) -> sa.Select[tuple[int]]:
    table = dataset_versions.c
    return sa.select(table.number).where(table.project_id == project_id, table.number == number)


def undo_version(engine: sa.Engine, project_id: str, *, current: int) -> int | None:
    """Make the parent of the current version the current one; nothing is deleted.

    Returns:
        The number that is current now, `None` when the project is empty again.

    Raises:
        ConflictError: If the current version is no longer `current`, or its parent was removed to make room.
    """
    version = get_version(engine, project_id, current)
    with writing(engine) as connection:
        # Inside, as another tab may make room in this very moment.
        if version.parent is not None and connection.execute(_find_version(project_id, version.parent)).first() is None:
            raise ConflictError("What came before this change was removed to make room, so it cannot be taken back.")
        statement = sa.update(projects).where(projects.c.id == project_id, projects.c.version == current)
        if connection.execute(statement.values(version=version.parent)).rowcount != 1:
            raise ConflictError(CHANGED)
    return version.parent


def newest_instead(engine: sa.Engine, project_id: str, lost: int) -> int | None:
    """Return the newest version that is there where the current one is not; `None` where it is, or where none is."""
    if read_value(engine, _find_version(project_id, lost)) is not None:
        return None
    newest = sa.select(sa.func.max(dataset_versions.c.number)).where(dataset_versions.c.project_id == project_id)
    number: int | None = read_value(engine, newest)
    return number


def take_instead(engine: sa.Engine, project_id: str, number: int, *, lost: int) -> None:
    """Make a version the current one in place of one that is not there.

    Raises:
        ConflictError: If the project has another current version by now, or that one is not there any more.
    """
    with writing(engine) as connection:
        is_there = connection.execute(_find_version(project_id, number)).first() is not None
        statement = sa.update(projects).where(projects.c.id == project_id, projects.c.version == lost)
        if not is_there or connection.execute(statement.values(version=number)).rowcount != 1:
            raise ConflictError(CHANGED)


def current_dataset(engine: sa.Engine, project_id: str, home: DataRoot) -> tuple[int | None, Dataset]:
    """Return the number of a project's current version and its content; `None` and empty before the first.

    Raises:
        NotFoundError: If the project was deleted.
    """
    with engine.begin() as connection:
        number = project_version(connection, project_id)
    if number is None:
        return None, Dataset()
    return number, load_dataset(get_version(engine, project_id, number).content, home)
