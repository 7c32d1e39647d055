"""Jobs: the life of an import or a training run, from the queue to its end."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Literal, TypeVar

import sqlalchemy as sa

from tlcore.documents import read_document, read_fields, write_document
from tlcore.errors import RunError, UnreadableError
from tlcore.home import DataRoot
from tlcore.progress import Phase
from tlcore.storage.database import (
    is_time,
    jobs,
    now,
    project_version,
    projects,
    read_row,
    read_rows,
    read_value,
    runs,
    turns,
    write_few,
    writing,
)

JobKind = Literal[
    "run",
    "import",
    "measure",
    "search",
    "simple_heads",
    "cross_validation",
    "backbones",
    "weights_download",
    "weights_check",
    "doctor",
    "map",
    "prediction",
    "export",
]
JobState = Literal["queued", "starting", "running", "finished", "stopped", "failed"]

ACTIVE_STATES: tuple[JobState, ...] = ("queued", "starting", "running")
CLAIMED_STATES: tuple[JobState, ...] = ("starting", "running")
KINDS_WITH_FILES: tuple[JobKind, ...] = ("simple_heads", "prediction", "export")
"""Whose results lie in the data root and count for a person's room, besides those of runs and imported pictures."""

GONE = "This job is not here any more; its project was deleted."
UNREADABLE = "What the database kept of this job was damaged, so it could not begin. Start it again."

BESIDE_SECONDS = 60.0
"""What a run takes besides its work, on a busy computer: the start of its program, and its last rows."""

LEAST_IMPOSSIBLE = 2**31
"""No system gives such an id to a process, and nobody tries a job so often."""

T = TypeVar("T")

ENDED_STATES: tuple[JobState, ...] = ("finished", "stopped", "failed")


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A snapshot of one job.

    Attributes:
        id: Unguessable.
        kind: What it does; a row of `tlcore.jobs.specs`.
        project_id: The project that it belongs to.
        state: Where it is in its life.
        phase: What it is doing, a name of `tlcore.progress`; empty before it began.
        subject: With what, such as the name of a backbone.
        done: Steps of this phase that are done.
        total: Steps of this phase; 0 when not known.
        message: Why it ended the way it did, in words.
        attempt: Counts the claims; a worker of an older attempt may not write.
        pid: Process id of its worker.
        process: What tells that process from others of the same id, of `tlcore.jobs.processes`; `None` also in jobs
            that an earlier version began.
        heartbeat: Changes whenever the worker writes, every few seconds at least.
        stop_requested: When the person asked to stop it.
        created: When it was put in line.
        started: When it was claimed.
        ended: When it ended.
        deaths: Why its workers died so far: causes of `tlcore.jobs.deaths`, with spaces between them.
        rescue: Whether it was given up, and its worker only keeps what there is.
        silent: Whether its worker does not answer: it is paused, or has not written for some seconds.
    """

    id: str
    kind: JobKind
    project_id: str
    state: JobState
    phase: Phase | Literal[""]
    subject: str
    done: int
    total: int
    message: str
    attempt: int
    pid: int | None
    process: str | None
    heartbeat: float | None
    stop_requested: float | None
    created: float
    started: float | None
    ended: float | None
    deaths: str = ""
    rescue: bool = False
    silent: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers with which nothing can be done.

        Raises:
            ValueError: If the attempt or the process id is none that anybody counts or gives.
        """
        if not 0 <= self.attempt < LEAST_IMPOSSIBLE:
            raise ValueError(f"`attempt` must be a count. Received: attempt={self.attempt}")
        if self.pid is not None and not 0 < self.pid < LEAST_IMPOSSIBLE:
            raise ValueError(f"`pid` must be the id of a process. Received: pid={self.pid}")

    @property
    def is_active(self) -> bool:
        """Whether it waits, starts or works."""
        return self.state in ACTIVE_STATES

    @property
    def causes(self) -> tuple[str, ...]:
        """Why its workers died so far."""
        return tuple(self.deaths.split())


class LostJobError(RunError):
    """The job was taken away from this worker; it must end without writing."""


STATUS_COLUMNS = tuple(jobs.c[field.name] for field in fields(JobStatus))
"""Not what a job was asked for, which may be long."""


def _status(row: sa.Row[tuple[object, ...]]) -> JobStatus:
    return read_fields(row._mapping, JobStatus)


def _readable(rows: Iterable[sa.Row[tuple[object, ...]]]) -> Iterator[JobStatus]:
    """Yield the jobs of those rows that can be read: one damaged row hides no other job."""
    for row in rows:
        with suppress(UnreadableError):
            yield _status(row)


def create_job(
    engine: sa.Engine,
    kind: JobKind,
    project_id: str,
    request: object | None = None,
    *,
    key: str | None = None,
    replaces_waiting: bool = False,
) -> str:
    """Put a job in line and return its id.

    Args:
        engine: The database.
        kind: What it does.
        project_id: The project on whose page it was asked for.
        request: What it is asked for, a dataclass of `tlcore.storage.requests`.
        key: What makes two jobs of a kind the same: while one of that key waits or works, that one is returned.
        replaces_waiting: Stop the others of this kind in this project that still wait: nobody looks at them any more.

    Raises:
        NotFoundError: If the project was deleted meanwhile.
        QuotaError: If it would leave files, and the project's owner has as much as one person can have.
    """
    from tlcore.storage.room import WorkRoom  # which asks this table too

    room = WorkRoom.of(engine, project_id, DataRoot.configured()) if kind in KINDS_WITH_FILES else None
    with writing(engine) as connection:
        existing = None
        if key is not None:
            same = sa.select(jobs.c.id).where(jobs.c.kind == kind, jobs.c.key == key, jobs.c.state.in_(ACTIVE_STATES))
            existing = connection.execute(same.where(jobs.c.stop_requested.is_(None))).scalar()
        if replaces_waiting:
            of_kind = sa.update(jobs).where(jobs.c.kind == kind, jobs.c.project_id == project_id)
            others = of_kind.where(jobs.c.state == "queued", jobs.c.id != (existing or ""))
            connection.execute(others.values(state="stopped", message="Other settings were chosen.", ended=now()))
        if room is not None and not existing:
            room.check()
        return str(existing or insert_job(connection, kind, project_id, request, key))


def insert_job(
    connection: sa.Connection, kind: JobKind, project_id: str, request: object | None = None, key: str | None = None
) -> str:
    """Put a job in line, as a part of the caller's transaction, and return its id; arguments as in `create_job`.

    Raises:
        NotFoundError: If the project was deleted meanwhile.
    """
    project_version(connection, project_id)  # raises when it is gone
    values = {"id": secrets.token_urlsafe(12), "kind": kind, "project_id": project_id, "key": key}
    document = None if request is None else write_document(request)
    connection.execute(sa.insert(jobs).values(**values, state="queued", created=now(), request=document))
    return str(values["id"])


def read_request(engine: sa.Engine, job_id: str, kind: type[T]) -> T:
    """Return what a job was asked for.

    Raises:
        NotFoundError: If there is no such job.
        UnreadableError: If it was asked for something that this version does not know.
    """
    query = sa.select(jobs.c.request).where(jobs.c.id == job_id, jobs.c.request.is_not(None))
    return read_document(read_row(engine, query, GONE).request, kind)


def read_result(engine: sa.Engine, job_id: str, kind: type[T]) -> T | None:
    """Return what a job has answered; `None` until it has ended well.

    Raises:
        UnreadableError: If it has answered something that this version does not know.
    """
    document = read_value(engine, sa.select(jobs.c.result).where(jobs.c.id == job_id))
    return None if document is None else read_document(document, kind)


def write_result(connection: sa.Connection, job_id: str, attempt: int, result: object) -> None:
    """Store what a job answers, as the worker of that attempt."""
    write_job(connection, job_id, attempt, result=write_document(result))


def get_job(engine: sa.Engine, job_id: str) -> JobStatus:
    """Return a job.

    Raises:
        NotFoundError: If there is none.
        UnreadableError: If its row is damaged.
    """
    return _status(read_row(engine, sa.select(*STATUS_COLUMNS).where(jobs.c.id == job_id), GONE))


def has_job(engine: sa.Engine, job_id: str) -> bool:
    """Whether a job is still known: it goes with its project."""
    return read_value(engine, sa.select(jobs.c.id).where(jobs.c.id == job_id)) is not None


def has_result(engine: sa.Engine, job_id: str) -> bool:
    """Whether a job has written what came of it."""
    return read_value(engine, sa.select(jobs.c.result).where(jobs.c.id == job_id)) is not None


def list_jobs(engine: sa.Engine, *, states: tuple[JobState, ...], project_id: str | None = None) -> list[JobStatus]:
    """Return the jobs in some states, oldest first, without those whose rows are damaged."""
    query = sa.select(*STATUS_COLUMNS).where(jobs.c.state.in_(states)).order_by(jobs.c.created, jobs.c.id)
    if project_id is not None:
        query = query.where(jobs.c.project_id == project_id)
    return list(_readable(read_rows(engine, query)))


def last_job(engine: sa.Engine, project_id: str, kind: JobKind, key: str | None = None) -> JobStatus | None:
    """Return the newest job of a kind in a project; with a key the newest one of that, any that waits or works too."""
    known: sa.ColumnElement[bool] = jobs.c.project_id == project_id
    if key is not None:
        known = sa.and_(jobs.c.key == key, sa.or_(known, jobs.c.state.in_(ACTIVE_STATES)))
    query = sa.select(*STATUS_COLUMNS).where(jobs.c.kind == kind, known).order_by(jobs.c.created.desc(), jobs.c.id)
    return next(_readable(read_rows(engine, query.limit(1))), None)


@dataclass(frozen=True, slots=True)
class Ahead:
    """A job that goes before a waiting one.

    Attributes:
        owner: Whose it is.
        works: Whether it works already; otherwise it waits too.
        started: When it was claimed, in seconds since 1970; `None` while it waits.
    """

    owner: str
    works: bool
    started: float | None


def _line(kind: JobKind) -> sa.Select[tuple[str, str]]:
    """Select the id and the owner of the waiting jobs of a kind, in the order in which their turns come.

    People take turns: first the oldest job of everybody, then the second one of everybody. Who has waited longest
    since the last turn goes first in every round, and who never had one before them all. A job whose worker ended too
    early has had its turn, so it goes on before the others. Of two jobs of one time, as by a coarse clock, the id
    decides.
    """
    began = jobs.c.attempt > 0

    def own(function: sa.FunctionElement[T]) -> sa.Over[T]:
        """Ask among the jobs of the same owner, in the order in which they came."""
        return function.over(partition_by=(projects.c.owner, began), order_by=(jobs.c.created, jobs.c.id))

    waiting = (
        sa.select(
            jobs.c.id,
            projects.c.owner,
            began.label("began"),
            own(sa.func.row_number()).label("round"),
            sa.func.coalesce(turns.c.turn, 0).label("turn"),
            own(sa.func.first_value(jobs.c.created)).label("since"),
            own(sa.func.first_value(jobs.c.id)).label("first"),
        )
        .join(projects, projects.c.id == jobs.c.project_id)
        .outerjoin(turns, sa.and_(turns.c.kind == jobs.c.kind, turns.c.owner == projects.c.owner))
        .where(jobs.c.kind == kind, jobs.c.state == "queued")
        .subquery()
    )
    columns = waiting.c
    ranks = (columns.began.desc(), columns.round, columns.turn, columns.since, columns.first)
    return sa.select(columns.id, columns.owner).order_by(*ranks)


def read_line(engine: sa.Engine, kind: JobKind) -> list[str]:
    """Return the ids of the waiting jobs of a kind, in the order in which their turns come as of now."""
    return [str(row.id) for row in read_rows(engine, _line(kind))]


def jobs_ahead(engine: sa.Engine, job: JobStatus) -> list[Ahead]:
    """Return the jobs of the same kind that go before a waiting one: those that work, then those whose turn is sooner.

    Who comes later may still go first: the next job of somebody who has none in line goes before a second one.
    """
    works = sa.select(projects.c.owner, jobs.c.started).join(projects, projects.c.id == jobs.c.project_id)
    works = works.where(jobs.c.kind == job.kind, jobs.c.id != job.id, jobs.c.state.in_(CLAIMED_STATES))
    with engine.begin() as connection:
        ahead = [Ahead(row.owner, True, row.started) for row in connection.execute(works)]
        for row in connection.execute(_line(job.kind)):
            if row.id == job.id:
                break
            ahead.append(Ahead(row.owner, False, None))
    return ahead


def queue_position(engine: sa.Engine, job: JobStatus) -> int:
    """Return how many jobs of the same kind are ahead of a waiting one, working ones included."""
    return len(jobs_ahead(engine, job))


def last_durations(engine: sa.Engine, kind: JobKind, number: int) -> list[float]:
    """Return how many seconds the jobs of a kind took that finished last, the newest first.

    A run that waited for room on the disk took what its own summary says, which leaves that out.
    """
    took = sa.select((jobs.c.ended - jobs.c.started).label("seconds"), runs.c.summary)
    took = took.outerjoin(runs, runs.c.job_id == jobs.c.id).where(jobs.c.kind == kind, jobs.c.state == "finished")
    took = took.where(jobs.c.ended >= jobs.c.started).order_by(jobs.c.ended.desc())
    return [_without_waiting(float(row.seconds), row.summary) for row in read_rows(engine, took.limit(number))]


def _without_waiting(seconds: float, summary: str | None) -> float:
    """Return how long a job took whose slot was taken for so long, by the summary of a run where there is one."""
    with suppress(ValueError, TypeError, KeyError):
        worked = float(json.loads(summary or "{}")["seconds"])
        if 0 <= worked < seconds - BESIDE_SECONDS:
            return worked
    return seconds


def claim_job(engine: sa.Engine, kind: JobKind) -> JobStatus | None:
    """Take the waiting job of a kind whose turn it is; no two callers ever get the same one.

    A job whose row is damaged is ended with words, and the next one is taken: nobody waits behind it.
    """
    first = sa.select(_line(kind).limit(1).subquery().c.id).scalar_subquery()
    statement = (
        sa.update(jobs)
        .where(jobs.c.id == first, jobs.c.state == "queued")
        .values(state="starting", attempt=jobs.c.attempt + 1, started=now(), heartbeat=now(), pid=None)
        .returning(*STATUS_COLUMNS)
    )
    with writing(engine) as connection:
        while True:
            row = connection.execute(statement).one_or_none()
            if row is None:
                return None
            try:
                job = _status(row)
            except UnreadableError:
                if _end_unreadable(connection, row):
                    continue
                return None
            if job.attempt == 1:  # a later attempt belongs to the turn of the first
                _take_turn(connection, job)
            return job


def _end_unreadable(connection: sa.Connection, row: sa.Row[tuple[object, ...]]) -> bool:
    """End a job whose row is damaged, and put into it what can be read; return whether it is there."""
    columns = row._mapping
    blank = {"phase": "", "subject": "", "done": 0, "total": 0, "deaths": "", "rescue": False, "silent": False}
    blank |= dict.fromkeys(("pid", "process", "heartbeat", "stop_requested", "started"))
    created = columns["created"] if is_time(columns["created"]) else now()
    end = sa.update(jobs).where(jobs.c.id == columns["id"]).values(**blank, attempt=0, created=created)
    return bool(connection.execute(end.values(state="failed", message=UNREADABLE, ended=now())).rowcount)


def _take_turn(connection: sa.Connection, job: JobStatus) -> None:
    """Send the owner of a job to the end of the line of its kind."""
    owner = connection.execute(sa.select(projects.c.owner).where(projects.c.id == job.project_id)).scalar_one()
    its_line = turns.c.kind == job.kind
    highest = sa.func.max(sa.cast(turns.c.turn, sa.Integer))  # of a damaged row too
    last = connection.execute(sa.select(highest).where(its_line)).scalar() or 0
    taken = sa.update(turns).where(its_line, turns.c.owner == owner).values(turn=last + 1)
    if not connection.execute(taken).rowcount:
        connection.execute(sa.insert(turns).values(kind=job.kind, owner=owner, turn=last + 1))


def requeue_job(engine: sa.Engine, job_id: str, attempt: int, cause: str = "", reason: str = "") -> bool:
    """Put a job back in line whose worker never began or died; return whether it was still that attempt's.

    Args:
        engine: The database.
        job_id: The job.
        attempt: The one that came to nothing; the next claim counts on.
        cause: Why the worker died; empty when it never began.
        reason: The same in words, for the message of the job until it ends.
    """
    change = _give_up(job_id, attempt, cause, reason).values(state="queued", started=None)
    return write_few(engine, lambda connection: bool(connection.execute(change).rowcount))


def retake_job(engine: sa.Engine, job_id: str, attempt: int, cause: str, reason: str) -> JobStatus | None:
    """Claim a job again at once whose worker died, to keep what there is of it; it is given up otherwise.

    Arguments as of `requeue_job`.

    Returns:
        The job, under its next attempt; `None` when it was not that attempt's any more.
    """
    change = _give_up(job_id, attempt, cause, reason)
    change = change.values(state="starting", attempt=attempt + 1, rescue=True, started=now(), heartbeat=now())
    row = write_few(engine, lambda connection: connection.execute(change.returning(*STATUS_COLUMNS)).one_or_none())
    return None if row is None else _status(row)


def _give_up(job_id: str, attempt: int, cause: str, reason: str) -> sa.Update:
    """Return a change that takes a claimed job from its worker, which can write no more then."""
    statement = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.state.in_(CLAIMED_STATES))
    where_it_was = {"phase": "", "subject": "", "done": 0, "total": 0, "silent": False}
    if cause:
        deaths = sa.func.trim(jobs.c.deaths.concat(f" {cause}"))
        statement = statement.values(deaths=deaths, message=reason)
    return statement.values(pid=None, process=None, **where_it_was)


def note_silence(engine: sa.Engine, job_id: str, attempt: int, *, silent: bool) -> None:
    """Write down whether a worker answers; that is no heartbeat of it."""
    statement = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.state.in_(CLAIMED_STATES))
    with writing(engine) as connection:
        connection.execute(statement.values(silent=silent))


def list_last_ended(engine: sa.Engine, number: int) -> list[JobStatus]:
    """Return the jobs with a worker that ended last, the newest first, without those whose rows are damaged."""
    query = sa.select(*STATUS_COLUMNS).where(jobs.c.state.in_(ENDED_STATES), jobs.c.process.is_not(None))
    return list(_readable(read_rows(engine, query.order_by(jobs.c.ended.desc(), jobs.c.id).limit(number))))


def write_job(connection: sa.Connection, job_id: str, attempt: int, **values: object) -> None:
    """Write fields of a job on behalf of its worker, with a heartbeat.

    Raises:
        LostJobError: If the job ended or was claimed again; nothing is written then.
    """
    statement = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.state.in_(CLAIMED_STATES))
    if connection.execute(statement.values(heartbeat=now(), **values)).rowcount != 1:
        raise LostJobError("This job was ended from outside.")


def end_job(engine: sa.Engine, job_id: str, attempt: int, state: JobState, message: str = "") -> bool:
    """End a job that is claimed; return whether it was still alive under that attempt."""
    statement = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.state.in_(CLAIMED_STATES))
    end = statement.values(state=state, message=message, ended=now())
    return write_few(engine, lambda connection: bool(connection.execute(end).rowcount))


def request_stop(engine: sa.Engine, job_id: str) -> None:
    """Ask a job to stop; one that still waits is stopped at once, unless a run has learned something already."""
    asked = jobs.c.stop_requested.is_(None)
    waits = jobs.c.state == "queued"
    # Its worker died, and there may be an epoch to keep: it is claimed once more for that.
    may_keep = sa.and_(waits, jobs.c.kind == "run", jobs.c.attempt > 0)
    waiting = sa.update(jobs).where(jobs.c.id == job_id, waits, sa.not_(may_keep))
    works = jobs.c.state.in_(CLAIMED_STATES)
    working = sa.update(jobs).where(jobs.c.id == job_id, sa.or_(works, may_keep), asked)

    def ask(connection: sa.Connection) -> None:
        connection.execute(waiting.values(state="stopped", message="Stopped before it began.", ended=now()))
        connection.execute(working.values(stop_requested=now()))

    write_few(engine, ask)
