"""Answers to many pictures that a project keeps: which there are, where they lie, and how they go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tlcore.documents import read_document, read_fields
from tlcore.home import DataRoot
from tlcore.storage.configs import Unreadable, read_all
from tlcore.storage.database import is_time, jobs
from tlcore.storage.deletion import delete_job
from tlcore.storage.jobs import ENDED_STATES
from tlcore.storage.requests import PredictionSummary

ANSWERS_FILE = "answers.sqlite"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's answers to many pictures.

    Attributes:
        job_id: The job that asked it.
        created: When it was put in line, in seconds since 1970.
        message: Why it ended before all pictures were answered; empty when it did not.
        summary: What came of it.
    """

    job_id: str
    created: float
    message: str
    summary: PredictionSummary

    def __post_init__(self) -> None:
        if not is_time(self.created):
            raise ValueError(f"`created` must be seconds since 1970. Received: created={self.created}")


def answers_path(job_id: str, home: DataRoot) -> Path:
    """Return where the answers of a job lie."""
    return home.predictions_dir / job_id / ANSWERS_FILE


def read_predictions(engine: sa.Engine, project_id: str) -> tuple[list[Prediction], list[Unreadable]]:
    """Return what a project keeps, newest first, and what this version cannot read."""
    query = (
        sa.select(jobs.c.id, jobs.c.created, jobs.c.message, jobs.c.result)
        .where(jobs.c.project_id == project_id, jobs.c.kind == "prediction", jobs.c.result.is_not(None))
        .where(jobs.c.state.in_(ENDED_STATES))
        .order_by(jobs.c.created.desc(), jobs.c.id)
    )
    return read_all(engine, query, _prediction, lambda _row: "Answers to many pictures")


def _prediction(row: sa.Row[tuple[str, float, str, str]]) -> Prediction:
    # Not what was asked for, which names every file.
    fields = {"job_id": row.id, "created": row.created, "message": row.message}
    return read_fields({**fields, "summary": read_document(row.result, PredictionSummary)}, Prediction)


def delete_prediction(engine: sa.Engine, project_id: str, job_id: str, home: DataRoot) -> None:
    """Remove the answers of a job that has ended, and the job; nothing happens if they are not there.

    Raises:
        StorageError: If the database cannot be written; nothing is deleted then.
    """
    delete_job(engine, project_id, job_id, "prediction", home)
