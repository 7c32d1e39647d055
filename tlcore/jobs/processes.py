"""Worker processes: started on their own, found again, ended; the same on every platform."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil

ROOT_DIR = Path(__file__).resolve().parents[2]
KILL_SECONDS = 3.0
"""How long to wait for the end of a process that is killed; it takes a moment."""


def start_module(
    module: str, *arguments: str, log: IO[bytes], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `python -m module` in a session of its own, so that it outlives whoever started it.

    Not `multiprocessing`: its children would execute the app's script again.
    """
    path = os.pathsep.join([str(ROOT_DIR), *filter(None, [os.environ.get("PYTHONPATH")])])
    own_session: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        own_session = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT_DIR,
        env={**os.environ, **(environment or {}), "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        **own_session,
    )


def process_start_time(pid: int) -> float | None:
    """Return when a process started, `None` when it is gone or has ended but was not collected yet."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def seconds_since_start() -> float:
    """Return how long ago this process was started."""
    return max(0.0, time.time() - float(psutil.Process().create_time()))


def is_alive(pid: int | None, started: float | None) -> bool:
    """Whether exactly that process still runs; a reused process id has another start time."""
    if pid is None or started is None:
        return False
    found = process_start_time(pid)
    return found is not None and abs(found - started) < 1.0


def kill(pid: int, started: float) -> None:
    """End exactly that process and its children at once; it writes nothing any more after this."""
    if not is_alive(pid, started):
        return
    try:
        process = psutil.Process(pid)
        for child in process.children(recursive=True):
            child.kill()
        process.kill()
        process.wait(KILL_SECONDS)
    except psutil.Error:  # it was gone already, or hangs in the system
        return


def lower_priority() -> None:
    """Let the pages go first on a busy machine."""
    priority = 10
    if sys.platform == "win32":
        priority = psutil.BELOW_NORMAL_PRIORITY_CLASS
    with suppress(psutil.Error):
        psutil.Process().nice(priority)
