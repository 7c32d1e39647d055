"""Simple heads on frozen features: what was asked, how good they became, and where their files are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from tlcore.config import HeadConfig, ModelConfig, from_json, to_json
from tlcore.errors import NotFoundError
from tlcore.home import DataRoot
from tlcore.storage.database import jobs, simple_heads, writing
from tlcore.storage.jobs import ACTIVE_STATES, insert_job, write_job

SimpleHeadKind = Literal["logistic_regression", "nearest_neighbours", "linear_svm"]


@dataclass(frozen=True, slots=True)
class SimpleHeadsRequest:
    """What to train on.

    Attributes:
        version: The data set version.
        model: The backbone, picture size and resize mode; all of it is frozen, and its features are averaged.
    """

    version: int
    model: ModelConfig


@dataclass(frozen=True, slots=True)
class SimpleHeadResult:
    """How good one head became.

    Attributes:
        kind: Which one.
        test_correct: Test pictures that it answers right.
        test_total: Test pictures.
        trained_on: Training pictures that it learned from; no more than a limit.
        seconds: What its training took, once the features were there.
    """

    kind: SimpleHeadKind
    test_correct: int
    test_total: int
    trained_on: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainedSimpleHead:
    """A simple head that can be looked at and asked like a run's model.

    Attributes:
        job_id: The job that trained it, together with its siblings.
        version: The data set version that it learned from.
        model: The frozen part in front of it.
        result: How good it became.
    """

    job_id: str
    version: int
    model: ModelConfig
    result: SimpleHeadResult

    @property
    def id(self) -> str:
        """Stands in the address in place of a run's id; it has a dot, which those have not."""
        return f"{self.job_id}.{self.result.kind}"


def frozen_backbone(model: ModelConfig) -> ModelConfig:
    """Return the backbone of any model, all of it frozen and averaged: simple heads use its features."""
    return replace(model, first_trainable=None, also_frozen=(), head=HeadConfig(pooling="average"))


def simple_head_dir(job_id: str, kind: SimpleHeadKind, home: DataRoot) -> Path:
    """Return the folder of one head's files."""
    return home.simple_heads_dir / job_id / kind


def create_simple_heads(engine: sa.Engine, project_id: str, request: SimpleHeadsRequest) -> str:
    """Put the training of simple heads in line and return its job id.

    While one of the project waits or works, that one is returned instead: a double click never starts two.
    """
    with writing(engine) as connection:
        active = sa.select(jobs.c.id).where(
            jobs.c.project_id == project_id, jobs.c.kind == "probe", jobs.c.state.in_(ACTIVE_STATES)
        )
        existing = connection.execute(active).scalar()
        if existing is not None:
            return str(existing)
        job_id = insert_job(connection, "probe", project_id)
        connection.execute(
            sa.insert(simple_heads).values(job_id=job_id, version=request.version, model=to_json(request.model))
        )
    return job_id


def get_simple_heads_request(engine: sa.Engine, job_id: str) -> SimpleHeadsRequest:
    """Return what a job shall train on.

    Raises:
        NotFoundError: If there is no such job.
    """
    with engine.begin() as connection:
        row = connection.execute(sa.select(simple_heads).where(simple_heads.c.job_id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError("These simple heads are not here any more; their project was deleted.")
    return SimpleHeadsRequest(row.version, from_json(row.model, ModelConfig))


def write_simple_head_results(
    connection: sa.Connection, job_id: str, attempt: int, results: tuple[SimpleHeadResult, ...]
) -> None:
    """Store how good the heads became, as the worker of that attempt."""
    write_job(connection, job_id, attempt)
    connection.execute(sa.update(simple_heads).where(simple_heads.c.job_id == job_id).values(results=to_json(results)))


def list_simple_heads(engine: sa.Engine, project_id: str) -> list[TrainedSimpleHead]:
    """Return the trained heads of a project, newest first; of those on the same pictures and backbone the last."""
    query = (
        sa.select(simple_heads)
        .join(jobs, jobs.c.id == simple_heads.c.job_id)
        .where(jobs.c.project_id == project_id, simple_heads.c.results.is_not(None))
        .order_by(jobs.c.created.desc(), jobs.c.id)
    )
    with engine.begin() as connection:
        rows = connection.execute(query).all()
    newest: dict[tuple[int, str], list[TrainedSimpleHead]] = {}
    for row in rows:
        model = from_json(row.model, ModelConfig)
        results = from_json(row.results, tuple[SimpleHeadResult, ...])
        heads = [TrainedSimpleHead(row.job_id, row.version, model, result) for result in results]
        newest.setdefault((row.version, row.model), heads)
    return [head for heads in newest.values() for head in heads]
