"""The place of a waiting job in its line, and about how long it will wait."""

from __future__ import annotations

import heapq
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from tlcore.jobs.slots import slots_of
from tlcore.jobs.specs import JOBS
from tlcore.storage.jobs import Ahead, JobKind, JobStatus, jobs_ahead, last_durations

LAST_JOBS = 20
"""From how many jobs that finished last it is guessed how long one takes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a waiting job stands in its line.

    Attributes:
        ahead: How many jobs of its kind go first, those that work included.
        of_others: How many of those belong to other people.
        seconds: About how long it waits; `None` when that cannot be said.
    """

    ahead: int
    of_others: int
    seconds: float | None


def place_in_line(engine: sa.Engine, job: JobStatus, owner: str, durations: Sequence[float]) -> Place:
    """Return the place of a waiting job.

    Args:
        engine: The database.
        job: The job.
        owner: Who asks.
        durations: As of `durations_of`; a page that looks again and again remembers them for a while.
    """
    ahead = jobs_ahead(engine, job)
    of_others = sum(one.owner != owner for one in ahead)
    seconds = None
    # What gives way waits for other kinds too, and nobody knows which of them will come.
    if ahead and JOBS[job.kind].gives_way == "nothing":
        seconds = waiting_seconds(ahead, durations, slots_of(job.kind), time.time())
    return Place(len(ahead), of_others, seconds)


def durations_of(engine: sa.Engine, kind: JobKind) -> list[float]:
    """Return how many seconds the jobs of a kind took that finished last, a few of them."""
    return last_durations(engine, kind, LAST_JOBS)


def waiting_seconds(ahead: Sequence[Ahead], durations: Sequence[float], slots: int, now: float) -> float | None:
    """Return about how long it takes until a slot is free for the one behind.

    Args:
        ahead: What goes first, in order.
        durations: Seconds that the last jobs took; the middle one counts, as one that was very long says little.
        slots: How many work at the same time.
        now: The time, in seconds since 1970.

    Returns:
        The seconds; `None` when no job has finished yet, or when a slot should have been free by now.
    """
    if not durations:
        return None
    typical = statistics.median(durations)
    # The clock may have been set: nobody has worked for less than no time.
    free_in = [min(typical, max(0.0, typical - (now - (one.started or now)))) for one in ahead if one.works]
    free_in += [0.0] * max(0, slots - len(free_in))
    heapq.heapify(free_in)
    for _ in range(sum(not one.works for one in ahead)):
        heapq.heapreplace(free_in, free_in[0] + typical)
    return free_in[0] or None
