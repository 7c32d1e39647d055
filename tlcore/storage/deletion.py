"""Delete a project with all its files, and pictures that nothing needs any more."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tlcore.damage import DAMAGE_ERRORS
from tlcore.home import DataRoot, storage_error
from tlcore.storage.database import (
    brought,
    dataset_versions,
    ensembles,
    exams,
    jobs,
    now,
    projects,
    read_rows,
    read_value,
    runs,
    writing,
)
from tlcore.storage.datasets import content_path, image_keys
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import ACTIVE_STATES, ENDED_STATES, KINDS_WITH_FILES, JobKind
from tlcore.storage.reserve import keep_reserve, with_reserve
from tlcore.storage.staging import remove_staging_dir, staging_of

_QUOTED_KEY = re.compile(r'"([0-9a-f]{64})"')

AT_ONCE = float("inf")
"""Pictures go whenever they were brought: a person has said so."""

CHECKPOINT_FILES = ("checkpoint.npz",)
"""What a run needs only to go on."""

MODEL_FILES = ("model.keras", "suffix.tflite", *CHECKPOINT_FILES)
"""What a run needs to answer, and by far the most of what it takes; what is left tells how good it was."""

_ASK_ABOUT_VERSIONS: tuple[JobKind, ...] = ("simple_heads", "doctor", "map", "search", "measure")
"""Kinds of jobs whose requests name a version."""


def delete_project(
    engine: sa.Engine,
    project_id: str,
    home: DataRoot,
    *,
    only_if: sa.ColumnElement[bool] | None = None,
    brought_before: float = AT_ONCE,
) -> bool:
    """Remove a project: its rows, its models and results, and the pictures that no other project has.

    A worker of the project notices at its next report that its job is gone, and ends; see `remove_job_files`.

    Args:
        engine: The database.
        project_id: The project; nothing happens if it is not there.
        home: The data root.
        only_if: What must hold of it at the moment at which it goes; otherwise nothing happens.
        brought_before: As of `remove_unused_pictures`; what nobody has asked to delete leaves time to a Python program.

    Returns:
        Whether it was deleted.

    Raises:
        StorageError: If the database cannot be written; nothing is deleted then.
    """
    versions = sa.select(dataset_versions.c.content).distinct()
    of_project = sa.select(jobs.c.id).where(jobs.c.project_id == project_id)
    requests = sa.select(jobs.c.request).where(jobs.c.project_id == project_id, jobs.c.request.is_not(None))
    with with_reserve(home), writing(engine) as connection:
        contents = set(connection.execute(versions.where(dataset_versions.c.project_id == project_id)).scalars())
        job_ids = list(connection.execute(of_project).scalars())
        staged = {staging_of(text) for text in connection.execute(requests).scalars()}
        may_go = sa.true() if only_if is None else only_if
        if connection.execute(sa.delete(projects).where(projects.c.id == project_id, may_go)).rowcount != 1:
            return False
    try:
        keys = image_keys(contents, home)
    except OSError:
        keys = set()  # which pictures it had cannot be told, so they stay
    remove_lists(engine, contents, home)
    for job_id in job_ids:
        remove_job_files(job_id, home)
    for name in staged:
        remove_staging_dir(name, home)
    remove_unused_pictures(engine, keys, home, brought_before=brought_before)
    keep_reserve(home)  # there may be room for all of it now
    return True


def remove_lists(engine: sa.Engine, contents: Iterable[str], home: DataRoot) -> None:
    """Remove those lists of pictures that no version of any project has."""
    versions = sa.select(dataset_versions.c.content).distinct()
    # Locked: another project that is about to use the same content waits, and then writes its file anew.
    with writing(engine) as connection:
        for content in set(contents) - set(connection.execute(versions).scalars()):
            with suppress(OSError):  # a leftover, which goes with the others
                content_path(content, home).unlink(missing_ok=True)


def unneeded_versions(connection: sa.Connection, project_id: str, undo_steps: int) -> dict[int, str]:
    """Return the content of those versions of a project that nothing needs, by their numbers.

    Needed is the current one with those from which it was made, as far as one can undo; what a model, a group, an exam
    or a finding refers to; and what a job works on or waits with. The one with the highest number stays too, so that no
    number is given twice: browsers keep thumbnails by it.

    Args:
        connection: Of any transaction.
        project_id: The project.
        undo_steps: How many changes one can take back.
    """
    table = dataset_versions.c
    rows = connection.execute(
        sa.select(table.number, table.parent, table.content).where(table.project_id == project_id)
    )
    versions = {row.number: row for row in rows if isinstance(row.number, int)}  # a damaged row stays as it is
    if not versions:
        return {}
    needed: set[object] = {max(versions)}
    step = connection.execute(sa.select(projects.c.version).where(projects.c.id == project_id)).scalar()
    for _ in range(undo_steps + 1):
        if step not in versions:
            break
        needed.add(step)
        step = versions[step].parent
    for query in (
        sa.select(runs.c.version).join(jobs, jobs.c.id == runs.c.job_id).where(jobs.c.project_id == project_id),
        sa.select(ensembles.c.version).where(ensembles.c.project_id == project_id),
        sa.select(exams.c.version).where(exams.c.project_id == project_id),
    ):
        needed.update(connection.execute(query).scalars())
    needed |= _asked_versions(connection, project_id)
    return {number: str(row.content) for number, row in versions.items() if number not in needed}


def _asked_versions(connection: sa.Connection, project_id: str) -> set[object]:
    """Return the versions that jobs were asked about whose answers are still shown, or that have not ended."""
    query = sa.select(jobs.c.kind, jobs.c.key, jobs.c.state, jobs.c.request)
    query = query.where(jobs.c.project_id == project_id, jobs.c.kind.in_(_ASK_ABOUT_VERSIONS))
    query = query.where(jobs.c.request.is_not(None)).order_by(jobs.c.created.desc())
    found: set[object] = set()
    seen = set()
    for row in connection.execute(query):
        # Of most kinds only the newest one is shown; heads are models, and a measurement is about the machine.
        is_shown = row.kind == "simple_heads" or (row.kind, row.key) not in seen
        seen.add((row.kind, row.key))
        if row.state in ACTIVE_STATES or (is_shown and row.kind != "measure"):
            with suppress(ValueError, AttributeError):
                found.add(json.loads(row.request).get("version"))
    return found


def remove_versions(
    engine: sa.Engine, project_id: str, home: DataRoot, *, undo_steps: int, brought_before: float = AT_ONCE
) -> None:
    """Remove the versions of a project that nothing needs, and the pictures that were in no other one.

    Args:
        engine: The database.
        project_id: The project.
        home: The data root.
        undo_steps: How many changes can still be taken back.
        brought_before: As of `delete_project`.

    Raises:
        StorageError: If the database cannot be written; nothing is deleted then.
    """
    with with_reserve(home), writing(engine) as connection:
        gone = unneeded_versions(connection, project_id, undo_steps)
        table = dataset_versions.c
        for number in gone:
            one = sa.delete(dataset_versions).where(table.project_id == project_id, table.number == number)
            connection.execute(one)
    if not gone:
        return
    try:
        keys = image_keys(gone.values(), home)
    except OSError:
        keys = set()  # they are found with the leftovers
    remove_lists(engine, gone.values(), home)
    remove_unused_pictures(engine, keys, home, brought_before=brought_before)
    keep_reserve(home)


def delete_job(engine: sa.Engine, project_id: str, job_id: str, kind: JobKind, home: DataRoot) -> None:
    """Remove a job that has ended, and its files; nothing happens if it is not there.

    Raises:
        StorageError: If the database cannot be written; nothing is deleted then.
    """
    ended = sa.delete(jobs).where(jobs.c.id == job_id, jobs.c.project_id == project_id, jobs.c.kind == kind)
    with with_reserve(home), writing(engine) as connection:
        is_gone = connection.execute(ended.where(jobs.c.state.in_(ENDED_STATES))).rowcount == 1
    if is_gone:
        remove_job_files(job_id, home)
        keep_reserve(home)


def remove_run_files(
    engine: sa.Engine, project_id: str, run_id: str, home: DataRoot, names: Iterable[str] = MODEL_FILES
) -> None:
    """Remove files of a run that has ended; its row, its curves and its results stay.

    Args:
        engine: The database.
        project_id: Whose run it is.
        run_id: The run; nothing happens while it works, or if it is not there.
        home: The data root.
        names: Which files; those without which it cannot answer any more when not given.

    Raises:
        StorageError: If one of them cannot be removed; the others are.
    """
    query = sa.select(jobs.c.id).where(jobs.c.id == run_id, jobs.c.project_id == project_id, jobs.c.kind == "run")
    if read_value(engine, query.where(jobs.c.state.in_(ENDED_STATES))) is not None:
        failure: tuple[OSError, Path] | None = None
        for name in names:
            path = home.run_dir(run_id) / name
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                failure = error, path
        if failure is not None:
            raise storage_error(*failure) from failure[0]


def has_model_files(run_id: str, home: DataRoot) -> bool:
    """Whether a run still has a file of its model. One that ended with a model and has none was freed on Storage."""
    return any((home.run_dir(run_id) / name).is_file() for name in MODEL_FILES if name not in CHECKPOINT_FILES)


def job_folder(kind: JobKind, job_id: str, home: DataRoot) -> Path:
    """Return where a job of one of `KINDS_WITH_FILES` writes what comes of it."""
    parents: dict[JobKind, Path] = {
        "simple_heads": home.simple_heads_dir,
        "prediction": home.predictions_dir,
        "export": home.exports_dir,
    }
    return parents[kind] / job_id


def remove_job_files(job_id: str, home: DataRoot) -> None:
    """Remove what a run or another job has written."""
    for folder in (home.run_dir(job_id), *(job_folder(kind, job_id, home) for kind in KINDS_WITH_FILES)):
        shutil.rmtree(folder, ignore_errors=True)


def remove_unused_pictures(
    engine: sa.Engine,
    keys: Iterable[str],
    home: DataRoot,
    *,
    import_id: str | None = None,
    brought_before: float = AT_ONCE,
) -> None:
    """Remove those of some pictures that are in no version of any project and that no import has just brought.

    Args:
        engine: The database.
        keys: Keys of pictures.
        home: The data root.
        import_id: An import that gives up what it has brought.
        brought_before: Pictures that somebody has brought since this time stay, in seconds since 1970.
    """
    importing = sa.select(sa.func.min(jobs.c.created)).where(jobs.c.kind == "import", jobs.c.state.in_(ACTIVE_STATES))
    since = now()
    with engine.begin() as connection:
        # In this order: an import that ends between the two has its pictures in a version.
        earliest = connection.execute(importing.where(jobs.c.id != (import_id or ""))).scalar()
        contents = connection.execute(sa.select(dataset_versions.c.content).distinct()).scalars().all()
    unused = set(keys)
    try:
        for content in contents:  # one at a time: a class has a million entries in all of them
            unused -= image_keys([content], home)
            if not unused:
                return
    except OSError:
        return  # a version that cannot be read now may need any of them
    for row in read_rows(engine, sa.select(brought.c.job_id)):  # what can still be read in another way
        unused -= _brought_keys(read_value(engine, sa.select(brought.c.document).where(brought.c.job_id == row.job_id)))
    images = ImageStore(home)
    for key in unused:
        images.remove(key, brought_before=min(brought_before, since if earliest is None else min(since, earliest)))


def _brought_keys(document: Any) -> set[str]:
    """Return the keys of the pictures that an import brought, by what is kept of it; nothing where that is damaged."""
    try:
        return set(_QUOTED_KEY.findall(zlib.decompress(document).decode()))
    except (*DAMAGE_ERRORS, ValueError, TypeError):
        return set()
