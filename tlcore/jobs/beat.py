"""The beat of the runner: by it others see that it is there and still looks after the jobs.

A runner that was paused, as by `kill -STOP`, keeps its lock, and no other one is started beside it. Nobody can know
when it wakes up, and it would go on where it was: with a job that it is about to claim, or a worker that it is about to
end. A second one would not know the first one's workers as its children, nor why they die. So it is only said that it
does not answer. Whoever paused it lets it go on, or ends it: then the next one takes over within seconds.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from tlcore.home import DataRoot
from tlcore.jobs.processes import identity_of, is_alive, is_paused

BEAT_SECONDS = 1.0

SILENT_SECONDS = 10.0
"""A runner looks after the jobs several times a second; a busy database may keep it from that for a while."""

LINE_BYTES = 128
"""The beat is always so long and written over the last one: that needs no room on a full disk."""


class Beat:
    """Written by the runner of a data root while it works."""

    def __init__(self, home: DataRoot) -> None:
        self._path = home.runner_beat_path
        self._process = f"{os.getpid()} {identity_of(os.getpid())}"
        self._written = float("-inf")

    def note(self) -> None:
        """Write that the runner looks after the jobs, once a second; call it more often."""
        if time.monotonic() - self._written < BEAT_SECONDS:
            return
        self._written = time.monotonic()
        line = f"{self._process} {self._written:.1f}".ljust(LINE_BYTES - 1) + "\n"
        with suppress(OSError):
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
            try:
                os.write(handle, line.encode("ascii"))
            finally:
                os.close(handle)


def silent_runner(home: DataRoot) -> int | None:
    """Return the process id of a runner that is there and does not answer; `None` when all is well or there is none."""
    try:
        process_id, identity, beat = home.runner_beat_path.read_text("ascii").split()
        pid, seconds = int(process_id), time.monotonic() - float(beat)
    except (OSError, ValueError):
        return None  # there never was one, or its first beat found no room
    if not is_alive(pid, identity):
        return None
    return pid if seconds > SILENT_SECONDS or is_paused(pid) else None
