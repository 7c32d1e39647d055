"""Links that give a project to others: to look at, or as a copy; and who has opened one."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from tlcore.documents import read_fields
from tlcore.errors import NotFoundError, UnreadableError
from tlcore.home import DataRoot
from tlcore.storage.database import (
    guests,
    is_time,
    now,
    people,
    project_version,
    projects,
    read_row,
    read_rows,
    shares,
    writing,
)
from tlcore.storage.people import called
from tlcore.storage.reserve import with_reserve
from tlcore.storage.retention import touch_shared

ShareKind = Literal["look", "pictures", "project"]
"""Look only; a copy of the data set; look, and a copy of everything."""

CODE_BYTES = 16
GONE = "This link leads nowhere. It was ended, or its project was deleted. Ask whoever gave it to you for another one."


@dataclass(frozen=True, slots=True)
class Share:
    """A link.

    Attributes:
        code: Unguessable; it stands in the address.
        project_id: The project that it gives.
        kind: What it allows.
        for_all: Whether it stands on everybody's Home.
        created: Seconds since 1970.
        name: What the project is called.
        owner: Whose project it is.
        giver: What the owner is called, as typed; empty where nobody knows.
    """

    code: str
    project_id: str
    kind: ShareKind
    for_all: bool
    created: float
    name: str
    owner: str
    giver: str = ""

    def __post_init__(self) -> None:
        if not is_time(self.created):
            raise ValueError(f"`created` must be seconds since 1970. Received: created={self.created}")

    @property
    def lets_look(self) -> bool:
        """Whether whoever has it may look at the project itself."""
        return self.kind != "pictures"

    @property
    def lets_copy(self) -> bool:
        """Whether whoever has it may make a copy."""
        return self.kind != "look"


@dataclass(frozen=True, slots=True)
class DamagedShare:
    """A link whose row is damaged.

    Attributes:
        code: Stands in the address.
        name: What its project is called.
        reason: What is wrong with it.
    """

    code: str
    name: str
    reason: str


def create_share(engine: sa.Engine, project_id: str, kind: ShareKind, *, for_all: bool = False) -> Share:
    """Make a link and return it; one of the same kind that is there already is returned instead.

    Raises:
        NotFoundError: If the project was deleted meanwhile.
    """
    values = {"project_id": project_id, "kind": kind, "for_all": for_all}
    with writing(engine) as connection:
        project_version(connection, project_id)  # raises when it is gone
        same = _select().where(*(shares.c[column] == value for column, value in values.items()))
        code = next((share.code for share in _readable(connection.execute(same).all())), None)
        if code is None:
            code = secrets.token_urlsafe(CODE_BYTES)
            connection.execute(sa.insert(shares).values(code=code, created=now(), **values))
    return find_share(engine, str(code))


def find_share(engine: sa.Engine, code: str) -> Share:
    """Return the link of a code.

    Raises:
        NotFoundError: If there is none, or not any more.
        UnreadableError: If its row is damaged.
    """
    return _share(read_row(engine, _select().where(shares.c.code == code), GONE))


def shares_of(engine: sa.Engine, project_id: str) -> list[Share]:
    """Return the links of a project, oldest first, without those whose rows are damaged."""
    return _read(engine, _select().where(shares.c.project_id == project_id))


def shares_for_all(engine: sa.Engine) -> list[Share]:
    """Return the links that stand on everybody's Home, oldest first, without those whose rows are damaged."""
    return _read(engine, _select().where(shares.c.for_all))


def shares_opened(engine: sa.Engine, project_id: str, person: str) -> list[Share]:
    """Return the links of a project that a guest of it has opened."""
    opened = sa.exists().where(guests.c.code == shares.c.code, guests.c.owner == person)
    return _read(engine, _select().where(shares.c.project_id == project_id, opened))


def projects_seen(engine: sa.Engine, person: str) -> list[Share]:
    """Return by which link a person looks at each project of others, the first one opened of each, oldest first."""
    opened = sa.exists().where(guests.c.code == shares.c.code, guests.c.owner == person)
    found: dict[str, Share] = {}
    for share in _read(engine, _select().where(opened, projects.c.owner != person)):
        found.setdefault(share.project_id, share)
    return list(found.values())


def stop_looking(engine: sa.Engine, project_id: str, person: str) -> None:
    """Let a person be a guest of a project no more; by the link one can be again."""
    with with_reserve(DataRoot.configured()), writing(engine) as connection:
        connection.execute(sa.delete(guests).where(guests.c.project_id == project_id, guests.c.owner == person))


def open_share(engine: sa.Engine, code: str, person: str) -> Share:
    """Let a person look at the project of a link that allows it, until the link is ended, and return the link.

    Raises:
        NotFoundError: If there is none, or not any more.
        UnreadableError: If its row is damaged.
    """
    share = find_share(engine, code)
    touch_shared(engine, share.project_id)
    if share.owner == person or not share.lets_look:
        return share
    values = {"project_id": share.project_id, "owner": person, "code": code}
    with writing(engine) as connection:
        if connection.execute(sa.select(shares.c.code).where(shares.c.code == code)).first() is None:
            raise NotFoundError(GONE)
        same = sa.select(guests.c.code).where(*(guests.c[column] == value for column, value in values.items()))
        if connection.execute(same).first() is None:
            connection.execute(sa.insert(guests).values(**values))
    return share


def damaged_shares(engine: sa.Engine, project_id: str | None = None) -> list[DamagedShare]:
    """Return the links whose rows cannot be read, of a project or of all: they open nothing, and can be ended."""
    query = _select() if project_id is None else _select().where(shares.c.project_id == project_id)
    found = []
    for row in read_rows(engine, query.order_by(shares.c.code)):
        try:
            _share(row)
        except UnreadableError as error:
            found.append(DamagedShare(row.code, str(row.name), str(error)))
    return found


def end_share(engine: sa.Engine, code: str) -> None:
    """End a link: who came by it, and by no other, sees nothing of the project any more; copies stay."""
    with with_reserve(DataRoot.configured()), writing(engine) as connection:
        connection.execute(sa.delete(shares).where(shares.c.code == code))


def _select() -> sa.Select[tuple[object, ...]]:
    with_project = shares.join(projects, projects.c.id == shares.c.project_id)
    tables = with_project.outerjoin(people, people.c.owner == projects.c.owner)
    giver = people.c.name.label("giver")
    # As it lies there: SQLite keeps in a column whatever a fault has put there.
    for_all = sa.type_coerce(shares.c.for_all, sa.Integer).label("for_all")
    columns = [one for one in shares.c if one.name != "for_all"]
    return sa.select(*columns, for_all, projects.c.name, projects.c.owner, giver, people.c.number).select_from(tables)


def _read(engine: sa.Engine, query: sa.Select[tuple[object, ...]]) -> list[Share]:
    return _readable(read_rows(engine, query.order_by(shares.c.created, shares.c.code)))


def _readable(rows: Sequence[sa.Row[tuple[object, ...]]]) -> list[Share]:
    found = []
    for row in rows:
        with suppress(UnreadableError):  # a damaged link is none
            found.append(_share(row))
    return found


def _share(row: sa.Row[tuple[object, ...]]) -> Share:
    fields = dict(row._mapping)
    fields["giver"] = called(fields["giver"], fields.pop("number"))
    if fields["for_all"] in (0, 1):
        fields["for_all"] = bool(fields["for_all"])
    return read_fields(fields, Share)
