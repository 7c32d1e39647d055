"""Projects: who owns them, what they are called, and the settings chosen so far."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from tlcore.config import RunConfig
from tlcore.documents import read_fields, write_document
from tlcore.errors import ConflictError
from tlcore.storage.configs import Unreadable, read_all, read_config
from tlcore.storage.database import (
    LAST_TIME,
    dataset_versions,
    guests,
    is_time,
    now,
    project_version,
    projects,
    read_row,
    shares,
    writing,
)
from tlcore.storage.room import check_projects

MAX_NAME_LENGTH = 80
GONE = "This project was deleted. Go to Home to see your projects."


@dataclass(frozen=True, slots=True)
class Project:
    """A snapshot of a project.

    Attributes:
        id: Unguessable; it stands in the address of every page.
        owner: The browser (its cookie) that made the project.
        name: What the person called it.
        created: Seconds since 1970.
        version: Number of the current data set version; `None` before the first pictures.
        config: Settings for the next run.
        visited: Names of the steps that were opened.
        touched: When somebody opened it last, to the day, in seconds since 1970; `None` where that is not known.
    """

    id: str
    owner: str
    name: str
    created: float
    version: int | None
    config: RunConfig
    visited: tuple[str, ...]
    touched: float | None = None

    def __post_init__(self) -> None:
        if not is_time(self.created):
            raise ValueError(f"`created` must be seconds since 1970. Received: created={self.created}")


def _project(row: sa.Row[tuple[object, ...]]) -> Project:
    fields = dict(row._mapping)
    fields["config"] = read_config(fields["config"], is_final=False)
    fields["touched"] = fields["touched"] if is_time(fields["touched"]) else None
    fields["visited"] = tuple(filter(None, fields["visited"].split(",")))
    return read_fields(fields, Project)


_LETS_LOOK = sa.and_(
    shares.c.kind.in_(("look", "project")),
    shares.c.created.between(0, LAST_TIME),
    sa.or_(shares.c.for_all.is_(sa.true()), shares.c.for_all.is_(sa.false())),
)
"""A link that lets look; one of whose row a field is damaged is listed as such, and opens nothing."""


def create_project(engine: sa.Engine, owner: str, name: str) -> Project:
    """Make an empty project with the default settings.

    Raises:
        QuotaError: If the person has as many as one may have.
    """
    project_id = secrets.token_urlsafe(16)
    with writing(engine) as connection:
        check_projects(connection, owner)
        connection.execute(
            sa.insert(projects).values(
                id=project_id,
                owner=owner,
                name=clean_name(name),
                created=now(),
                version=None,
                config=write_document(RunConfig()),
                visited="",
                touched=now(),
            )
        )
    return get_project(engine, project_id, owner)


def clean_name(name: str, default: str = "My project") -> str:
    """Return a printable name of at most 80 characters; `default` when nothing is left."""
    return printable_line(name, MAX_NAME_LENGTH) or default


def printable_line(text: str, max_length: int) -> str:
    """Return what can be printed of a text, on one line of at most so many characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:max_length]


def get_project(
    engine: sa.Engine, project_id: str, owner: str, *, as_guest: bool = False, of_anyone: bool = False
) -> Project:
    """Return a project of that owner.

    Args:
        engine: The database.
        project_id: The project.
        owner: Who asks.
        as_guest: Whether a project of somebody else is returned too whose link this person has opened, to look at.
        of_anyone: Whether any project is, as for the teacher, who looks at what a student needs help with.

    Raises:
        NotFoundError: If there is none, or it belongs to someone else; the text is the same for both.
    """
    may_see = projects.c.owner == owner
    if as_guest:
        of_link = sa.and_(guests.c.project_id == projects.c.id, guests.c.owner == owner, guests.c.code == shares.c.code)
        its_guest = sa.exists().where(of_link, shares.c.project_id == projects.c.id, _LETS_LOOK)
        may_see = sa.or_(may_see, its_guest)
    query = sa.select(projects).where(projects.c.id == project_id, sa.true() if of_anyone else may_see)
    gone = (
        "This project is not here. It was deleted, or it was made in another browser. Go to Home to see your projects."
    )
    return _project(read_row(engine, query, gone))


def read_projects(engine: sa.Engine, owner: str) -> tuple[list[Project], list[Unreadable]]:
    """Return the projects of an owner, newest first, and those that this version cannot read."""
    query = sa.select(projects).where(projects.c.owner == owner).order_by(projects.c.created.desc())
    return read_all(engine, query, _project, lambda row: row.name)


def rename_project(engine: sa.Engine, project_id: str, name: str, *, before: str | None = None) -> None:
    """Give a project another name; an empty one changes nothing.

    Args:
        engine: The database.
        project_id: The project.
        name: The new name.
        before: The name that the person saw; any when not given.

    Raises:
        ConflictError: If the project is not called so any more, because another tab renamed it.
    """
    name = printable_line(name, MAX_NAME_LENGTH)
    if not name:
        return
    with writing(engine) as connection:
        statement = sa.update(projects).where(projects.c.id == project_id)
        if before is not None:
            statement = statement.where(projects.c.name.in_((before, name)))
        if connection.execute(statement.values(name=name)).rowcount != 1:
            raise ConflictError("The project was given another name, or deleted, in another tab meanwhile.")


def reset_config(engine: sa.Engine, project_id: str) -> None:
    """Give a project the settings of a new one, and mend the rest of its row; its pictures, runs and results stay."""
    with writing(engine) as connection:
        of_project = projects.c.id == project_id
        row = connection.execute(sa.select(projects).where(of_project)).one_or_none()
        if row is None:
            return
        values: dict[str, object] = {"config": write_document(RunConfig())}
        if not is_time(row.created):
            values["created"] = now()
        if not isinstance(row.version, int | None):
            numbers = sa.select(sa.func.max(dataset_versions.c.number))
            values["version"] = connection.execute(numbers.where(dataset_versions.c.project_id == project_id)).scalar()
        connection.execute(sa.update(projects).where(of_project).values(**values))


def read_project_config(engine: sa.Engine, project_id: str) -> RunConfig:
    """Return the settings of a project, whosever it is.

    Raises:
        NotFoundError: If the project was deleted.
        UnreadableError: If this version cannot read them.
    """
    query = sa.select(projects.c.config).where(projects.c.id == project_id)
    return read_config(read_row(engine, query, GONE).config, is_final=False)


def update_config(engine: sa.Engine, project_id: str, change: Callable[[RunConfig], RunConfig]) -> RunConfig:
    """Change the settings for the next run in one transaction, so that two tabs keep each other's edits.

    Args:
        engine: The database.
        project_id: The project.
        change: Gets the settings as they are and returns them as they shall be.

    Raises:
        NotFoundError: If the project was deleted.
    """
    with writing(engine) as connection:
        project_version(connection, project_id)  # raises when it is gone
        text = connection.execute(sa.select(projects.c.config).where(projects.c.id == project_id)).scalar_one()
        config = change(read_config(text, is_final=False))
        connection.execute(sa.update(projects).where(projects.c.id == project_id).values(config=write_document(config)))
    return config


def mark_visited(engine: sa.Engine, project: Project, step: str) -> None:
    """Remember that a step was opened."""
    if step not in project.visited:
        with writing(engine) as connection:
            of_project = projects.c.id == project.id
            visited = connection.execute(sa.select(projects.c.visited).where(of_project)).scalar() or ""
            names = dict.fromkeys([*filter(None, visited.split(",")), step])
            connection.execute(sa.update(projects).where(of_project).values(visited=",".join(names)))
