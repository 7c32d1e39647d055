"""Models that a project has written in several formats: which there are, where their files lie, and how they go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tlcore.documents import read_document, read_fields
from tlcore.home import DataRoot
from tlcore.storage.configs import Unreadable, read_all
from tlcore.storage.database import is_time, jobs
from tlcore.storage.deletion import delete_job
from tlcore.storage.requests import ExportResult, FormatName


@dataclass(frozen=True, slots=True)
class Export:
    """A model in several formats.

    Attributes:
        job_id: The job that wrote it.
        created: When it was put in line, in seconds since 1970.
        message: What there was to say at its end; empty when there was nothing.
        result: What came of it.
    """

    job_id: str
    created: float
    message: str
    result: ExportResult

    def __post_init__(self) -> None:
        if not is_time(self.created):
            raise ValueError(f"`created` must be seconds since 1970. Received: created={self.created}")


def export_dir(job_id: str, home: DataRoot) -> Path:
    """Return where the files of an export lie."""
    return home.exports_dir / job_id


def has_files(export: Export, home: DataRoot) -> bool:
    """Whether its files are there; they are in no backup, as they can be made again."""
    return export_dir(export.job_id, home).is_dir()


def read_exports(engine: sa.Engine, project_id: str) -> tuple[list[Export], list[Unreadable]]:
    """Return what a project keeps, newest first, and what this version cannot read."""
    query = (
        sa.select(jobs.c.id, jobs.c.created, jobs.c.message, jobs.c.result)
        .where(jobs.c.project_id == project_id, jobs.c.kind == "export", jobs.c.result.is_not(None))
        .where(jobs.c.state == "finished")
        .order_by(jobs.c.created.desc(), jobs.c.id)
    )
    return read_all(engine, query, _export, lambda _row: "Files of a model")


def _export(row: sa.Row[tuple[str, float, str, str]]) -> Export:
    fields = {"job_id": row.id, "created": row.created, "message": row.message}
    return read_fields({**fields, "result": read_document(row.result, ExportResult)}, Export)


def replaced_by(job_id: str, exports: Sequence[Export], home: DataRoot) -> list[str]:
    """Return the exports of the same model whose every file an export, or one newer than they, has made anew.

    Whoever makes one more format, or makes files again in vain, keeps those that there were.

    Args:
        job_id: The export; older ones alone can be replaced, and none when it is not among `exports`.
        exports: Those of its project, newest first.
        home: The data root.

    Returns:
        The ids of their jobs.
    """
    own = next((one for one in exports if one.job_id == job_id), None)
    if own is None:
        return []
    replaced: list[str] = []
    newer: set[FormatName] = set()
    is_older = False
    for export in exports:
        if export.result.model_id != own.result.model_id:
            continue
        made = {report.format for report in export.result.reports if report.is_made}
        if not has_files(export, home):
            made = set()
        if is_older and made <= newer:
            replaced.append(export.job_id)
        newer |= made
        is_older = is_older or export is own
    return replaced


def delete_exports(engine: sa.Engine, project_id: str, job_ids: Iterable[str], home: DataRoot) -> None:
    """Remove exports that have ended, and their files; nothing happens to those that are not there.

    Raises:
        StorageError: If the database cannot be written.
    """
    for job_id in job_ids:
        delete_job(engine, project_id, job_id, "export", home)
