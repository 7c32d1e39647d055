"""Projects whose file was refused: of them nothing came but a name."""

from __future__ import annotations

import json
from dataclasses import dataclass

import sqlalchemy as sa

from tlcore.home import DataRoot
from tlcore.storage.database import jobs, projects, read_rows
from tlcore.storage.deletion import delete_project
from tlcore.storage.jobs import ENDED_STATES


@dataclass(frozen=True, slots=True)
class Unopened:
    """A file of a project that was not opened.

    Attributes:
        name: What the project would have been called.
        reason: Why nothing of it came, in whole sentences.
    """

    name: str
    reason: str


def take_unopened(engine: sa.Engine, owner: str, home: DataRoot) -> tuple[Unopened, ...]:
    """Delete the projects of a person that are empty because their file was not opened, and say why of each.

    However the job ended (refused, stopped, its worker dead, given up, a full disk), its row is what tells.

    Args:
        engine: The database.
        owner: Whose they are.
        home: The data root.

    Raises:
        StorageError: If the database cannot be written; nothing is deleted then.
    """
    query = sa.select(projects.c.id, projects.c.name, jobs.c.kind, jobs.c.state, jobs.c.message, jobs.c.request)
    query = query.join(jobs, jobs.c.project_id == projects.c.id)
    query = query.where(projects.c.owner == owner, projects.c.version.is_(None)).order_by(jobs.c.created)
    of_projects: dict[str, list[sa.Row[tuple[str, str, str, str, str, str | None]]]] = {}
    for row in read_rows(engine, query):
        of_projects.setdefault(row.id, []).append(row)
    found = []
    for project_id, rows in of_projects.items():
        if not all(_is_unopened(row.kind, row.state, row.request) for row in rows):
            continue
        if delete_project(engine, project_id, home, only_if=projects.c.version.is_(None)):
            found.append(Unopened(str(rows[-1].name), str(rows[-1].message)))
    return tuple(found)


def _is_unopened(kind: str, state: str, request: str | None) -> bool:
    if kind != "import" or state not in ENDED_STATES or state == "finished":
        return False
    try:
        return json.loads(request or "{}").get("is_project") is True
    except (ValueError, TypeError, AttributeError, RecursionError):
        return False
