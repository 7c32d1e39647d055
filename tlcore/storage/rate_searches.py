"""Learning-rate searches: what they are for, and what they found."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from tlcore.config import RunConfig, from_json, to_json
from tlcore.errors import NotFoundError
from tlcore.storage.database import jobs, rate_searches, writing
from tlcore.storage.jobs import JobStatus, insert_job, write_job


@dataclass(frozen=True, slots=True)
class StoredSearch:
    """A snapshot of a search.

    Attributes:
        job: Its life.
        version: The data set version whose pictures it tries.
        config: The settings that it is for.
        result: What it found, a `tlcore.training.rate_search.RateSearch` as JSON; `None` until it has ended well.
    """

    job: JobStatus
    version: int
    config: RunConfig
    result: str | None


def create_search(engine: sa.Engine, project_id: str, version: int, config: RunConfig) -> str:
    """Put a search in line and return its job id.

    Raises:
        NotFoundError: If the project was deleted meanwhile.
    """
    with writing(engine) as connection:
        job_id = insert_job(connection, "search", project_id)
        connection.execute(sa.insert(rate_searches).values(job_id=job_id, version=version, config=to_json(config)))
    return job_id


def get_search(engine: sa.Engine, job_id: str) -> StoredSearch:
    """Return a search.

    Raises:
        NotFoundError: If there is none.
    """
    with engine.begin() as connection:
        row = connection.execute(_select_searches().where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError("This search is not here any more.")
    return _search(row)


def last_search(engine: sa.Engine, project_id: str) -> StoredSearch | None:
    """Return the newest search of a project."""
    query = _select_searches().where(jobs.c.project_id == project_id).order_by(jobs.c.created.desc(), jobs.c.id)
    with engine.begin() as connection:
        row = connection.execute(query.limit(1)).one_or_none()
    return None if row is None else _search(row)


def write_search_result(connection: sa.Connection, job_id: str, attempt: int, result: str) -> None:
    """Store what a search found, as the worker of that attempt."""
    write_job(connection, job_id, attempt)
    connection.execute(sa.update(rate_searches).where(rate_searches.c.job_id == job_id).values(result=result))


def _select_searches() -> sa.Select[tuple[object, ...]]:
    columns = (rate_searches.c.version, rate_searches.c.config, rate_searches.c.result)
    return sa.select(jobs, *columns).join(rate_searches, rate_searches.c.job_id == jobs.c.id)


def _search(row: sa.Row[tuple[object, ...]]) -> StoredSearch:
    fields = dict(row._mapping)
    version, config, result = (fields.pop(name) for name in ("version", "config", "result"))
    return StoredSearch(JobStatus(**fields), version, from_json(config, RunConfig), result)
