"""A reserve of disk space: given up first on a full disk, so that the database opens and deleting works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tlcore.home import DataRoot, free_bytes

RESERVE_BYTES = 8 << 20
"""More than the journal of a large deletion: what SQLite writes before it makes room."""

PLENTY_BYTES = 4 * RESERVE_BYTES

STEP_BYTES = 1 << 20
"""By so much the reserve is smaller where there is no room for all of it."""

LOAN_BYTES = 256 << 10
"""So much is lent to a few rows; they take a page or two of the database's journal."""

LOAN_STEP_BYTES = 16 << 10
"""By so much less comes back of a loan where something of it was used."""


def keep_reserve(home: DataRoot) -> None:
    """Make the reserve where it is missing or too small; a disk that is almost full gives less of it, or none."""
    _grow(home.reserve_path, RESERVE_BYTES, STEP_BYTES)


def mend_reserve(home: DataRoot) -> None:
    """Make what is missing of the reserve, where there is so much room that nobody waits for it."""
    if free_bytes(home) > PLENTY_BYTES:
        keep_reserve(home)


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


@contextmanager
def with_loan(home: DataRoot) -> Iterator[None]:
    """Lend a little of the reserve to a few rows that people must see on a full disk, for a `with` statement."""
    path, size = home.reserve_path, 0
    with suppress(OSError):
        size = path.stat().st_size
        os.truncate(path, max(0, size - LOAN_BYTES))
    try:
        yield
    finally:
        if size:
            _grow(path, size, LOAN_STEP_BYTES, begin=False)


def _grow(path: Path, size: int, step: int, *, begin: bool = True) -> None:
    """Let a file take up so much room, or some steps less where there is not enough; what it has it keeps.

    Args:
        path: The file.
        size: How large it shall be.
        step: How much smaller it may be, or a multiple of it.
        begin: Whether a missing file is made.
    """
    with suppress(OSError), path.open("ab" if begin else "rb+") as file:
        there = file.seek(0, os.SEEK_END)
        while size > there:
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.write(bytes(size - there))
                    file.flush()
                return
            except OSError:
                size -= step
    with suppress(OSError):
        if not path.stat().st_size:
            path.unlink()
