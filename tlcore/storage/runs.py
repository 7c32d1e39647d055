"""Training runs: what was chosen, the curve so far, the summary, and the files they leave."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from tlcore.config import RunConfig
from tlcore.documents import read_document, read_fields, write_document
from tlcore.errors import UnreadableError
from tlcore.home import DataRoot
from tlcore.storage.configs import Unreadable, read_all, read_config
from tlcore.storage.database import jobs, metrics, projects, read_row, read_rows, read_value, run_notes, runs, writing
from tlcore.storage.datasets import check_version
from tlcore.storage.jobs import ACTIVE_STATES, ENDED_STATES, STATUS_COLUMNS, JobStatus, insert_job, write_job
from tlcore.storage.projects import printable_line
from tlcore.storage.room import WorkRoom, check_waiting_runs
from tlcore.storage.usage import folder_bytes

MAX_NOTE_LENGTH = 200

INFINITE_LOSS = "The loss became infinite"
"""How the message of a run begins that ended because of that; in those of earlier versions too."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a finished run reached.

    Attributes:
        best_epoch: The epoch whose weights were kept, counted from 1.
        epochs: Epochs that were trained.
        validation_accuracy: Fraction of right answers on the validation pictures at the best epoch;
            `None` without such pictures.
        test_correct: Test pictures that were answered right.
        test_total: Test pictures.
        trainable_parameters: Scalars that training changed.
        frozen_parameters: Scalars that it left alone.
        seconds: From the start of the worker to the end.
        validation_correct: Validation pictures that were answered right at the best epoch; `None` in runs of earlier
            versions, which kept the fraction only.
        validation_total: Validation pictures; `None` as above.
    """

    best_epoch: int
    epochs: int
    validation_accuracy: float | None
    test_correct: int
    test_total: int
    trainable_parameters: int
    frozen_parameters: int
    seconds: float
    validation_correct: int | None = None
    validation_total: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A snapshot of a run.

    Attributes:
        job: Its life.
        number: Counts the runs of a project, from 1.
        version: The data set version that it uses.
        config: What was chosen.
        summary: What it reached; `None` until it ended with a model.
        note: What the person expected before it began; empty when nothing was written.
    """

    job: JobStatus
    number: int
    version: int
    config: RunConfig
    summary: RunSummary | None
    note: str = ""

    @property
    def id(self) -> str:
        """The id of its job."""
        return self.job.id

    @property
    def diverged(self) -> bool:
        """Whether it ended because the loss became infinite, with a model or without."""
        return self.job.message.startswith(INFINITE_LOSS)

    @property
    def has_model(self) -> bool:
        """Whether it ended with a model that can predict."""
        return self.summary is not None


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One value of one curve; `epoch` has a fraction inside an epoch and is whole at its end."""

    epoch: float
    name: str
    value: float

    def __post_init__(self) -> None:
        if self.name.endswith("accuracy") and not 0 <= self.value <= 1:
            raise ValueError(f"`value` of an accuracy must be in [0, 1]. Received: value={self.value}")


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A run that is to be started.

    Attributes:
        version: The data set version to use.
        config: What was chosen.
        note: What the person expects; cannot be changed afterwards.
    """

    version: int
    config: RunConfig
    note: str = ""


def create_runs(
    engine: sa.Engine, project_id: str, plans: Sequence[RunPlan], bytes_of: Callable[[RunConfig], int] = lambda _: 0
) -> list[str]:
    """Put runs in line, one behind the other, and return their ids, the first one first.

    While a run with the same settings on the same pictures waits or works, no second one is made for that plan: the
    result would be the same. A double click or a second tab thus never starts two.

    Args:
        engine: The database.
        project_id: The project.
        plans: What to train.
        bytes_of: About how many bytes a run needs on the disk while it works.

    Raises:
        ValueError: If there is no plan.
        NotFoundError: If the project was deleted.
        QuotaError: If more would wait than one person may have in line, or the owner's runs that wait and work would
            leave more than there is room for; none is made then.
        ConflictError: If a version was removed to make room; none is made then.
    """
    if not plans:
        raise ValueError("`plans` must have at least one run. Received: plans=[]")
    home = DataRoot.configured()
    room = WorkRoom.of(engine, project_id, home)
    with writing(engine) as connection:
        run_ids, is_new = [], False
        for plan in plans:
            same = _find_same(connection, project_id, plan)
            is_new = is_new or same is None
            run_ids.append(same or _insert_run(connection, project_id, plan))
        if room is not None and is_new:
            room.check(_bytes_to_come(connection, project_id, bytes_of, home))
        return run_ids


def _bytes_to_come(
    connection: sa.Connection, project_id: str, bytes_of: Callable[[RunConfig], int], home: DataRoot
) -> int:
    """Return what the waiting and working runs of a project's owner are going to need beyond what they have written."""
    owner = sa.select(projects.c.owner).where(projects.c.id == project_id).scalar_subquery()
    of_owner = sa.select(jobs.c.id, runs.c.config).join(runs, runs.c.job_id == jobs.c.id)
    of_owner = of_owner.join(projects, projects.c.id == jobs.c.project_id).where(projects.c.owner == owner)
    total = 0
    for row in connection.execute(of_owner.where(jobs.c.state.in_(ACTIVE_STATES))):
        with suppress(UnreadableError, ValueError):  # nothing can work on it
            total += max(0, bytes_of(read_config(row.config)) - folder_bytes(home.run_dir(str(row.id))))
    return total


def _find_same(connection: sa.Connection, project_id: str, plan: RunPlan) -> str | None:
    """Return the run that waits or works for the same result."""
    query = (
        sa.select(jobs.c.id)
        .join(runs, runs.c.job_id == jobs.c.id)
        .where(jobs.c.project_id == project_id, jobs.c.state.not_in(ENDED_STATES), jobs.c.stop_requested.is_(None))
        .where(runs.c.version == plan.version, runs.c.config == write_document(plan.config))
    )
    found = connection.execute(query).scalar()
    return None if found is None else str(found)


def _insert_run(connection: sa.Connection, project_id: str, plan: RunPlan) -> str:
    check_waiting_runs(connection, project_id)
    check_version(connection, project_id, plan.version)
    last = sa.select(sa.func.coalesce(sa.func.max(runs.c.number), 0)).join(jobs, jobs.c.id == runs.c.job_id)
    number = connection.execute(last.where(jobs.c.project_id == project_id)).scalar_one() + 1
    job_id = insert_job(connection, "run", project_id)
    connection.execute(
        sa.insert(runs).values(job_id=job_id, number=number, version=plan.version, config=write_document(plan.config))
    )
    note = printable_line(plan.note, MAX_NOTE_LENGTH)
    if note:
        connection.execute(sa.insert(run_notes).values(job_id=job_id, note=note))
    return job_id


def _run(row: sa.Row[tuple[object, ...]]) -> Run:
    fields = dict(row._mapping)
    own = {name: fields.pop(name) for name in ("number", "version", "config", "summary", "note")}
    read = {
        "job": read_fields(fields, JobStatus),
        "config": read_config(own["config"]),
        "summary": None if own["summary"] is None else read_document(own["summary"], RunSummary),
        "note": own["note"] or "",
    }
    return read_fields({**own, **read}, Run)


def _select_runs() -> sa.Select[tuple[object, ...]]:
    with_job = jobs.join(runs, runs.c.job_id == jobs.c.id)
    with_note = with_job.outerjoin(run_notes, run_notes.c.job_id == jobs.c.id)
    own = (column for column in runs.c if column.name != "job_id")
    return sa.select(*STATUS_COLUMNS, *own, run_notes.c.note).select_from(with_note)


def get_run(engine: sa.Engine, run_id: str) -> Run:
    """Return a run.

    Raises:
        NotFoundError: If there is none.
    """
    gone = "This run is not here. It was deleted, or the address is wrong. Go to Train to see your runs."
    return _run(read_row(engine, _select_runs().where(jobs.c.id == run_id), gone))


def list_runs(engine: sa.Engine, project_id: str) -> list[Run]:
    """Return the runs of a project, newest first."""
    return read_runs(engine, project_id)[0]


def read_runs(engine: sa.Engine, project_id: str) -> tuple[list[Run], list[Unreadable]]:
    """Return the runs of a project, newest first, and those that this version cannot read."""
    query = _select_runs().where(jobs.c.project_id == project_id).order_by(runs.c.number.desc())
    return read_all(engine, query, _run, lambda row: f"Run {row.number}")


def write_metrics(
    connection: sa.Connection, run_id: str, attempt: int, epoch: float, values: Mapping[str, float]
) -> None:
    """Add one point to each named curve, as the worker of that attempt.

    A value that is no number, as the loss of a training that diverged, is left out: SQLite cannot hold it.
    """
    write_job(connection, run_id, attempt)
    rows = [
        {"job_id": run_id, "epoch": epoch, "name": name, "value": float(value)}
        for name, value in values.items()
        if math.isfinite(value)
    ]
    if rows:
        connection.execute(sa.insert(metrics), rows)


def go_back_to_epoch(
    connection: sa.Connection, run_id: str, attempt: int, curve: Sequence[Mapping[str, float]]
) -> None:
    """Let a run's curves end with an epoch from which it goes on, as the worker of that attempt.

    Points that were written after it go; those that were lost with the process come back.

    Args:
        connection: Of a transaction that writes.
        run_id: The run.
        attempt: Whose worker this is.
        curve: The values at the end of each epoch so far; without any the curves become empty.
    """
    write_job(connection, run_id, attempt)
    own = metrics.c.job_id == run_id
    connection.execute(sa.delete(metrics).where(own, metrics.c.epoch > len(curve)))
    if not curve:
        connection.execute(sa.delete(metrics).where(own))
    there = connection.execute(sa.select(metrics.c.epoch, metrics.c.name).where(own))
    known = {(row.epoch, row.name) for row in there}
    for epoch, values in enumerate(curve, start=1):
        lost = {name: value for name, value in values.items() if (float(epoch), name) not in known}
        if lost:
            write_metrics(connection, run_id, attempt, float(epoch), lost)


def failed_twins(engine: sa.Engine, run: Run) -> list[str]:
    """Return the ids of runs that failed at the same task, newest first: same settings on the same pictures."""
    query = sa.select(jobs.c.id).join(runs, runs.c.job_id == jobs.c.id).where(jobs.c.project_id == run.job.project_id)
    same = query.where(jobs.c.state == "failed", runs.c.summary.is_(None), runs.c.version == run.version)
    rows = read_rows(engine, same.where(runs.c.config == write_document(run.config)).order_by(runs.c.number.desc()))
    return [str(row.id) for row in rows]


def last_metric(engine: sa.Engine, run_id: str) -> int | None:
    """Return what changes whenever a point is added to a run's curves; `None` while there is none."""
    last: int | None = read_value(engine, sa.select(sa.func.max(metrics.c.id)).where(metrics.c.job_id == run_id))
    return last


def read_metrics(engine: sa.Engine, run_id: str) -> list[MetricPoint]:
    """Return all points of a run's curves, in the order in which they were written."""
    query = sa.select(metrics.c.epoch, metrics.c.name, metrics.c.value).where(metrics.c.job_id == run_id)
    points = []
    for row in read_rows(engine, query.order_by(metrics.c.id)):
        with suppress(UnreadableError):  # the curve goes on without a damaged point
            points.append(read_fields(row._mapping, MetricPoint))
    return points


def write_summary(connection: sa.Connection, run_id: str, attempt: int, summary: RunSummary) -> None:
    """Store what a run reached, as the worker of that attempt."""
    write_job(connection, run_id, attempt)
    connection.execute(sa.update(runs).where(runs.c.job_id == run_id).values(summary=write_document(summary)))
