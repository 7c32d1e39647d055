"""A reserve of disk space: given up first on a full disk, so that the database opens and deleting works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import filelock

from tlcore.home import RESERVE_BYTES, DataRoot, free_bytes

PLENTY_BYTES = 4 * RESERVE_BYTES

STEP_BYTES = 1 << 20
"""By so much the reserve is smaller where there is no room for all of it."""

LOAN_BYTES = 256 << 10
"""So much is lent to a few rows; they take a page or two of the database's journal."""

LOAN_STEP_BYTES = 16 << 10
"""By so much less comes back of a loan where something of it was used."""

LOCK_SECONDS = 30.0
"""How long one waits for another who has borrowed the reserve: as long as for the database."""


def keep_reserve(home: DataRoot) -> None:
    """Make the reserve where it is missing or too small; a disk that is almost full gives less of it, or none."""
    with _alone(home):
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
    """Lend the reserve to a transaction that deletes, for a `with` statement: it writes before it makes room.

    Only to the transaction: while it is lent, other programs can take it. Files go without it.
    """
    with _alone(home):
        had = give_up_reserve(home)
        try:
            yield
        finally:
            if had:
                _grow(home.reserve_path, RESERVE_BYTES, STEP_BYTES)


@contextmanager
def with_loan(home: DataRoot) -> Iterator[None]:
    """Lend a little of the reserve to a few rows that people must see on a full disk, for a `with` statement."""
    path, size = home.reserve_path, 0
    with _alone(home):
        with suppress(OSError):
            size = path.stat().st_size
            os.truncate(path, max(0, size - LOAN_BYTES))
        try:
            yield
        finally:
            if size:
                _grow(path, size, LOAN_STEP_BYTES, begin=False)


@contextmanager
def _alone(home: DataRoot) -> Iterator[None]:
    """Let one after the other have the reserve, for a `with` statement: the second would find it lent already."""
    lock = filelock.FileLock(home.reserve_lock_path, timeout=LOCK_SECONDS)
    with suppress(filelock.Timeout, OSError):  # without it the second may be refused, and tries again
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _grow(path: Path, size: int, step: int, *, begin: bool = True) -> None:
    """Let a file take up so much room, or some steps less where there is not enough; what it has it keeps.

    Args:
        path: The file.
        size: How large it shall be.
        step: How much smaller it may be, or a multiple of it.
        begin: Whether a missing file is made.
    """
    flags = os.O_RDWR | getattr(os, "O_BINARY", 0) | (os.O_CREAT if begin else 0)
    with suppress(OSError), os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0) as file:
        there = file.seek(0, os.SEEK_END)
        if there > RESERVE_BYTES:  # two of an earlier version made it at the same time
            file.truncate(RESERVE_BYTES)
        while size > there:
            try:
                _take_room(file, there, size)
                return
            except OSError:
                file.truncate(there)
                size -= step
    with suppress(OSError):
        if not path.stat().st_size:
            path.unlink()


def _take_room(file: BinaryIO, start: int, end: int) -> None:
    """Take up the room between two places of a file, and none beyond: somebody else may do the same.

    Raises:
        OSError: If the disk has not so much room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, end)
        return
    file.seek(start)
    while start < end:
        start += file.write(bytes(end - start))
