"""A reserve of disk space: given up first on a full disk, so that the database opens and deleting works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tlcore.home import DataRoot

RESERVE_BYTES = 8 << 20
"""More than the journal of a large deletion: what SQLite writes before it makes room."""

STEP_BYTES = 1 << 20
"""By so much the reserve is smaller where there is no room for all of it."""


def keep_reserve(home: DataRoot) -> None:
    """Make the reserve where it is missing or too small; a disk that is almost full gives less of it, or none."""
    path = home.reserve_path
    with suppress(OSError):
        if path.stat().st_size >= RESERVE_BYTES:
            return
    for size in range(RESERVE_BYTES, 0, -STEP_BYTES):
        try:
            with path.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.write(bytes(size))
            return
        except OSError:
            give_up_reserve(home)


def give_up_reserve(home: DataRoot) -> bool:
    """Give the space back to the disk; return whether there was any."""
    try:
        home.reserve_path.unlink()
    except OSError:
        return False
    return True


@contextmanager
def with_reserve(home: DataRoot) -> Iterator[None]:
    """Lend the reserve to what deletes, for a `with` statement: even a deletion writes before it makes room."""
    had = give_up_reserve(home)
    try:
        yield
    finally:
        if had:
            keep_reserve(home)
