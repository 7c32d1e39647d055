"""The days on which the server was seen running, by which age is told where something is deleted by itself.

A clock that somebody sets forward by a year must delete nothing. So what counts are these days: such a step adds a
single one.
"""

from __future__ import annotations

import math

import sqlalchemy as sa

from tlcore.home import DataRoot
from tlcore.storage.database import now, read_rows, read_value, server_days, write_few

DAY_SECONDS = 24 * 3600.0


def day_of(seconds: float) -> int:
    """Return the number of the day of a time in seconds since 1970, counted from the first of that year."""
    return int(seconds // DAY_SECONDS)


def today() -> int:
    """Return the number of this day."""
    return day_of(now())


def note_day(engine: sa.Engine, _home: DataRoot) -> None:
    """Note that the server runs today; on a full disk too.

    Raises:
        StorageError: If the database cannot be written.
    """
    day = today()

    def note(connection: sa.Connection) -> None:
        connection.execute(sa.delete(server_days).where(server_days.c.number == day))
        connection.execute(sa.insert(server_days).values(number=day))

    if read_value(engine, sa.select(server_days.c.number).where(server_days.c.number == day)) is None:
        write_few(engine, note)


def days_so_far(engine: sa.Engine) -> list[int]:
    """Return the days on which the server ran, without those that only a clock has shown which ran ahead."""
    rows = read_rows(engine, sa.select(server_days.c.number))
    return sorted(row.number for row in rows if isinstance(row.number, int) and row.number <= today())


def old_before(engine: sa.Engine, seconds: float) -> float:
    """Return before which time something must have come or changed last that is so many seconds old, in seconds.

    Since then the server ran on as many days and on one more, which a clock may have shown that was set forward.
    """
    days, needed = days_so_far(engine), math.ceil(seconds / DAY_SECONDS) + 1
    if len(days) < needed:
        return float("-inf")
    return min(now() - seconds, days[-needed] * DAY_SECONDS)
