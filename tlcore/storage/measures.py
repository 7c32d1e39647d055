"""Measurements of what a run will take: which settings they are for, and whether one waits or works already."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from tlcore.config import RunConfig, from_json, to_json
from tlcore.errors import NotFoundError
from tlcore.storage.database import jobs, measures, now, writing
from tlcore.storage.jobs import ACTIVE_STATES, JobStatus, insert_job


@dataclass(frozen=True, slots=True)
class MeasureRequest:
    """What to measure.

    Attributes:
        key: Identifies everything that the result depends on, from `tlcore.pricing.speeds.speeds_key`.
        version: The data set version whose pictures are used.
        config: Everything that was chosen.
    """

    key: str
    version: int
    config: RunConfig


def create_measure(engine: sa.Engine, project_id: str, request: MeasureRequest) -> str:
    """Put a measurement in line and return its job id; while one for the same key waits or works, return that one.

    Measurements of this project that still wait are for settings that nobody looks at any more: they are stopped.
    """
    with writing(engine) as connection:
        same = sa.select(jobs.c.id).join(measures, measures.c.job_id == jobs.c.id)
        existing = connection.execute(
            same.where(measures.c.key == request.key, jobs.c.state.in_(ACTIVE_STATES), jobs.c.stop_requested.is_(None))
        ).scalar()
        waiting = sa.update(jobs).where(
            jobs.c.kind == "measure",
            jobs.c.project_id == project_id,
            jobs.c.state == "queued",
            jobs.c.id != (existing or ""),
        )
        connection.execute(waiting.values(state="stopped", message="Other settings were chosen.", ended=now()))
        if existing is not None:
            return str(existing)
        job_id = insert_job(connection, "measure", project_id)
        connection.execute(
            sa.insert(measures).values(
                job_id=job_id, key=request.key, version=request.version, config=to_json(request.config)
            )
        )
    return job_id


def get_measure(engine: sa.Engine, job_id: str) -> MeasureRequest:
    """Return what a measurement is for.

    Raises:
        NotFoundError: If there is none.
    """
    with engine.begin() as connection:
        row = connection.execute(sa.select(measures).where(measures.c.job_id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError("This measurement is not here any more.")
    return MeasureRequest(row.key, row.version, from_json(row.config, RunConfig))


def last_measure(engine: sa.Engine, key: str, project_id: str, version: int) -> JobStatus | None:
    """Return the newest measurement for a key: any that waits or works, else one of this data set version."""
    of_version = sa.and_(jobs.c.project_id == project_id, measures.c.version == version)
    query = (
        sa.select(jobs)
        .join(measures, measures.c.job_id == jobs.c.id)
        .where(measures.c.key == key, sa.or_(jobs.c.state.in_(ACTIVE_STATES), of_version))
        .order_by(jobs.c.created.desc(), jobs.c.id)
        .limit(1)
    )
    with engine.begin() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else JobStatus(**row._mapping)
