"""Who people are: what they call themselves, when they came last, and the code with which another browser becomes them.

A person is a browser with its anonymous identity. A code leads to that identity from elsewhere; of a code only a
fingerprint is kept, made with the secret of the identities, so that a copy of the database opens nothing.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from tlcore.errors import StorageError
from tlcore.home import DataRoot
from tlcore.storage.database import (
    Source,
    guests,
    is_time,
    now,
    people,
    projects,
    read_rows,
    read_value,
    turns,
    write_few,
    writing,
)
from tlcore.storage.deletion import delete_project
from tlcore.storage.identities import read_identities
from tlcore.storage.projects import printable_line
from tlcore.storage.reserve import with_reserve

MAX_CALLED_LENGTH = 40

CODE_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
"""Without those that look alike on paper: 0 and O, 1 and I and L, U and V."""

CODE_LENGTH = 10
"""49 bits: thirty letters and digits to the tenth."""

CODE_GROUP = 5
NOTE_SECONDS = 600.0
"""A visit is noted at most so often, so that looking at pages writes next to nothing."""

MOST_NOTED = 10_000
_AT_ONCE = 500
"""So many are forgotten in one transaction."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has come.

    Attributes:
        owner: Their identity, to which projects belong.
        name: What they call themselves, empty without a name.
        number: Counts those who have come, from 1; 0 where that is not known.
        seen: When they came last, in seconds since 1970; 0 where that is not known.
        admitted: Whether they have said the class code, or were there before it.
        removed: Whether the teacher has removed them from the class: nobody comes back by a code or without one.
    """

    owner: str
    name: str
    number: int
    seen: float
    admitted: bool
    removed: bool = False

    @property
    def called(self) -> str:
        """What others call them: as typed, so make it safe where Markdown is read."""
        return called(self.name, self.number) or "A person without a name"


def called(name: object, number: object) -> str:
    """Return what a person is called by the columns of their row; empty where they are damaged, or nobody knows."""
    if isinstance(name, str) and name:
        return name
    return f"Person {number}" if isinstance(number, int) and number else ""


_noted: dict[tuple[str, str], float] = {}
_noting = threading.Lock()


def is_visit_due(engine: sa.Engine, owner: str) -> bool:
    """Whether a visit of this person is to be noted: none was in this process for `NOTE_SECONDS`."""
    return time.monotonic() - _noted.get((str(engine.url), owner), float("-inf")) >= NOTE_SECONDS


def note_visit(engine: sa.Engine, owner: str) -> None:
    """Note that somebody is here, at most once in `NOTE_SECONDS`; whoever comes for the first time gets a number.

    It fails in silence, as on a full disk: no page stays closed for it, and the next visit is noted.
    """
    with _noting:
        if not is_visit_due(engine, owner):
            return
        if len(_noted) >= MOST_NOTED:
            _noted.clear()
        _noted[str(engine.url), owner] = time.monotonic()
    try:
        with writing(engine) as connection:
            _change(connection, owner, seen=now())
    except (StorageError, sa.exc.DatabaseError):
        with _noting:
            _noted.pop((str(engine.url), owner), None)


def read_person(source: Source, owner: str) -> Person:
    """Return what is known of somebody, who need not have been noted yet."""
    for row in read_rows(source, _COLUMNS.where(people.c.owner == owner)):
        return _person(row)
    return Person(owner, "", 0, 0.0, False)


def list_people(engine: sa.Engine) -> list[Person]:
    """Return all who have come, in the order in which they came first."""
    return sorted(map(_person, read_rows(engine, _COLUMNS)), key=lambda person: (person.number, person.owner))


def list_owners(engine: sa.Engine) -> list[Person]:
    """Return those who have come and have projects: few, where thousands have come once."""
    with_projects = sa.select(projects.c.owner)
    return [_person(row) for row in read_rows(engine, _COLUMNS.where(people.c.owner.in_(with_projects)))]


def count_people(engine: sa.Engine) -> int:
    """Return how many have come; those count too who have projects from before people were noted."""
    return int(read_value(engine, sa.select(sa.func.count()).select_from(_everybody())))


def people_page(engine: sa.Engine, start: int, number: int) -> list[Person]:
    """Return some of those who are counted by `count_people`, in the order in which they came first.

    Args:
        engine: The database.
        start: How many to leave out.
        number: How many to return.
    """
    all_ = _everybody()
    query = sa.select(all_.c.owner).outerjoin(people, people.c.owner == all_.c.owner)
    # Those from before people were noted have no number, and come last.
    query = query.order_by(people.c.number.is_(None), people.c.number, all_.c.owner).offset(start).limit(number)
    owners = [str(row.owner) for row in read_rows(engine, query)]
    known = {
        person.owner: person for person in map(_person, read_rows(engine, _COLUMNS.where(people.c.owner.in_(owners))))
    }
    # Nobody asks for the class code again of those who were there before it.
    return [known.get(owner) or Person(owner, "", 0, 0.0, True) for owner in owners]


def _everybody() -> sa.Subquery:
    return sa.union(sa.select(people.c.owner), sa.select(projects.c.owner)).subquery()


def rename_person(engine: sa.Engine, owner: str, name: str) -> None:
    """Let somebody be called by another name; an empty one takes the name away.

    Raises:
        StorageError: If the disk is full or cannot be written.
    """
    with writing(engine) as connection:
        _change(connection, owner, name=printable_line(name, MAX_CALLED_LENGTH))


def admit(engine: sa.Engine, owner: str) -> None:
    """Let somebody in without asking for the class code again, also after they were removed; on a full disk too.

    Raises:
        StorageError: If nothing is left of the reserve, or the database cannot be written.
    """
    write_few(engine, lambda connection: _change(connection, owner, admitted=True, removed=False))


def remove_from_class(engine: sa.Engine, owner: str) -> None:
    """Let somebody in no more, whatever they say and whatever class code there is, until `admit` is called for them.

    Raises:
        StorageError: If nothing is left of the reserve, or the database cannot be written.
    """
    write_few(engine, lambda connection: _change(connection, owner, admitted=False, removed=True))


def admit_owners_of_projects(connection: sa.Connection) -> None:
    """Let in who has projects, in an open transaction: they were there before there was a class code.

    Whoever was removed from the class stays removed.
    """
    for owner in connection.execute(sa.select(projects.c.owner).distinct()).scalars().all():
        _change(connection, owner, admitted=True)


def new_code(engine: sa.Engine, owner: str) -> str:
    """Make a code that leads to a person from any browser, and return it, in groups; the one before leads nowhere.

    Raises:
        StorageError: If the disk is full or cannot be written.
    """
    letters = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
    fingerprint = _fingerprint(letters)  # before the transaction: the first time, the secret reads the database too
    with writing(engine) as connection:
        _change(connection, owner, code=fingerprint)
    return "-".join(letters[place : place + CODE_GROUP] for place in range(0, CODE_LENGTH, CODE_GROUP))


def has_code(engine: sa.Engine, owner: str) -> bool:
    """Whether a code leads to a person."""
    return read_value(engine, sa.select(people.c.code).where(people.c.owner == owner)) is not None


def owner_by_code(engine: sa.Engine, code: str) -> str | None:
    """Return to whom a code leads, typed in any case, with or without spaces and dashes; `None` if to nobody."""
    letters = plain_code(code)
    if len(letters) != CODE_LENGTH:
        return None
    owner = read_value(engine, sa.select(people.c.owner).where(people.c.code == _fingerprint(letters)))
    return owner if isinstance(owner, str) else None


def plain_code(typed: str) -> str:
    """Return the letters and digits of a code, in capitals."""
    return "".join(character for character in typed.upper() if character.isalnum())


def count_projects(source: Source, owner: str) -> int:
    """Return how many projects somebody has."""
    query = sa.select(sa.func.count()).select_from(projects).where(projects.c.owner == owner)
    return int(read_value(source, query))


def delete_person(engine: sa.Engine, owner: str, home: DataRoot) -> None:
    """Remove a person: their projects with all that belongs to them, their name, code, turns and what they look at.

    A browser that still has their cookie comes as somebody new.

    Args:
        engine: The database.
        owner: The person; nothing happens if nothing is known of them.
        home: The data root.

    Raises:
        StorageError: If the database cannot be written; what was deleted by then is gone.
    """
    for row in read_rows(engine, sa.select(projects.c.id).where(projects.c.owner == owner)):
        delete_project(engine, row.id, home)
    with with_reserve(home), writing(engine) as connection:
        _forget(connection, [owner])
    with _noting:
        _noted.pop((str(engine.url), owner), None)


def remove_unseen(engine: sa.Engine, home: DataRoot, is_over: Callable[[float], bool]) -> int:
    """Forget those who have no projects and were not seen for long, and return how many.

    Whoever was removed from the class stays so; one of whom it is not known when they came stays too.

    Args:
        engine: The database.
        home: The data root.
        is_over: Tells of the time of a last visit whether it is that long ago.
    """
    without = people.c.owner.not_in(sa.select(projects.c.owner))
    gone = []
    for person in map(_person, read_rows(engine, _COLUMNS.where(without))):
        if person.seen and not person.removed and is_over(person.seen):
            gone.append(person.owner)
    for start in range(0, len(gone), _AT_ONCE):
        with with_reserve(home), writing(engine) as connection:
            some = sa.select(people.c.owner).where(people.c.owner.in_(gone[start : start + _AT_ONCE]), without)
            _forget(connection, list(connection.execute(some).scalars()))
    return len(gone)


def _forget(connection: sa.Connection, owners: Sequence[str]) -> None:
    for table in (people, guests, turns):
        connection.execute(sa.delete(table).where(table.c.owner.in_(owners)))


def bring_along(engine: sa.Engine, owner: str, to: str) -> None:
    """Give all that belongs to one identity to another one, both of the same person, in one transaction.

    Jobs belong to projects, so they go on. What the person may look at comes along, their turns in the lines and, where
    the other identity has none, their name. No quota holds this up, as it would only keep apart what is one person's;
    `tlcore.storage.room.beyond_together` says before what it means for them.

    Args:
        engine: The database.
        owner: The identity that is given up; its code leads nowhere afterwards.
        to: The identity that stays.

    Raises:
        StorageError: If the disk is full or cannot be written.
    """
    if owner == to:
        return
    with writing(engine) as connection:
        connection.execute(sa.update(projects).where(projects.c.owner == owner).values(owner=to))
        _join_guests(connection, owner, to)
        _join_turns(connection, owner, to)
        left, kept = (
            next(map(_person, connection.execute(_COLUMNS.where(people.c.owner == one))), None) for one in (owner, to)
        )
        connection.execute(sa.delete(people).where(people.c.owner == owner))
        if left is not None:
            both = [one for one in (left, kept) if one is not None]
            # A person who was removed does not come back as another one, who is the same.
            removed = any(one.removed for one in both)
            values: dict[str, object] = {
                "admitted": not removed and any(one.admitted for one in both),
                "removed": removed,
            }
            if left.name and not (kept is not None and kept.name):
                values["name"] = left.name
            _change(connection, to, **values)


_COLUMNS = sa.select(
    people.c.owner,
    people.c.name,
    people.c.number,
    people.c.seen,
    # As it lies there: SQLite keeps in a column whatever a fault has put there.
    sa.type_coerce(people.c.admitted, sa.Integer).label("admitted"),
    sa.type_coerce(people.c.removed, sa.Integer).label("removed"),
)


def _person(row: sa.Row[tuple[object, ...]]) -> Person:
    """Return what can be read of a row: a damaged field is as if nobody had filled it."""
    fields = row._mapping
    name, number, seen = fields["name"], fields["number"], fields["seen"]
    return Person(
        owner=str(fields["owner"]),
        name=name if isinstance(name, str) else "",
        number=number if isinstance(number, int) else 0,
        seen=float(seen) if is_time(seen) else 0.0,
        admitted=fields["admitted"] in (1, True),
        removed=fields["removed"] in (1, True),
    )


def _change(connection: sa.Connection, owner: str, **values: object) -> None:
    """Change what is kept of somebody, who gets a row and a number at the first time."""
    changed = sa.update(people).where(people.c.owner == owner).values(**values)
    if connection.execute(changed).rowcount:
        return
    # Not the maximum that the database finds: a damaged number would count as the largest.
    numbers = [number for number in connection.execute(sa.select(people.c.number)).scalars() if isinstance(number, int)]
    row = {"owner": owner, "number": max(numbers, default=0) + 1, "seen": now(), **values}
    connection.execute(sa.insert(people).values(**row))


def _join_guests(connection: sa.Connection, owner: str, to: str) -> None:
    own = sa.select(projects.c.id).where(projects.c.owner == to)
    connection.execute(sa.delete(guests).where(guests.c.owner.in_((owner, to)), guests.c.project_id.in_(own)))
    opened = sa.select(guests.c.code).where(guests.c.owner == to)
    connection.execute(sa.delete(guests).where(guests.c.owner == owner, guests.c.code.in_(opened)))
    connection.execute(sa.update(guests).where(guests.c.owner == owner).values(owner=to))


def _join_turns(connection: sa.Connection, owner: str, to: str) -> None:
    """Let the later turn of the two count in each line, so that nobody gets in front by it."""
    both = sa.select(turns.c.kind, sa.func.max(turns.c.turn).label("turn")).where(turns.c.owner.in_((owner, to)))
    last = connection.execute(both.group_by(turns.c.kind)).all()
    connection.execute(sa.delete(turns).where(turns.c.owner.in_((owner, to))))
    for row in last:
        connection.execute(sa.insert(turns).values(kind=row.kind, owner=to, turn=row.turn))


def _fingerprint(letters: str) -> str:
    return read_identities(DataRoot.configured()).fingerprint("code", letters)
