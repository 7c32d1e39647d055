"""What killed programs and closed browsers leave behind goes by itself."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from tlcore.home import HALF_WRITTEN, DataRoot
from tlcore.storage.database import jobs, read_rows
from tlcore.storage.staging import ABANDONED_SECONDS, remove_abandoned


def remove_leftovers(engine: sa.Engine, home: DataRoot) -> None:
    """Remove what was brought for no job or lost its job, and files that nobody finished, once untouched for a day."""
    remove_abandoned(engine, home)
    since = time.time() - ABANDONED_SECONDS
    for folder, _, names in os.walk(home.path):
        for name in names:
            if name.startswith(HALF_WRITTEN):
                path = Path(folder, name)
                with suppress(OSError):  # gone meanwhile, or of another account
                    if path.lstat().st_mtime < since:
                        path.unlink()
    _remove_unknown_jobs(engine, home, since)


def _remove_unknown_jobs(engine: sa.Engine, home: DataRoot, since: float) -> None:
    """Remove the files of jobs that are in no project: of a copy that was cut short, or a deletion."""
    folders = []
    for parent in (home.runs_dir, home.simple_heads_dir, home.predictions_dir):
        for folder in parent.glob("*"):
            with suppress(OSError):  # gone meanwhile
                if folder.is_dir() and folder.lstat().st_mtime < since:
                    folders.append(folder)
    if folders:
        # Asked for after the folders: no job that has a folder is put in line later.
        known = {row.id for row in read_rows(engine, sa.select(jobs.c.id))}
        for folder in folders:
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
