"""Projects that nobody opens any more go after some time, where whoever runs the server wants that.

A clock that somebody sets forward by a year must delete nothing. So what counts are days on which the server was seen
running: such a step adds a single one.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import sqlalchemy as sa

from tlcore.errors import StorageError
from tlcore.home import DataRoot
from tlcore.storage.database import is_time, jobs, now, projects, read_rows, read_value, server_days, writing
from tlcore.storage.deletion import delete_project
from tlcore.storage.jobs import ACTIVE_STATES
from tlcore.storage.people import remove_unseen
from tlcore.storage.projects import Project
from tlcore.storage.quotas import RETENTION_DAYS, UNLIMITED

DAY_SECONDS = 24 * 3600.0
PEOPLE_DAYS = 365.0
"""For so long somebody without projects is known where projects stay for ever."""

WARNED_SECONDS = 7 * DAY_SECONDS
"""So long before a project goes its card says so; half of the time where less than two weeks are set."""


def today() -> int:
    """Return the number of this day, counted from the first of 1970."""
    return _day_of(now())


def note_day(engine: sa.Engine, _home: DataRoot) -> None:
    """Note that the server runs today.

    Raises:
        StorageError: If the database cannot be written.
    """
    day = today()
    if read_value(engine, sa.select(server_days.c.number).where(server_days.c.number == day)) is None:
        with writing(engine) as connection:
            connection.execute(sa.delete(server_days).where(server_days.c.number == day))
            connection.execute(sa.insert(server_days).values(number=day))


def touch_project(engine: sa.Engine, project: Project) -> None:
    """Note that somebody has opened a project, at most once a day; on a full disk it is noted the next time."""
    if project.touched is None or abs(now() - project.touched) >= DAY_SECONDS:
        with suppress(StorageError), writing(engine) as connection:
            connection.execute(sa.update(projects).where(projects.c.id == project.id).values(touched=now()))


def leaving_soon(engine: sa.Engine, found: Iterable[Project]) -> dict[str, float]:
    """Return when those projects go that go within a week, in seconds since 1970, by their ids.

    Raises:
        DatasetError: If the setting is no number above 0.
    """
    if RETENTION_DAYS.value == UNLIMITED:
        return {}
    days = _server_days(engine)
    leaving = {}
    for project in found:
        when = _goes_at(_last_touch(project.touched, project.created), days)
        if when is not None and when - now() <= min(WARNED_SECONDS, RETENTION_DAYS.value * DAY_SECONDS / 2):
            leaving[project.id] = max(when, now())
    return leaving


def remove_untouched(engine: sa.Engine, home: DataRoot) -> list[str]:
    """Delete the projects that nobody has opened for as long as the setting says, and return their ids.

    One in which a job waits or works stays.

    Raises:
        DatasetError: If the setting is no number above 0.
    """
    if RETENTION_DAYS.value == UNLIMITED:
        return []
    days = _server_days(engine)
    is_active = sa.exists().where(jobs.c.project_id == projects.c.id, jobs.c.state.in_(ACTIVE_STATES))
    query = sa.select(projects.c.id, projects.c.touched, projects.c.created).where(sa.not_(is_active))
    gone = []
    for row in read_rows(engine, query):
        when = _goes_at(_last_touch(row.touched, row.created), days)
        if when is not None and when <= now():
            with suppress(StorageError):  # tomorrow is another day
                delete_project(engine, row.id, home)
                gone.append(str(row.id))
    return gone


def remove_unseen_people(engine: sa.Engine, home: DataRoot) -> int:
    """Forget those without projects who were not here for as long as the setting says, a year where it is off.

    Returns:
        How many.

    Raises:
        DatasetError: If the setting is no number above 0.
    """
    needed = PEOPLE_DAYS if RETENTION_DAYS.value == UNLIMITED else RETENTION_DAYS.value
    days = _server_days(engine)

    def is_over(seen: float) -> bool:
        when = _goes_at(seen, days, needed)
        return when is not None and when <= now()

    return remove_unseen(engine, home, is_over)


def _server_days(engine: sa.Engine) -> list[int]:
    return [row.number for row in read_rows(engine, sa.select(server_days.c.number))]


def _last_touch(touched: object, created: object) -> float | None:
    """Return when a project was opened last, as far as that is known; `None` where its row is damaged."""
    for value in (touched, created):
        if is_time(value):
            return float(value)  # type: ignore[arg-type]
    return None


def _goes_at(touched: float | None, days: Iterable[int], needed: float | None = None) -> float | None:
    """Return when a project goes at the earliest that was opened last at some time; `None` for never.

    Args:
        touched: When it was opened.
        days: On which the server ran.
        needed: For how many days nobody must have opened it; as the setting says when not given.
    """
    if touched is None:
        return None
    # The day of the touch itself does not count, nor days that a clock has shown which ran ahead.
    passed = sum(_day_of(touched) < day <= today() for day in days)
    needed = RETENTION_DAYS.value if needed is None else needed
    return max(touched + needed * DAY_SECONDS, now() + max(0.0, needed - passed) * DAY_SECONDS)


def _day_of(seconds: float) -> int:
    return int(seconds // DAY_SECONDS)
