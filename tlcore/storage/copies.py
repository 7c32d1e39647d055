"""A copy of a project for another person, which nothing that happens to the first one can touch."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tlcore.damage import DAMAGE_ERRORS
from tlcore.dataset import keep_images
from tlcore.documents import to_json, write_document
from tlcore.errors import ConflictError, NotFoundError, StorageError, UnreadableError
from tlcore.home import HALF_WRITTEN, DataRoot, storage_error, write_atomically
from tlcore.storage.database import (
    card_words,
    dataset_versions,
    ensembles,
    exams,
    jobs,
    metrics,
    model_settings,
    now,
    projects,
    read_rows,
    read_value,
    run_notes,
    runs,
    writing,
)
from tlcore.storage.datasets import NO_WAY_BACK, image_keys, load_dataset, write_list
from tlcore.storage.deletion import remove_job_files
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import ENDED_STATES, JobKind
from tlcore.storage.projects import MAX_NAME_LENGTH, Project, get_project
from tlcore.storage.retention import note_touch
from tlcore.storage.room import Room, check_bytes, check_projects
from tlcore.storage.usage import folder_bytes

COPIED_KINDS: tuple[JobKind, ...] = ("run", "simple_heads", "cross_validation", "doctor")
"""What has come of these belongs to a project. Of the others nothing is left, or it is of the machine; and answers to
many pictures tell of pictures that are in no data set, which concern nobody else."""

GONE = "This project was deleted while it was copied, so there is no copy."
CHANGED = "The pictures of this project were changed while it was copied, so there is no copy. Try again."

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
        ConflictError: If its pictures were changed meanwhile; nothing is copied then.
        UnreadableError: If this version cannot read it; nothing is copied then.
        QuotaError: If the person has no room for it, or as many projects as one may have; nothing is copied then.
        StorageError: If the disk is full or cannot be written; nothing is copied then.
    """
    get_project(engine, project_id, owner, of_anyone=True)  # one that cannot be read would be no use to anybody
    query = sa.select(jobs.c.id).where(jobs.c.project_id == project_id, jobs.c.kind.in_(COPIED_KINDS))
    ended = [row.id for row in read_rows(engine, query.where(jobs.c.state.in_(ENDED_STATES)))] if with_runs else []
    _check_room(engine, project_id, owner, ended, home)
    new_ids = {job_id: secrets.token_urlsafe(12) for job_id in ended}
    given = _given(engine, project_id, home)
    try:
        for old, new in new_ids.items():
            _copy_files(old, new, home, given)
        with writing(engine) as connection:
            copied = _copy_rows(connection, project_id, owner, new_ids, given, home, with_runs=with_runs)
    except BaseException:
        for new in new_ids.values():
            remove_job_files(new, home)
        raise
    return get_project(engine, copied, owner)


@dataclass(frozen=True, slots=True)
class _Given:
    """Which pictures a copy gives: those of the present data set, and none that was deleted before.

    Attributes:
        version: The number of the present data set.
        present: The keys of its pictures.
        deleted: The keys of pictures of earlier versions, each with what stands for it in the copy: the key of nothing.
        salt: Makes what stands for a picture; thrown away, so that nobody finds the picture by it.
    """

    version: object
    present: frozenset[str]
    deleted: Mapping[str, str]
    salt: bytes

    def key(self, key: str) -> str:
        """Return the key of a picture in the copy."""
        return key if key in self.present else _key_of_nothing(key, self.salt)


def _given(engine: sa.Engine, project_id: str, home: DataRoot) -> _Given:
    version = read_value(engine, sa.select(projects.c.version).where(projects.c.id == project_id))
    table = dataset_versions.c
    rows = read_rows(engine, sa.select(table.number, table.content).where(table.project_id == project_id))
    present, earlier = (
        _keys([row.content for row in rows if (row.number == version) == now], home) for now in (True, False)
    )
    salt = secrets.token_bytes(32)
    return _Given(version, frozenset(present), {key: _key_of_nothing(key, salt) for key in earlier - present}, salt)


def _keys(contents: Iterable[str], home: DataRoot) -> set[str]:
    found: set[str] = set()
    for content in contents:
        with suppress(OSError, TypeError):  # a damaged list or row, which nobody can open
            found |= image_keys([content], home)
    return found


def _key_of_nothing(key: str, salt: bytes) -> str:
    return hashlib.sha256(salt + key.encode()).hexdigest()


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
    return home.run_dir(job_id), home.simple_heads_dir / job_id


def _copy_files(old: str, new: str, home: DataRoot, given: _Given) -> None:
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
                    source_file, target_file = Path(folder, name), target / name
                    if not (name.endswith(".npz") and _copy_answers(source_file, target_file, given)):
                        copy_file(source_file, target_file)


def _copy_answers(source: Path, target: Path, given: _Given) -> bool:
    """Write answers to pictures without the keys of those that were deleted; the answers themselves stay.

    Returns:
        Whether that was needed, and done.
    """
    import numpy as np  # which pages that copy nothing do without

    try:
        with np.load(source) as stored:
            if "images" not in stored:
                return False
            arrays = dict(stored)
        keys = [str(key) for key in arrays["images"].tolist()]
    except DAMAGE_ERRORS:
        return False  # nobody can read it
    if given.present.issuperset(keys):
        return False
    arrays["images"] = np.array([given.key(key) for key in keys], dtype=np.str_)
    write_atomically(target, lambda temporary: _save_arrays(temporary, arrays))
    return True


def _save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    import numpy as np

    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def copy_file(source: Path, target: Path) -> None:
    """Give a file that is never written into another name: the same bytes where the file system can do that."""
    # What a job has left is replaced by other files in time, but never written into, so both may be one.
    try:
        os.link(source, target)
    except FileNotFoundError:
        return  # it was deleted meanwhile, with its job
    except OSError:  # this file system has no such links, or no more of them for this file
        write_atomically(target, lambda temporary: shutil.copyfile(source, temporary))


def _copy_rows(
    connection: sa.Connection,
    project_id: str,
    owner: str,
    new_ids: Mapping[str, str],
    given: _Given,
    home: DataRoot,
    *,
    with_runs: bool,
) -> str:
    """Write the rows of a copy, all of them in the caller's transaction; return its id."""
    source = sa.select(projects.c.id, projects.c.name, projects.c.version).where(projects.c.id == project_id)
    row = connection.execute(source).one_or_none()
    if row is None:
        raise NotFoundError(GONE)
    if with_runs and row.version != given.version:
        raise ConflictError(CHANGED)
    check_projects(connection, owner)
    note_touch(connection, project_id)  # what others copy is not left
    copy_id = secrets.token_urlsafe(16)
    names = set(connection.execute(sa.select(projects.c.name).where(projects.c.owner == owner)).scalars())
    values: dict[str, object] = {
        "id": copy_id,
        "owner": owner,
        "name": _free_name(row.name, names),
        "created": now(),
        "touched": now(),
    }
    if not with_runs:
        values.update(visited="", version=None if row.version is None else 1)
    _copy_row(connection, projects, projects.c.id == project_id, values)
    group_rows = sa.select(ensembles.c.id, ensembles.c.config).where(ensembles.c.project_id == project_id)
    groups = list(connection.execute(group_rows)) if with_runs else []
    new_groups = {group.id: f"group.{secrets.token_urlsafe(12)}" for group in groups}
    renamed = {**given.deleted, **new_ids, **new_groups, project_id: copy_id}
    _copy_jobs(connection, copy_id, renamed, new_ids)
    for group in groups:
        values = {"id": renamed[group.id], "project_id": copy_id, "config": renamed_text(group.config, renamed)}
        _copy_row(connection, ensembles, ensembles.c.id == group.id, values)
    for table in (exams, model_settings, card_words) if with_runs else ():
        of_project = table.c.project_id == project_id
        for model_id in list(connection.execute(sa.select(table.c.model_id).where(of_project)).scalars()):
            values = {"project_id": copy_id, "model_id": _renamed(model_id, renamed)}
            _copy_row(connection, table, sa.and_(of_project, table.c.model_id == model_id), values)
    note = f"copied from {row.name}"
    if with_runs:
        needed = {row.version, *_versions_of(connection, copy_id)}
        _copy_versions(connection, project_id, copy_id, needed, note)
        _leave_deleted_out(connection, copy_id, given, home)
    else:
        _copy_versions(connection, project_id, copy_id, {row.version}, note, number=1)
    return copy_id


def _copy_row(
    connection: sa.Connection, table: sa.Table, of_row: sa.ColumnElement[bool], others: Mapping[str, object]
) -> None:
    """Write a row once more with other values in some columns; the rest stays as it is, and be it damaged."""
    chosen = [
        sa.literal(others[column.name], column.type).label(column.name) if column.name in others else column
        for column in table.columns
    ]
    connection.execute(sa.insert(table).from_select([*table.columns.keys()], sa.select(*chosen).where(of_row)))


def _copy_jobs(connection: sa.Connection, copy_id: str, renamed: Mapping[str, str], new_ids: Mapping[str, str]) -> None:
    """Write the rows of all jobs that are there still."""
    for old, new in new_ids.items():
        asked = sa.select(jobs.c.key, jobs.c.request, jobs.c.result).where(jobs.c.id == old)
        job = connection.execute(asked).one_or_none()
        if job is None:
            continue
        values = {
            "id": new,
            "project_id": copy_id,
            "key": None if job.key is None else _renamed(job.key, renamed),
            "request": renamed_text(job.request, renamed, _BROUGHT),
            "result": renamed_text(job.result, renamed),
            "pid": None,
            "process": None,
        }
        _copy_row(connection, jobs, jobs.c.id == old, values)
        for table in (runs, run_notes):
            _copy_row(connection, table, table.c.job_id == old, {"job_id": new})
        points = sa.select(sa.literal(new), metrics.c.epoch, metrics.c.name, metrics.c.value)
        points = points.where(metrics.c.job_id == old).order_by(metrics.c.id)
        connection.execute(sa.insert(metrics).from_select(["job_id", "epoch", "name", "value"], points))


def _copy_versions(
    connection: sa.Connection,
    project_id: str,
    copy_id: str,
    needed: Collection[object],
    note: str,
    **others: object,
) -> None:
    """Write the rows of the data set versions that a copy needs."""
    others |= {"project_id": copy_id, "parent": NO_WAY_BACK, "note": note, "created": now()}
    table = dataset_versions.c
    for number in list(connection.execute(sa.select(table.number).where(table.project_id == project_id)).scalars()):
        if number in needed:
            of_version = sa.and_(table.project_id == project_id, table.number == number)
            _copy_row(connection, dataset_versions, of_version, others)


def _leave_deleted_out(connection: sa.Connection, copy_id: str, given: _Given, home: DataRoot) -> None:
    """Let the earlier versions of a copy hold no picture that is not in the present one."""
    table = dataset_versions.c
    query = sa.select(table.number, table.content).where(table.project_id == copy_id)
    for row in connection.execute(query).all():
        if row.number == given.version or given.present.issuperset(_keys([row.content], home)):
            continue
        try:
            fewer = keep_images(load_dataset(row.content, home), given.present)
        except (StorageError, UnreadableError):
            # Nobody can open it, and nobody shall when the source's list is mended.
            content = _key_of_nothing(row.content, given.salt)
        else:
            content = write_list(write_document(fewer).encode(), home)
        of_version = sa.and_(table.project_id == copy_id, table.number == row.number)
        connection.execute(sa.update(dataset_versions).where(of_version).values(content=content))


def _versions_of(connection: sa.Connection, project_id: str) -> set[object]:
    """Return the numbers of the data set versions to which models, exams and questions of a project refer."""
    asked = sa.select(jobs.c.request).where(jobs.c.project_id == project_id)
    found = {_version_of(request) for request in connection.execute(asked).scalars()}
    for query in (
        sa.select(runs.c.version).join(jobs, jobs.c.id == runs.c.job_id).where(jobs.c.project_id == project_id),
        sa.select(ensembles.c.version).where(ensembles.c.project_id == project_id),
        sa.select(exams.c.version).where(exams.c.project_id == project_id),
    ):
        found.update(connection.execute(query).scalars())
    return found


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
        found = json.loads(request or "{}").get("version")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, int) else None


def renamed_text(
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


def renamed_id(text: str, renamed: Mapping[str, str]) -> str:
    """Return an id, or one with something behind it such as the kind of a simple head, with the new id."""
    return str(_renamed(text, renamed))


def _renamed(value: Any, renamed: Mapping[str, str]) -> Any:
    """Return a part of a document with the new ids: alone, before a dot (simple heads), or before a space (keys)."""
    if isinstance(value, dict):
        return {renamed.get(name, name): _renamed(one, renamed) for name, one in value.items()}
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
