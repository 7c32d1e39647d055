"""What the web server does by itself: somebody works on what waits, leftovers go, the reserve comes back."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import sqlalchemy as sa

from tlcore.errors import DatasetError
from tlcore.home import DataRoot
from tlcore.jobs.beat import silent_runner
from tlcore.jobs.control import ensure_runner
from tlcore.jobs.environment import tell_settings
from tlcore.storage.database import open_database
from tlcore.storage.jobs import ACTIVE_STATES, list_jobs
from tlcore.storage.leftovers import remove_leftovers
from tlcore.storage.reserve import mend_reserve
from tlcore.storage.retention import remove_unseen_people, remove_untouched
from tlcore.storage.server_days import note_day, today

LOOK_SECONDS = 5.0
"""How long a job waits, at most, when its runner was killed and nobody has a page open."""

SILENT_RUNNER = (
    "The runner, which begins and ends all work, does not answer (process {pid}). It was paused, or the computer is "
    "very busy. No other one is started beside it, as it may wake up. Let it go on (kill -CONT {pid}), or end it "
    "(kill -9 {pid}): then another takes over, and nothing is lost."
)

CLEAN_SECONDS = 24 * 3600.0

RETRY_SECONDS = 60.0
"""How long after a daily sweep that failed the next one comes."""

_LOG = logging.getLogger(__name__)


def see_to_waiting_jobs(home: DataRoot) -> None:
    """Start a runner where jobs wait or work and there is none; one that is there hears of this server's settings.

    Raises:
        StorageError: If the database cannot be opened, or the disk is full.
    """
    tell_settings(home)
    engine = open_database(home)
    try:
        if list_jobs(engine, states=ACTIVE_STATES):
            ensure_runner(home)
    finally:
        engine.dispose()


async def keep(home: DataRoot) -> None:
    """Look after a data root until cancelled; whatever fails is logged once, tried again, and hinders nothing else."""
    steps, silent = _Steps(), None
    day, clean_at = 0, float("-inf")
    while True:
        if time.monotonic() >= clean_at:  # first, as it makes room
            is_clean = await steps.take(lambda: _with_database(clean, home), "The daily sweep")
            clean_at = time.monotonic() + (CLEAN_SECONDS if is_clean else RETRY_SECONDS)
        new_day = today()
        if day != new_day and await steps.take(lambda: _with_database(note_day, home), "Noting the day"):
            day = new_day
        await steps.take(lambda: see_to_waiting_jobs(home), "Starting a runner for what waits")
        await steps.take(lambda: mend_reserve(home), "Making the reserve of disk space")
        before = silent
        with suppress(Exception):  # what it says is a help alone
            silent = silent_runner(home)
            if silent is not None and silent != before:
                print(SILENT_RUNNER.format(pid=silent), file=sys.stderr, flush=True)
        await asyncio.sleep(LOOK_SECONDS)


class _Steps:
    """Takes steps that may fail and must not hinder each other, and logs each failure when it begins."""

    def __init__(self) -> None:
        self._failures: dict[str, type[Exception]] = {}

    async def take(self, work: Callable[[], object], title: str) -> bool:
        """Do some work in a thread and return whether it was done; `title` begins a sentence of the log."""
        try:
            await asyncio.to_thread(work)
        except Exception as error:  # noqa: BLE001 - nobody would begin the keeper again
            if self._failures.get(title) is not type(error):
                _LOG.warning("%s did not work, and is tried again: %s", title, error, exc_info=True)
            self._failures[title] = type(error)
            return False
        self._failures.pop(title, None)
        return True


def clean(engine: sa.Engine, home: DataRoot) -> None:
    """Do what is done once a day.

    Raises:
        StorageError: If the database cannot be read, or not be written.
    """
    remove_leftovers(engine, home)
    with suppress(DatasetError):  # the start has refused a setting that is no number
        remove_untouched(engine, home)
        remove_unseen_people(engine, home)


def _with_database(work: Callable[[sa.Engine, DataRoot], object], home: DataRoot) -> None:
    engine = open_database(home)
    try:
        work(engine, home)
    finally:
        engine.dispose()
