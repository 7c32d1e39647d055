"""Simple heads on frozen features that were trained: how good they are, and where their files are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from tlcore.config import HeadConfig, ModelConfig
from tlcore.documents import read_document
from tlcore.home import DataRoot
from tlcore.storage.configs import Unreadable, check_model, read_all
from tlcore.storage.database import jobs
from tlcore.storage.requests import SimpleHeadKind, SimpleHeadResult, SimpleHeadsRequest, SimpleHeadsResult


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


def list_simple_heads(engine: sa.Engine, project_id: str) -> list[TrainedSimpleHead]:
    """Return the trained heads of a project, newest first; of those on the same pictures and backbone the last."""
    newest: dict[tuple[int, ModelConfig], list[TrainedSimpleHead]] = {}
    for heads in read_simple_heads(engine, project_id)[0]:
        for head in heads[:1]:
            newest.setdefault((head.version, head.model), heads)
    return [head for heads in newest.values() for head in heads]


def read_simple_heads(engine: sa.Engine, project_id: str) -> tuple[list[list[TrainedSimpleHead]], list[Unreadable]]:
    """Return the trained heads of each job in a project, newest first, and the jobs that this version cannot read."""
    query = (
        sa.select(jobs.c.id, jobs.c.request, jobs.c.result)
        .where(jobs.c.project_id == project_id, jobs.c.kind == "simple_heads", jobs.c.result.is_not(None))
        .order_by(jobs.c.created.desc(), jobs.c.id)
    )
    return read_all(engine, query, _heads, lambda _row: "Simple heads")


def _heads(row: sa.Row[tuple[str, str | None, str | None]]) -> list[TrainedSimpleHead]:
    request = read_document(row.request, SimpleHeadsRequest)
    check_model(request.model)
    heads = read_document(row.result, SimpleHeadsResult).heads
    return [TrainedSimpleHead(row.id, request.version, request.model, head) for head in heads]
