"""A copy of a project for another person, which nothing that happens to the first one can touch."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tlcore.documents import to_json
from tlcore.errors import NotFoundError
from tlcore.home import HALF_WRITTEN, DataRoot, storage_error, write_atomically
from tlcore.storage.database import (
    dataset_versions,
    ensembles,
    exams,
    jobs,
    metrics,
    model_settings,
    now,
    projects,
    read_rows,
    run_notes,
    runs,
    writing,
)
from tlcore.storage.datasets import image_keys
from tlcore.storage.deletion import remove_job_files
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import ENDED_STATES, JobKind
from tlcore.storage.projects import MAX_NAME_LENGTH, Project, get_project
from tlcore.storage.room import Room, check_bytes, check_projects
from tlcore.storage.usage import folder_bytes

COPIED_KINDS: tuple[JobKind, ...] = ("run", "simple_heads", "cross_validation", "doctor", "prediction")
"""What has come of these belongs to a project. Of the others nothing is left, or it is of the machine."""

GONE = "This project was deleted while it was copied, so there is no copy."

_BROUGHT: Mapping[str, object] = {"staging": None, "archives": [], "files": []}
"""What waited for a job is used up when it has ended; a copy must not seem to have it too."""


def copy_project(engine: sa.Engine, project_id: str, owner: str, home: DataRoot, *, with_runs: bool) -> Project:
    """Make a project of a person from one of somebody else: its settings and its data set, and no pictures twice.

    The files come first and the rows last, all at once: what is killed in between has made no project, and
    `remove_leftovers` takes the files away.

    Args:
        engine: The database.
        project_id: The project to copy.
        owner: Whose the copy is.
        home: The data root.
        with_runs: Whether what was trained and found out comes along, as far as it has ended. Without it the copy has
            the present data set alone.

    Raises:
        NotFoundError: If the project is not there any more; nothing is copied then.
        QuotaError: If the person has no room for it, or as many projects as one may have; nothing is copied then.
        StorageError: If the disk is full or cannot be written; nothing is copied then.
    """
    query = sa.select(jobs.c.id).where(jobs.c.project_id == project_id, jobs.c.kind.in_(COPIED_KINDS))
    ended = [row.id for row in read_rows(engine, query.where(jobs.c.state.in_(ENDED_STATES)))] if with_runs else []
    _check_room(engine, project_id, owner, ended, home)
    new_ids = {job_id: secrets.token_urlsafe(12) for job_id in ended}
    try:
        for old, new in new_ids.items():
            _copy_files(old, new, home)
        with writing(engine) as connection:
            copied = _copy_rows(connection, project_id, owner, new_ids, with_runs=with_runs)
    except BaseException:
        for new in new_ids.values():
            remove_job_files(new, home)
        raise
    return get_project(engine, copied, owner)


def _check_room(engine: sa.Engine, project_id: str, owner: str, job_ids: Collection[str], home: DataRoot) -> None:
    """Check that a person has room for the present pictures of a project and for what jobs have left.

    Raises:
        QuotaError: If not.
    """
    room = Room(engine, project_id, home, owner=owner)
    if not room.is_limited:
        return
    versions = sa.and_(dataset_versions.c.project_id == projects.c.id, dataset_versions.c.number == projects.c.version)
    content = sa.select(dataset_versions.c.content).join(projects, versions).where(projects.c.id == project_id)
    images = ImageStore(home)
    with suppress(OSError):  # a damaged list, which has no pictures
        for key in image_keys([row.content for row in read_rows(engine, content)], home):
            room.take(key, images.num_bytes(key))
    check_bytes(engine, owner, sum(folder_bytes(folder) for one in job_ids for folder in _folders(one, home)), home)


def _folders(job_id: str, home: DataRoot) -> tuple[Path, ...]:
    return home.run_dir(job_id), home.simple_heads_dir / job_id, home.predictions_dir / job_id


def _copy_files(old: str, new: str, home: DataRoot) -> None:
    """Give a job's files to another one: the same bytes where the file system can name a file twice."""
    for source, copied in zip(_folders(old, home), _folders(new, home), strict=True):
        for folder, _, names in os.walk(source):
            target = copied / Path(folder).relative_to(source)
            try:
                target.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise storage_error(error, target) from error
            for name in names:
                if not name.startswith(HALF_WRITTEN):
                    _copy_file(Path(folder, name), target / name)


def _copy_file(source: Path, target: Path) -> None:
    # What a job has left is replaced by other files in time, but never written into, so both may be one.
    try:
        os.link(source, target)
    except FileNotFoundError:
        return  # it was deleted meanwhile, with its job
    except OSError:  # this file system has no such links, or no more of them for this file
        write_atomically(target, lambda temporary: shutil.copyfile(source, temporary))


def _copy_rows(
    connection: sa.Connection, project_id: str, owner: str, new_ids: Mapping[str, str], *, with_runs: bool
) -> str:
    """Write the rows of a copy, all of them in the caller's transaction; return its id."""
    row = connection.execute(sa.select(projects).where(projects.c.id == project_id)).one_or_none()
    if row is None:
        raise NotFoundError(GONE)
    check_projects(connection, owner)
    copy_id = secrets.token_urlsafe(16)
    names = set(connection.execute(sa.select(projects.c.name).where(projects.c.owner == owner)).scalars())
    values = {
        **row._mapping,
        "id": copy_id,
        "owner": owner,
        "name": _free_name(row.name, names),
        "created": now(),
        "touched": now(),
    }
    if not with_runs:
        values.update(visited="", version=None if row.version is None else 1)
    connection.execute(sa.insert(projects).values(**values))
    groups = _of_project(connection, ensembles, project_id) if with_runs else []
    renamed = {**new_ids, **{group.id: f"group.{secrets.token_urlsafe(12)}" for group in groups}, project_id: copy_id}
    trained = _copy_jobs(connection, copy_id, renamed, new_ids)
    for group in groups:
        others = {"id": renamed[group.id], "project_id": copy_id, "config": _renamed_text(group.config, renamed)}
        connection.execute(sa.insert(ensembles).values({**group._mapping, **others}))
        trained.add(group.version)
    if with_runs:
        for table in (exams, model_settings):
            for one in _of_project(connection, table, project_id):
                others = {"project_id": copy_id, "model_id": _renamed(one.model_id, renamed)}
                connection.execute(sa.insert(table).values({**one._mapping, **others}))
                if table is exams:
                    trained.add(one.version)
    _copy_versions(connection, row, copy_id, trained, with_runs=with_runs)
    return copy_id


def _copy_jobs(
    connection: sa.Connection, copy_id: str, renamed: Mapping[str, str], new_ids: Mapping[str, str]
) -> set[int]:
    """Write the rows of all jobs that are there still; return the numbers of the data set versions that they used."""
    versions = set()
    for old, new in new_ids.items():
        job = connection.execute(sa.select(jobs).where(jobs.c.id == old)).one_or_none()
        if job is None:
            continue
        others = {
            "id": new,
            "project_id": copy_id,
            "key": None if job.key is None else _renamed(job.key, renamed),
            "request": _renamed_text(job.request, renamed, _BROUGHT),
            "result": _renamed_text(job.result, renamed),
            "pid": None,
            "process": None,
        }
        connection.execute(sa.insert(jobs).values({**job._mapping, **others}))
        versions.add(_version_of(job.request))
        for table in (runs, run_notes):
            for row in connection.execute(sa.select(table).where(table.c.job_id == old)):
                connection.execute(sa.insert(table).values({**row._mapping, "job_id": new}))
                versions.add(row._mapping.get("version"))
        points = sa.select(sa.literal(new), metrics.c.epoch, metrics.c.name, metrics.c.value)
        points = points.where(metrics.c.job_id == old).order_by(metrics.c.id)
        connection.execute(sa.insert(metrics).from_select(["job_id", "epoch", "name", "value"], points))
    return {version for version in versions if isinstance(version, int)}


def _copy_versions(
    connection: sa.Connection, row: sa.Row[Any], copy_id: str, trained: Collection[int], *, with_runs: bool
) -> None:
    """Write the rows of the present data set and of those that models learned from; deleted pictures are not given."""
    note = f"copied from {row.name}"
    for version in _of_project(connection, dataset_versions, row.id):
        if version.number == row.version or (with_runs and version.number in trained):
            others = {"project_id": copy_id, "parent": None, "note": note, "created": now()}
            number = version.number if with_runs else 1
            connection.execute(sa.insert(dataset_versions).values({**version._mapping, **others, "number": number}))


def _of_project(connection: sa.Connection, table: sa.Table, project_id: str) -> list[sa.Row[Any]]:
    return list(connection.execute(sa.select(table).where(table.c.project_id == project_id)))


def _free_name(name: str, taken: Collection[str]) -> str:
    """Return a name, with a number behind it where the person has a project of that name."""
    number, free = 1, name
    while free in taken:
        number += 1
        end = f" ({number})"
        free = f"{name[: MAX_NAME_LENGTH - len(end)]}{end}"
    return free


def _version_of(request: str | None) -> object:
    try:
        return json.loads(request or "{}").get("version")
    except (ValueError, AttributeError):
        return None


def _renamed_text(
    document: str | None, renamed: Mapping[str, str], others: Mapping[str, object] | None = None
) -> str | None:
    """Return a stored document with the new ids in place of the old ones; one that cannot be read stays as it is."""
    try:
        found = json.loads(document or "")
    except (ValueError, TypeError):
        return document
    changed = _renamed(found, renamed)
    if isinstance(changed, dict):
        changed.update({name: value for name, value in (others or {}).items() if name in changed})
    return to_json(changed)


def _renamed(value: Any, renamed: Mapping[str, str]) -> Any:
    """Return a part of a document with the new ids: alone, before a dot (simple heads), or before a space (keys)."""
    if isinstance(value, dict):
        return {name: _renamed(one, renamed) for name, one in value.items()}
    if isinstance(value, list):
        return [_renamed(one, renamed) for one in value]
    if isinstance(value, str):
        if value in renamed:
            return renamed[value]
        for mark in (".", " "):
            begin, found, rest = value.partition(mark)
            if found and begin in renamed:
                return f"{renamed[begin]}{mark}{rest}"
    return value
