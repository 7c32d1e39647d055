"""Projects that nobody opens any more go after some time, where whoever runs the server wants that.

None goes of which Home has not said so on seven days before, whatever the setting was meanwhile. What counts are days
on which the server was seen running, see `server_days`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from tlcore.errors import NotFoundError, StorageError, UnreadableError
from tlcore.home import DataRoot
from tlcore.storage.database import is_time, jobs, leavings, now, projects, read_rows, read_value, shares, write_few
from tlcore.storage.deletion import delete_project
from tlcore.storage.jobs import ACTIVE_STATES
from tlcore.storage.leftovers import KEPT_SECONDS
from tlcore.storage.people import remove_unseen
from tlcore.storage.projects import Project, get_project
from tlcore.storage.quotas import RETENTION_DAYS, UNLIMITED, WARNED_DAYS
from tlcore.storage.server_days import DAY_SECONDS, day_of, days_so_far, old_before, today

PEOPLE_DAYS = 365.0
"""For so long somebody without projects is known where projects stay for ever."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A project that nobody has opened for so long that it will go.

    Attributes:
        id: The project.
        stored: When it was opened last, as its row has it.
        announced: The day since which Home says so; `None` where it does not, or not for this setting.
        goes: When it goes at the earliest, in seconds since 1970.
    """

    id: str
    stored: object
    announced: int | None
    goes: float


def touch_project(engine: sa.Engine, project: Project) -> None:
    """Note that somebody has opened a project, at most once a day; a database that fails is tried the next time."""
    if project.touched is None or day_of(project.touched) != today():
        with suppress(StorageError):
            write_few(engine, lambda connection: note_touch(connection, project.id))


def touch_shared(engine: sa.Engine, project_id: str) -> None:
    """Note that somebody has opened a link of a project; as `touch_project`."""
    with suppress(StorageError):
        touched = read_value(engine, sa.select(projects.c.touched).where(projects.c.id == project_id))
        if not is_time(touched) or day_of(touched) != today():
            write_few(engine, lambda connection: note_touch(connection, project_id))


def note_touch(connection: sa.Connection, project_id: str) -> None:
    """Note in the caller's transaction that somebody uses a project, as who copies it does too."""
    connection.execute(sa.update(projects).where(projects.c.id == project_id).values(touched=now()))
    connection.execute(sa.delete(leavings).where(leavings.c.project_id == project_id))


def leaving_soon(engine: sa.Engine, found: Iterable[Project]) -> dict[str, float]:
    """Return when those projects go that will be deleted, in seconds since 1970, by their ids.

    Raises:
        DatasetError: If the setting is not the number that it must be.
    """
    ids = {project.id for project in found}
    return {one.id: max(one.goes, now()) for one in _candidates(engine) if one.announced is not None and one.id in ids}


def remove_untouched(engine: sa.Engine, home: DataRoot) -> list[str]:
    """Delete the projects that nobody has opened for as long as the setting says, and return their ids.

    Of what will go within a week Home is told to say so from now on; without that nothing goes later. One in which a
    job waits or works stays, and one that stands on everybody's Home or that this version cannot read.

    Raises:
        DatasetError: If the setting is not the number that it must be.
        StorageError: If the database cannot be read, or it cannot be written what Home shall say.
    """
    # What cannot be read cannot be opened either, and Home shows no more of it than its name.
    candidates = [one for one in _candidates(engine) if _is_readable(engine, one)]
    since = old_before(engine, KEPT_SECONDS)
    gone = []
    for one in candidates:
        if one.announced is not None and one.goes <= now():
            try:
                condition = _is_still_left(one)
                if delete_project(engine, one.id, home, only_if=condition, brought_before=since):
                    gone.append(one.id)
            except StorageError:  # tomorrow is another day, and the log says what it was
                _LOG.warning("A project that nobody opens could not be deleted.", exc_info=True)
    _announce(engine, [one for one in candidates if one.id not in gone])
    return gone


def _is_readable(engine: sa.Engine, one: _Candidate) -> bool:
    try:
        get_project(engine, one.id, "", of_anyone=True)
    except (NotFoundError, UnreadableError):
        return False
    return True


def _is_still_left(one: _Candidate) -> sa.ColumnElement[bool]:
    """What holds of a project that nobody has opened since it was looked at, and that has no work to do."""
    announced = sa.exists().where(leavings.c.project_id == projects.c.id, leavings.c.day == one.announced)
    is_active = sa.exists().where(jobs.c.project_id == projects.c.id, jobs.c.state.in_(ACTIVE_STATES))
    untouched = projects.c.touched.is_not_distinct_from(one.stored)
    return sa.and_(untouched, announced, sa.not_(is_active), sa.not_(_is_for_all()))


def _is_for_all() -> sa.ColumnElement[bool]:
    """Whether a project stands on everybody's Home, where it is looked at without being opened."""
    return sa.exists().where(shares.c.project_id == projects.c.id, shares.c.for_all)


def _announce(engine: sa.Engine, candidates: Collection[_Candidate]) -> None:
    """Let Home say which projects will go, from today on where it does not say so yet, and of no others."""
    stays = {one.id for one in candidates if one.announced is not None}
    new = [one for one in candidates if one.announced is None]
    there = {row.project_id for row in read_rows(engine, sa.select(leavings.c.project_id))}
    values = {"day": today(), "setting": RETENTION_DAYS.value}

    def write(connection: sa.Connection) -> None:
        for project_id in there - stays:
            connection.execute(sa.delete(leavings).where(leavings.c.project_id == project_id))
        for one in new:
            # Opened or deleted in this very moment, it does not go.
            same = sa.select(projects.c.id, *(sa.literal(value) for value in values.values()))
            same = same.where(projects.c.id == one.id, projects.c.touched.is_not_distinct_from(one.stored))
            connection.execute(sa.insert(leavings).from_select(["project_id", *values], same))

    if new or there - stays:
        write_few(engine, write)


def _candidates(engine: sa.Engine) -> list[_Candidate]:
    """Return the projects that go within a week, or would if Home had said so."""
    needed = RETENTION_DAYS.value
    if needed == UNLIMITED:
        return []
    days = days_so_far(engine)
    query = sa.select(projects.c.id, projects.c.touched, projects.c.created, leavings.c.day, leavings.c.setting)
    query = query.outerjoin(leavings, leavings.c.project_id == projects.c.id).where(sa.not_(_is_for_all()))
    found = []
    for row in read_rows(engine, query):
        touched = _last_touch(row.touched, row.created)
        if touched is None:
            continue
        # The day of the touch itself does not count.
        untouched = sum(day > day_of(touched) for day in days)
        left = needed - untouched
        if untouched < 1 or left > WARNED_DAYS:
            continue
        # A smaller setting than the one that was announced, or a clock that ran ahead then: it is said anew.
        is_known_day = row.day == today() or row.day in days
        is_said = is_known_day and isinstance(row.setting, int | float) and row.setting <= needed
        left = max(left, WARNED_DAYS - sum(day > row.day for day in days) if is_said else WARNED_DAYS)
        goes = max(now() + left * DAY_SECONDS, touched + needed * DAY_SECONDS)
        found.append(_Candidate(row.id, row.touched, row.day if is_said else None, goes))
    return found


def remove_unseen_people(engine: sa.Engine, home: DataRoot) -> int:
    """Forget those without projects who were not here for as long as the setting says, a year where it is off.

    Returns:
        How many.

    Raises:
        DatasetError: If the setting is wrong.
    """
    days = PEOPLE_DAYS if RETENTION_DAYS.value == UNLIMITED else RETENTION_DAYS.value
    before = old_before(engine, days * DAY_SECONDS)
    return remove_unseen(engine, home, lambda seen: seen < before)


def _last_touch(touched: object, created: object) -> float | None:
    """Return when a project was opened last, as far as that is known; `None` where its row is damaged."""
    for value in (touched, created):
        if is_time(value):
            return float(value)  # type: ignore[arg-type]
    return None
