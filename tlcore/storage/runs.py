"""Training runs: what was chosen, the curve so far, the summary, and the files they leave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tlcore.config import RunConfig, from_json, to_json
from tlcore.errors import NotFoundError
from tlcore.home import home_dir
from tlcore.storage.database import jobs, metrics, runs, writing
from tlcore.storage.jobs import ENDED_STATES, JobStatus, insert_job, write_job


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
    """

    best_epoch: int
    epochs: int
    validation_accuracy: float | None
    test_correct: int
    test_total: int
    trainable_parameters: int
    frozen_parameters: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """A snapshot of a run.

    Attributes:
        job: Its life.
        number: Counts the runs of a project, from 1.
        version: The data set version that it uses.
        config: What was chosen.
        summary: What it reached; `None` until it ended with a model.
    """

    job: JobStatus
    number: int
    version: int
    config: RunConfig
    summary: RunSummary | None

    @property
    def id(self) -> str:
        """The id of its job."""
        return self.job.id

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


def run_dir(run_id: str, home: Path | None = None) -> Path:
    """Return the folder of a run's files."""
    return (home or home_dir()) / "runs" / run_id


def create_run(engine: sa.Engine, project_id: str, version: int, config: RunConfig) -> str:
    """Put a run in line and return its id; while one waits or works, return that one instead.

    A double click or a second tab thus never starts two.
    """
    with writing(engine) as connection:
        active = sa.select(jobs.c.id).where(
            jobs.c.project_id == project_id, jobs.c.kind == "run", jobs.c.state.not_in(ENDED_STATES)
        )
        existing = connection.execute(active).scalar()
        if existing is not None:
            return str(existing)
        last = sa.select(sa.func.coalesce(sa.func.max(runs.c.number), 0)).join(jobs, jobs.c.id == runs.c.job_id)
        number = connection.execute(last.where(jobs.c.project_id == project_id)).scalar_one() + 1
        job_id = insert_job(connection, "run", project_id)
        connection.execute(
            sa.insert(runs).values(job_id=job_id, number=number, version=version, config=to_json(config))
        )
    return job_id


def _run(row: sa.Row[tuple[object, ...]]) -> Run:
    fields = dict(row._mapping)
    own = {name: fields.pop(name) for name in ("number", "version", "config", "summary", "job_id")}
    return Run(
        job=JobStatus(**fields),
        number=own["number"],
        version=own["version"],
        config=from_json(own["config"], RunConfig),
        summary=None if own["summary"] is None else from_json(own["summary"], RunSummary),
    )


def _select_runs() -> sa.Select[tuple[object, ...]]:
    return sa.select(jobs, runs).join(runs, runs.c.job_id == jobs.c.id)


def get_run(engine: sa.Engine, run_id: str) -> Run:
    """Return a run.

    Raises:
        NotFoundError: If there is none.
    """
    with engine.begin() as connection:
        row = connection.execute(_select_runs().where(jobs.c.id == run_id)).one_or_none()
    if row is None:
        raise NotFoundError(
            "This run is not here. It was deleted, or the address is wrong. Go to Train to see your runs."
        )
    return _run(row)


def list_runs(engine: sa.Engine, project_id: str) -> list[Run]:
    """Return the runs of a project, newest first."""
    query = _select_runs().where(jobs.c.project_id == project_id).order_by(runs.c.number.desc())
    with engine.begin() as connection:
        return [_run(row) for row in connection.execute(query)]


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


def last_metric(engine: sa.Engine, run_id: str) -> int | None:
    """Return what changes whenever a point is added to a run's curves; `None` while there is none."""
    with engine.begin() as connection:
        return connection.execute(sa.select(sa.func.max(metrics.c.id)).where(metrics.c.job_id == run_id)).scalar()


def read_metrics(engine: sa.Engine, run_id: str) -> list[MetricPoint]:
    """Return all points of a run's curves, in the order in which they were written."""
    query = sa.select(metrics.c.epoch, metrics.c.name, metrics.c.value).where(metrics.c.job_id == run_id)
    with engine.begin() as connection:
        return [MetricPoint(*row) for row in connection.execute(query.order_by(metrics.c.id))]


def write_summary(connection: sa.Connection, run_id: str, attempt: int, summary: RunSummary) -> None:
    """Store what a run reached, as the worker of that attempt."""
    write_job(connection, run_id, attempt)
    connection.execute(sa.update(runs).where(runs.c.job_id == run_id).values(summary=to_json(summary)))
