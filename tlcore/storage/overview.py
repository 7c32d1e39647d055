"""What goes on on the whole server, for the teacher: who works on what, and in what order the others come."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from tlcore.documents import read_fields
from tlcore.errors import UnreadableError
from tlcore.storage.database import jobs, projects, read_rows
from tlcore.storage.jobs import ACTIVE_STATES, STATUS_COLUMNS, JobKind, JobStatus, read_line


@dataclass(frozen=True, slots=True)
class Work:
    """A job that works or waits.

    Attributes:
        job: The job.
        owner: Whose it is.
        project: What the person calls the project.
        place: Its place among those of its kind that wait, from 1; 0 while it works.
    """

    job: JobStatus
    owner: str
    project: str
    place: int


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project in a list, without its settings.

    Attributes:
        id: The project.
        owner: Whose it is.
        name: What the person calls it.
    """

    id: str
    owner: str
    name: str


def read_work(engine: sa.Engine) -> list[Work]:
    """Return all jobs that work, the oldest first, then those that wait, kind by kind as their turns come.

    A damaged row hides no other one.
    """
    query = sa.select(*STATUS_COLUMNS, projects.c.owner, projects.c.name.label("project"))
    query = query.join(projects, projects.c.id == jobs.c.project_id).where(jobs.c.state.in_(ACTIVE_STATES))
    working, waiting = [], []
    places: dict[JobKind, Mapping[str, int]] = {}
    for row in read_rows(engine, query.order_by(jobs.c.created, jobs.c.id)):
        fields = dict(row._mapping)
        owner, project = str(fields.pop("owner")), str(fields.pop("project"))
        with suppress(UnreadableError):
            job = read_fields(fields, JobStatus)
            if job.state != "queued":
                working.append(Work(job, owner, project, 0))
                continue
            if job.kind not in places:
                places[job.kind] = {one: place for place, one in enumerate(read_line(engine, job.kind), start=1)}
            # One that came between the two questions is the last.
            waiting.append(Work(job, owner, project, places[job.kind].get(job.id, len(places[job.kind]) + 1)))
    kinds = list(places)
    return working + sorted(waiting, key=lambda one: (kinds.index(one.job.kind), one.place))


def list_all_projects(engine: sa.Engine, owner: str | None = None) -> list[ProjectRow]:
    """Return the projects of everybody, or of one person, newest first; also those that this version cannot read."""
    query = sa.select(projects.c.id, projects.c.owner, projects.c.name)
    if owner is not None:
        query = query.where(projects.c.owner == owner)
    rows = read_rows(engine, query.order_by(projects.c.created.desc(), projects.c.id))
    return [ProjectRow(str(row.id), str(row.owner), str(row.name)) for row in rows]


def count_projects_by_person(engine: sa.Engine) -> dict[str, int]:
    """Return how many projects everybody has who has any."""
    query = sa.select(projects.c.owner, sa.func.count().label("number")).group_by(projects.c.owner)
    return {str(row.owner): int(row.number) for row in read_rows(engine, query)}
