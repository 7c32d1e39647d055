"""What a person brought and that waits for its job, in folders of its own below the data root."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from tlcore.home import DataRoot, storage_error
from tlcore.storage.database import jobs, read_rows, read_value
from tlcore.storage.jobs import ACTIVE_STATES
from tlcore.storage.server_days import old_before

PREFIX = "import-"

ABANDONED_SECONDS = 24 * 3600
"""How old a folder is, at least, before it counts as left behind, by a browser that was closed while it sent files."""

_coming: dict[Path, float] = {}
"""When something came last into each folder, as far as this program knows: seconds of `time.monotonic`."""


def make_staging_dir(home: DataRoot) -> Path:
    """Make a fresh folder for what a person brings; its name goes into the request of the job.

    Raises:
        StorageError: If the disk is full or cannot be written.
    """
    parent = home.imports_dir
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    except OSError as error:
        raise storage_error(error, parent / "import") from error
    note_coming(folder)
    return folder


def note_coming(folder: Path) -> None:
    """Remember that something comes into a folder now, by a clock that nobody sets."""
    _coming[folder] = time.monotonic()


def staging_of(request: str) -> str | None:
    """Return the folder in which something waits for a job, by its request as stored; one that cannot be read has none.

    Every kind of request that has such a folder calls it `staging`.
    """
    try:
        name = json.loads(request).get("staging")
    except (ValueError, AttributeError):
        return None
    return name if isinstance(name, str) else None


def job_waiting_with(engine: sa.Engine, name: str) -> str | None:
    """Return the job that was asked for with what came into a folder, whether it has ended or not; `None` for none."""
    query = sa.select(jobs.c.id, jobs.c.request).where(jobs.c.request.contains(name, autoescape=True))
    return next((row.id for row in read_rows(engine, query) if staging_of(row.request) == name), None)


def remove_staging_dir(name: str | None, home: DataRoot) -> None:
    """Remove what waited, if anything did, after it was used or given up."""
    # The name comes from the database, which may be a restored one of anybody.
    if name is not None and Path(name).name == name and name.startswith(PREFIX):
        shutil.rmtree(home.imports_dir / name, ignore_errors=True)


def remove_staged(engine: sa.Engine, job_id: str, home: DataRoot) -> None:
    """Remove what a job waited with, where it ended and its worker could not do it."""
    request = read_value(engine, sa.select(jobs.c.request).where(jobs.c.id == job_id))
    remove_staging_dir(staging_of(request or ""), home)


def remove_abandoned(engine: sa.Engine, home: DataRoot) -> None:
    """Remove the folders that no job waits with and that nothing has come into for a day."""
    since, old = old_before(engine, ABANDONED_SECONDS), set()
    for folder in home.imports_dir.glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):  # its job has just ended
            if folder.stat().st_mtime < since and not _comes_in(folder):
                old.add(folder.name)
    for folder in [folder for folder in list(_coming) if not _comes_in(folder)]:
        _coming.pop(folder, None)
    if not old:
        return
    waiting = sa.select(jobs.c.request).where(jobs.c.state.in_(ACTIVE_STATES), jobs.c.request.is_not(None))
    with engine.connect() as connection:
        needed = {staging_of(text) for text in connection.execute(waiting).scalars()}
    for name in old - needed:
        remove_staging_dir(name, home)


def _comes_in(folder: Path) -> bool:
    return time.monotonic() - _coming.get(folder, float("-inf")) < ABANDONED_SECONDS
