"""What the web server does by itself: somebody works on what waits, leftovers go, the reserve comes back."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import sqlalchemy as sa

from tlcore.errors import DatasetError, StorageError
from tlcore.home import DataRoot
from tlcore.jobs.beat import silent_runner
from tlcore.jobs.control import ensure_runner
from tlcore.storage.database import open_database
from tlcore.storage.jobs import ACTIVE_STATES, list_jobs
from tlcore.storage.leftovers import remove_leftovers
from tlcore.storage.reserve import mend_reserve
from tlcore.storage.retention import note_day, remove_unseen_people, remove_untouched, today

LOOK_SECONDS = 5.0
"""How long a job waits, at most, when its runner was killed and nobody has a page open."""

SILENT_RUNNER = (
    "The runner, which begins and ends all work, does not answer (process {pid}). It was paused, or the computer is "
    "very busy. No other one is started beside it, as it may wake up. Let it go on (kill -CONT {pid}), or end it "
    "(kill -9 {pid}): then another takes over, and nothing is lost."
)

CLEAN_SECONDS = 24 * 3600.0


def see_to_waiting_jobs(home: DataRoot) -> None:
    """Start a runner where jobs wait or work and there is none.

    Raises:
        StorageError: If the database cannot be opened, or the disk is full.
    """
    engine = open_database(home)
    try:
        if list_jobs(engine, states=ACTIVE_STATES):
            ensure_runner(home)
    finally:
        engine.dispose()


async def keep(home: DataRoot) -> None:
    """Look after a data root until cancelled; a full disk or a damaged database is waited for."""
    cleaned, silent = float("-inf"), None
    day = 0
    while True:
        with suppress(StorageError, sa.exc.SQLAlchemyError):
            if day != today():
                await asyncio.to_thread(_with_database, note_day, home)
                day = today()
            if time.monotonic() - cleaned >= CLEAN_SECONDS:
                cleaned = time.monotonic()
                await asyncio.to_thread(_with_database, clean, home)
            await asyncio.to_thread(see_to_waiting_jobs, home)
            await asyncio.to_thread(mend_reserve, home)
        before, silent = silent, silent_runner(home)
        if silent is not None and silent != before:
            print(SILENT_RUNNER.format(pid=silent), file=sys.stderr, flush=True)
        await asyncio.sleep(LOOK_SECONDS)


def clean(engine: sa.Engine, home: DataRoot) -> None:
    """Do what is done once a day."""
    with suppress(DatasetError):  # the start has refused a setting that is no number
        remove_untouched(engine, home)
        remove_unseen_people(engine, home)
    remove_leftovers(engine, home)


def _with_database(work: Callable[[sa.Engine, DataRoot], object], home: DataRoot) -> None:
    engine = open_database(home)
    try:
        work(engine, home)
    finally:
        engine.dispose()
