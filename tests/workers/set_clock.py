"""A wall clock that somebody sets: the file that `SET_CLOCK` names holds the seconds by which it is wrong."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

VARIABLE = "SET_CLOCK"


def follow() -> None:
    """Let this process see that clock from now on, also in the starts of processes, which are computed from it."""
    path = Path(os.environ[VARIABLE])
    right_time, right_nanoseconds, right_start = time.time, time.time_ns, psutil.Process.create_time

    def wrong_by() -> float:
        return float(path.read_text("ascii"))

    time.time = lambda: right_time() + wrong_by()
    time.time_ns = lambda: right_nanoseconds() + int(1e9 * wrong_by())
    psutil.Process.create_time = lambda self: right_start(self) + wrong_by()  # type: ignore[method-assign]
