"""What long work does when the disk is full: it keeps what it has, says so, and goes on as soon as there is room."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tlcore.errors import FullDiskError, StorageError
from tlcore.home import DISK_IS_FULL, DataRoot, is_for_want_of_room, is_full, spare_bytes
from tlcore.progress import Progress, StopRequested

LOOK_SECONDS = 1.0

MORE_BYTES = 1 << 20
"""When there is so much more room than just after a failure, it is tried again at once."""

TRY_SECONDS = 10.0
LONGEST_TRY_SECONDS = 300.0
"""After so long it is tried again where the disk has some room: not every limit shows as free space. Each time it is
twice as long, as what is written may have taken minutes to calculate."""

STOPPED_SECONDS = 240.0
"""How long what was stopped waits to keep what it has; less than the time after which it is ended by force."""

T = TypeVar("T")


class DiskWait:
    """Repeats what could not be written for want of room, for one job.

    Args:
        home: On whose disk it is.
        progress: Told that the work waits; may ask to stop.
        is_patient: Whether the work waits at all; otherwise the first failure is its end.

    Attributes:
        waited_seconds: How long the work has waited so far: that says nothing about how long it takes.
    """

    def __init__(self, home: DataRoot, progress: Progress, *, is_patient: bool = True) -> None:
        self._home = home
        self._progress = progress
        self._is_patient = is_patient
        self.waited_seconds = 0.0

    def wait(self) -> None:
        """Wait as long as the disk is full.

        Raises:
            StopRequested: If the person asked to stop meanwhile.
        """
        if self._is_patient:
            self.repeat(self._check)

    def _check(self) -> None:
        if is_full(self._home):
            raise FullDiskError(DISK_IS_FULL)

    def repeat(self, write: Callable[[], T], *, at_the_end: bool = False) -> T:
        """Return what a function returns, called again and again as long as there is no room for what it writes.

        Args:
            write: What needs room. It leaves nothing behind when there is not enough, and may be called again.
            at_the_end: Whether it keeps what a job has reached. A wish to stop is fulfilled by just that, so it ends
                the waiting only after `STOPPED_SECONDS`.

        Raises:
            StopRequested: If the person asked to stop meanwhile, unless `at_the_end`.
            StorageError: If there was no room for too long after such a wish, or at once where the work is not patient.
        """
        stopped: float | None = None
        pause = TRY_SECONDS
        while True:
            try:
                return write()
            except StorageError as error:
                if not self._is_patient or self._is_too_late(stopped) or not is_for_want_of_room(error):
                    raise
            tried = time.monotonic()
            try:
                stopped = self._wait(tried + pause, stopped, at_the_end=at_the_end)
            finally:
                self.waited_seconds += time.monotonic() - tried
            pause = min(2 * pause, LONGEST_TRY_SECONDS)

    def _wait(self, time_to_try: float, stopped: float | None, *, at_the_end: bool) -> float | None:
        """Wait until it may be tried again; return when the person asked to stop, as far as that is known."""
        room = spare_bytes(self._home)
        while is_full(self._home) or not self._may_try(room, time_to_try):
            try:
                self._progress.phase("waiting_for_room")
                self._progress.check()
            except StopRequested:
                if not at_the_end:
                    raise
                stopped = time.monotonic() if stopped is None else stopped
                if self._is_too_late(stopped):
                    break
            time.sleep(LOOK_SECONDS)
        return stopped

    def _may_try(self, room: int, time_to_try: float) -> bool:
        """Whether there is more room than there was, or it is time to try whatever the disk says."""
        return spare_bytes(self._home) >= room + MORE_BYTES or time.monotonic() >= time_to_try

    @staticmethod
    def _is_too_late(stopped: float | None) -> bool:
        return stopped is not None and time.monotonic() - stopped > STOPPED_SECONDS
