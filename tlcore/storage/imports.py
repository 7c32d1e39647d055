"""Imports: what a person brought, where it waits, and what became of it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tlcore.config import from_json, to_json
from tlcore.errors import NotFoundError
from tlcore.home import DataRoot, storage_error
from tlcore.storage.database import imports, writing
from tlcore.storage.jobs import insert_job, write_job


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file that waits to be imported.

    Attributes:
        path: Where its bytes are, inside the staging folder.
        name: What it was called; text only. It may name folders: `cat/1.jpg`.
    """

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import.

    Attributes:
        staging: Folder under `imports` of the data root; `None` for a ready data set.
        archives: ZIP files.
        files: Pictures.
        class_name: The class for pictures without a folder.
        sample: Name of a ready data set.
        per_class: At most so many pictures of each class of the ready data set; `None` for all.
    """

    staging: str | None = None
    archives: tuple[StagedFile, ...] = ()
    files: tuple[StagedFile, ...] = ()
    class_name: str | None = None
    sample: str | None = None
    per_class: int | None = None


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that could not be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did.

    Attributes:
        added: Pictures that are new in the data set.
        already_there: Pictures that their class had before.
        refused: Files that could not be used.
        notes: Things worth knowing, in words.
    """

    added: int
    already_there: int
    refused: tuple[RefusedFile, ...]
    notes: tuple[str, ...]


def make_staging_dir(home: DataRoot) -> Path:
    """Make a fresh folder for what a person brings; its name goes into the `ImportRequest`.

    Raises:
        StorageError: If the disk is full or cannot be written.
    """
    parent = home.imports_dir
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="import-", dir=parent))
    except OSError as error:
        raise storage_error(error, parent / "import") from error


def remove_staging_dir(name: str, home: DataRoot) -> None:
    """Remove what waited, after it was imported or given up."""
    shutil.rmtree(home.imports_dir / name, ignore_errors=True)


def remove_upload(engine: sa.Engine, job_id: str, home: DataRoot) -> None:
    """Remove what an import waited with; for one that ended and whose worker could not do it."""
    try:
        request, _ = get_import(engine, job_id)
    except NotFoundError:
        return
    if request.staging is not None:
        remove_staging_dir(request.staging, home)


def create_import(engine: sa.Engine, project_id: str, request: ImportRequest) -> str:
    """Put an import in line and return its job id."""
    with writing(engine) as connection:
        job_id = insert_job(connection, "import", project_id)
        connection.execute(sa.insert(imports).values(job_id=job_id, request=to_json(request)))
    return job_id


def get_import(engine: sa.Engine, job_id: str) -> tuple[ImportRequest, ImportSummary | None]:
    """Return what was asked and, once it ended, what became of it.

    Raises:
        NotFoundError: If there is no such import.
    """
    with engine.begin() as connection:
        row = connection.execute(sa.select(imports).where(imports.c.job_id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError("This import is not here any more.")
    summary = None if row.report is None else from_json(row.report, ImportSummary)
    return from_json(row.request, ImportRequest), summary


def write_import_summary(connection: sa.Connection, job_id: str, attempt: int, summary: ImportSummary) -> None:
    """Store what an import did, as the worker of that attempt."""
    write_job(connection, job_id, attempt)
    connection.execute(sa.update(imports).where(imports.c.job_id == job_id).values(report=to_json(summary)))
