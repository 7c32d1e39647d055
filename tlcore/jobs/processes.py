"""Worker processes: started on their own, found again, ended; the same on every platform."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

import psutil

ROOT_DIR = Path(__file__).resolve().parents[2]
KILL_SECONDS = 3.0
"""How long to wait for the end of a process that is killed; it takes a moment."""

# Fields of /proc/PID/stat after the name of the program, which may hold spaces and brackets itself.
STATE_FIELD, START_FIELD = 0, 19


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


@cache
def this_boot() -> str:
    """Return what tells one start of the computer from the next; empty where the system does not say.

    It is not the time of the start: that is computed from the clock, and moves when somebody sets the clock.
    """
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return ""


def identity_of(pid: int) -> str | None:
    """Return what tells a process from all others that had or will have its id, on a clock that nobody sets.

    On Linux that is the start of the computer and the clock ticks from there to the start of the process. Elsewhere it
    is when the process began, which these systems write down once and do not change when the clock is set.

    Returns:
        `None` when the process is gone or has ended but was not collected yet.
    """
    if sys.platform == "linux":
        fields = _stat_fields(pid)
        is_there = fields is not None and fields[STATE_FIELD] not in ("Z", "X", "x")
        return f"{this_boot()}:{fields[START_FIELD]}" if fields is not None and is_there else None
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f":{process.create_time()!r}"
    except psutil.Error:
        return None


def _stat_fields(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def is_of_another_boot(identity: str) -> bool:
    """Whether the computer was started anew since that process began; `False` where the system does not say."""
    boot, separator, _ = identity.partition(":")
    return bool(separator and boot and this_boot()) and boot != this_boot()


def is_alive(pid: int | None, identity: str | None) -> bool:
    """Whether exactly that process still runs; another one that got its id has another identity."""
    return pid is not None and identity is not None and identity_of(pid) == identity


def is_paused(pid: int) -> bool:
    """Whether somebody paused a process, as `kill -STOP` does."""
    if sys.platform == "linux":
        fields = _stat_fields(pid)
        return fields is not None and fields[STATE_FIELD] == "T"
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def seconds_since_start() -> float:
    """Return how long ago this process was started."""
    if sys.platform == "linux":
        fields = _stat_fields(os.getpid())
        if fields is not None:
            started = int(fields[START_FIELD]) / os.sysconf("SC_CLK_TCK")
            return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    return max(0.0, time.time() - float(psutil.Process().create_time()))


def kill(pid: int, identity: str | None) -> None:
    """End exactly that process and its children at once; it writes nothing any more after this."""
    if not is_alive(pid, identity):
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
