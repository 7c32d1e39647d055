"""Jobs: the life of an import or a training run, from the queue to its end."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from tlcore.errors import NotFoundError, RunError
from tlcore.storage.database import jobs, now, projects, writing

JobKind = Literal["run", "import", "measure", "search", "probe", "backbones"]
JobState = Literal["queued", "starting", "running", "finished", "stopped", "failed"]

ACTIVE_STATES: tuple[JobState, ...] = ("queued", "starting", "running")
CLAIMED_STATES: tuple[JobState, ...] = ("starting", "running")
ENDED_STATES: tuple[JobState, ...] = ("finished", "stopped", "failed")


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A snapshot of one job.

    Attributes:
        id: Unguessable.
        kind: `run`, `import`, `search` for a learning rate, `measure`: how long a run will take, `probe`: simple
            heads on frozen features, or `backbones`: how fast each backbone is.
        project_id: The project that it belongs to.
        state: Where it is in its life.
        phase: What it is doing, in words.
        done: Steps of this phase that are done.
        total: Steps of this phase; 0 when not known.
        message: Why it ended the way it did, in words.
        attempt: Counts the claims; a worker of an older attempt may not write.
        pid: Process id of its worker.
        pid_started: When that process started; together they name one process for good.
        heartbeat: When the worker last wrote.
        stop_requested: When the person asked to stop it.
        created: When it was put in line.
        started: When it was claimed.
        ended: When it ended.
    """

    id: str
    kind: JobKind
    project_id: str
    state: JobState
    phase: str
    done: int
    total: int
    message: str
    attempt: int
    pid: int | None
    pid_started: float | None
    heartbeat: float | None
    stop_requested: float | None
    created: float
    started: float | None
    ended: float | None

    @property
    def is_active(self) -> bool:
        """Whether it waits, starts or works."""
        return self.state in ACTIVE_STATES


class LostJobError(RunError):
    """The job was taken away from this worker; it must end without writing."""


def insert_job(connection: sa.Connection, kind: JobKind, project_id: str) -> str:
    """Put a job in line, as a part of the caller's transaction, and return its id.

    Raises:
        NotFoundError: If the project was deleted meanwhile.
    """
    if connection.execute(sa.select(projects.c.id).where(projects.c.id == project_id)).scalar() is None:
        raise NotFoundError("This project was deleted. Go to Home to see your projects.")
    job_id = secrets.token_urlsafe(12)
    connection.execute(
        sa.insert(jobs).values(id=job_id, kind=kind, project_id=project_id, state="queued", created=now())
    )
    return job_id


def get_job(engine: sa.Engine, job_id: str) -> JobStatus:
    """Return a job.

    Raises:
        NotFoundError: If there is none.
    """
    with engine.begin() as connection:
        row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError("This job is not here any more; its project was deleted.")
    return JobStatus(**row._mapping)


def has_job(engine: sa.Engine, job_id: str) -> bool:
    """Whether a job is still known: it goes with its project."""
    with engine.begin() as connection:
        return connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id)).one_or_none() is not None


def list_jobs(engine: sa.Engine, *, states: tuple[JobState, ...], project_id: str | None = None) -> list[JobStatus]:
    """Return the jobs in some states, oldest first."""
    query = sa.select(jobs).where(jobs.c.state.in_(states)).order_by(jobs.c.created, jobs.c.id)
    if project_id is not None:
        query = query.where(jobs.c.project_id == project_id)
    with engine.begin() as connection:
        return [JobStatus(**row._mapping) for row in connection.execute(query)]


def last_job(engine: sa.Engine, project_id: str, kind: JobKind) -> JobStatus | None:
    """Return the newest job of a kind in a project."""
    query = sa.select(jobs).where(jobs.c.project_id == project_id, jobs.c.kind == kind)
    with engine.begin() as connection:
        row = connection.execute(query.order_by(jobs.c.created.desc(), jobs.c.id).limit(1)).one_or_none()
    return None if row is None else JobStatus(**row._mapping)


def queue_position(engine: sa.Engine, job: JobStatus) -> int:
    """Return how many jobs of the same kind are ahead of a waiting one, working ones included."""
    # The order of `claim_job`: a coarse clock gives two jobs the same time.
    earlier = sa.or_(jobs.c.created < job.created, sa.and_(jobs.c.created == job.created, jobs.c.id < job.id))
    ahead = sa.or_(jobs.c.state.in_(CLAIMED_STATES), sa.and_(jobs.c.state == "queued", earlier))
    query = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.kind == job.kind, jobs.c.id != job.id, ahead)
    with engine.begin() as connection:
        return int(connection.execute(query).scalar() or 0)


def claim_job(engine: sa.Engine, kind: JobKind) -> JobStatus | None:
    """Take the oldest waiting job of a kind; no two callers ever get the same one."""
    oldest = (
        sa.select(jobs.c.id)
        .where(jobs.c.kind == kind, jobs.c.state == "queued")
        .order_by(jobs.c.created, jobs.c.id)
        .limit(1)
        .scalar_subquery()
    )
    statement = (
        sa.update(jobs)
        .where(jobs.c.id == oldest, jobs.c.state == "queued")
        .values(state="starting", attempt=jobs.c.attempt + 1, started=now(), heartbeat=now(), pid=None)
        .returning(jobs)
    )
    with writing(engine) as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else JobStatus(**row._mapping)


def requeue_job(engine: sa.Engine, job_id: str, attempt: int) -> bool:
    """Put a job back in line whose worker never began; return whether it was still that attempt's."""
    statement = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.state == "starting")
    with writing(engine) as connection:
        return bool(connection.execute(statement.values(state="queued", started=None)).rowcount)


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
    with writing(engine) as connection:
        return bool(connection.execute(statement.values(state=state, message=message, ended=now())).rowcount)


def request_stop(engine: sa.Engine, job_id: str) -> None:
    """Ask a job to stop; one that still waits is stopped at once."""
    with writing(engine) as connection:
        waiting = sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state == "queued")
        connection.execute(waiting.values(state="stopped", message="Stopped before it began.", ended=now()))
        working = sa.update(jobs).where(
            jobs.c.id == job_id, jobs.c.state.in_(CLAIMED_STATES), jobs.c.stop_requested.is_(None)
        )
        connection.execute(working.values(stop_requested=now()))
