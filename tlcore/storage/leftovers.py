"""What killed programs, closed browsers and ended work leave behind goes by itself."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from tlcore.downloading import PublishedFile
from tlcore.errors import StorageError
from tlcore.home import HALF_WRITTEN, DataRoot
from tlcore.storage.database import jobs, projects, read_rows, runs
from tlcore.storage.deletion import (
    CHECKPOINT_FILES,
    MODEL_FILES,
    job_folder,
    remove_lists,
    remove_unused_pictures,
    remove_versions,
    unneeded_versions,
)
from tlcore.storage.jobs import ENDED_STATES, KINDS_WITH_FILES
from tlcore.storage.pieces import GIVEN_UP
from tlcore.storage.server_days import old_before
from tlcore.storage.staging import ABANDONED_SECONDS, remove_abandoned

_LOG = logging.getLogger(__name__)

UNDO_STEPS = 30
"""So many changes of a data set can be taken back; what lay before them goes, unless something needs it."""

KEPT_SECONDS = 7 * 24 * 3600
"""How long stays what nobody needs any more, but somebody may still want: half-trained models, stray pictures."""

PICTURES_AT_A_TIME = 100_000
"""So many names are held in memory."""


def remove_leftovers(engine: sa.Engine, home: DataRoot) -> None:
    """Remove what nothing needs any more; one fault, such as a file of another account, hinders none of the rest.

    Each part looks at what is there, so a sweep that is killed is made up for by the next one. Whatever may be in the
    hands of a job that waits or works stays. Age is told by the days on which the server ran, so that a wrong clock
    removes nothing that is new.

    Args:
        engine: The database.
        home: The data root.
    """
    parts: tuple[Callable[[sa.Engine, DataRoot], None], ...] = (
        remove_abandoned,
        _remove_half_written,
        _remove_old_versions,
        _remove_stray_lists,
        _remove_stray_pictures,
        _remove_stray_thumbnails,
        _remove_files_of_jobs,
        _remove_stray_folders,
        _remove_old_downloads,
    )
    for part in parts:
        try:
            part(engine, home)
        except Exception:  # noqa: BLE001 - tomorrow is another day, and the log says what it was
            _LOG.warning("A part of the daily sweep was left out: %s", part.__name__, exc_info=True)


def _remove_half_written(engine: sa.Engine, home: DataRoot) -> None:
    """Remove files that nobody finished, once nothing has come into them for a day."""
    since = old_before(engine, ABANDONED_SECONDS)
    for folder, names, files in os.walk(home.path):
        for name in files:
            if name.startswith(HALF_WRITTEN):
                _remove_if_before(since, Path(folder, name))
        for name in names:
            if name.startswith(GIVEN_UP):
                shutil.rmtree(Path(folder, name), ignore_errors=True)


def _remove_old_versions(engine: sa.Engine, home: DataRoot) -> None:
    since = old_before(engine, KEPT_SECONDS)
    for row in read_rows(engine, sa.select(projects.c.id)):
        with engine.begin() as connection:
            has_some = bool(unneeded_versions(connection, row.id, UNDO_STEPS))
        if has_some:
            with suppress(StorageError):
                remove_versions(engine, row.id, home, undo_steps=UNDO_STEPS, brought_before=since)


def _remove_stray_lists(engine: sa.Engine, home: DataRoot) -> None:
    """Remove the lists of pictures of no version: programs were killed after the rows had gone."""
    names = [path.stem for path in home.versions_dir.glob("*.json") if not path.name.startswith(HALF_WRITTEN)]
    if names:
        remove_lists(engine, names, home)


def _remove_stray_pictures(engine: sa.Engine, home: DataRoot) -> None:
    """Remove pictures that are in no version, when nobody has brought them for a week.

    What `tlcore.library` reads is in none either, and is brought anew by every program that reads it or trains with it.
    """
    since = old_before(engine, KEPT_SECONDS)
    old = (path.name for path in home.images_dir.glob("*/*") if _is_before(since, path))
    while names := list(itertools.islice(old, PICTURES_AT_A_TIME)):
        remove_unused_pictures(engine, names, home, brought_before=since)


def _remove_stray_thumbnails(engine: sa.Engine, home: DataRoot) -> None:
    """Remove thumbnails without a picture; that of a new picture is there a moment before it."""
    since = old_before(engine, ABANDONED_SECONDS)
    for path in home.thumbnails_dir.glob("*/*"):
        if not (home.images_dir / path.parent.name / path.name).exists():
            _remove_if_before(since, path)


def _remove_files_of_jobs(engine: sa.Engine, home: DataRoot) -> None:
    """Remove what jobs have left that ended without a result, and checkpoints that no run can go on from."""
    has_model = runs.c.summary.is_not(None).label("has_model")
    query = sa.select(jobs.c.id, jobs.c.kind, jobs.c.state, jobs.c.ended, jobs.c.result, has_model)
    query = query.outerjoin(runs, runs.c.job_id == jobs.c.id).where(jobs.c.state.in_(ENDED_STATES))
    of_run = query.where(jobs.c.kind == "run")
    since = old_before(engine, KEPT_SECONDS)
    for row in read_rows(engine, of_run):
        # A run with the same settings takes over the checkpoint of one that failed.
        if row.has_model or row.state != "failed" or (isinstance(row.ended, int | float) and row.ended < since):
            for name in CHECKPOINT_FILES if row.has_model else MODEL_FILES:
                _remove(home.run_dir(str(row.id)) / name)
    without_result = query.where(jobs.c.kind.in_(KINDS_WITH_FILES), jobs.c.result.is_(None))
    for row in read_rows(engine, without_result):
        shutil.rmtree(job_folder(row.kind, str(row.id), home), ignore_errors=True)


def _remove_stray_folders(engine: sa.Engine, home: DataRoot) -> None:
    """Remove folders of jobs that are not known any more: their programs were killed while they were deleted."""
    since = old_before(engine, ABANDONED_SECONDS)
    parents = (home.runs_dir, home.simple_heads_dir, home.predictions_dir, home.exports_dir)
    # In this order: a job that comes between the two has no folder among these.
    folders = [folder for parent in parents for folder in _folders(parent) if _is_before(since, folder)]
    known = {str(row.id) for row in read_rows(engine, sa.select(jobs.c.id))} if folders else set()
    for folder in folders:
        if folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_old_downloads(engine: sa.Engine, _home: DataRoot) -> None:
    """Remove our downloads that were broken off, when nobody has gone on with them for a week.

    Keras and other programs have files in the same folders, so only those go by their whole names.
    """
    from tlcore.backbones.registry import BACKBONES  # with all that they take, which the server needs once a day
    from tlcore.ready_sets.registry import READY_SETS

    since = old_before(engine, KEPT_SECONDS)
    files = [spec.weights for spec in BACKBONES if isinstance(spec.weights, PublishedFile)]
    for file in (*files, *(file for ready_set in READY_SETS for file in ready_set.files)):
        _remove_if_before(since, file.partial_path)


def _folders(parent: Path) -> Iterator[Path]:
    return (path for path in parent.glob("*") if path.is_dir() and not path.is_symlink())


def _is_before(since: float, path: Path) -> bool:
    """Whether nothing has come into a file or folder since a time; of one that has gone nobody knows."""
    try:
        return path.lstat().st_mtime < since
    except OSError:
        return False


def _remove_if_before(since: float, path: Path) -> None:
    if _is_before(since, path):
        _remove(path)


def _remove(path: Path) -> None:
    with suppress(OSError):  # gone meanwhile, or of another account
        path.unlink(missing_ok=True)
