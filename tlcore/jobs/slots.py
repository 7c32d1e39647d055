"""How many training runs work at the same time, and with how many cores each.

This module needs nothing but Python itself: the app's start asks it before there is an environment.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tlcore.errors import RunError

if TYPE_CHECKING:
    from tlcore.storage.jobs import JobKind

SLOTS_VARIABLE = "TRANSFER_LAB_SLOTS"
THREADS_VARIABLE = "TRANSFER_LAB_THREADS"

CORES_PER_RUN = 2
GB_PER_RUN = 3.0
"""A run takes about 1 GB; the rest is for the pages, for the other kinds of jobs, and for the system."""

# A control group is how a container limits memory; the system reports that of the whole machine all the same.
MEMORY_LIMIT_FILES = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def check_settings() -> None:
    """Refuse settings that are no whole numbers.

    Raises:
        RunError: If there is one.
    """
    for variable in (SLOTS_VARIABLE, THREADS_VARIABLE):
        _whole_number(variable)


def _whole_number(variable: str) -> int | None:
    """Return what a setting says; `None` when it says nothing."""
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise RunError(
            f"The setting {variable} must be a whole number from 1 on. It is now {text}. Change it, or take it away: "
            "then Transfer Lab chooses."
        )
    return int(text)


def num_slots() -> int:
    """Return how many runs work at the same time: 1, unless the setting says otherwise."""
    with suppress(RunError):  # the app's start has refused it in words; what is there goes on, one after the other
        return _whole_number(SLOTS_VARIABLE) or 1
    return 1


def slots_of(kind: JobKind) -> int:
    """Return how many jobs of a kind work at the same time: runs in all slots, the others one after the other."""
    return num_slots() if kind == "run" else 1


def slots_for(cores: int, memory_gb: float) -> int:
    """Return how many runs a machine bears: one for every 2 cores, and one for every 3 GB of memory."""
    return max(1, min(cores // CORES_PER_RUN, int(memory_gb / GB_PER_RUN)))


def shares(*, is_shared: bool) -> dict[str, str]:
    """Return the settings that share this machine among runs, as variables of the environment.

    One person alone has one run at a time, with all cores: that is the fastest. A class has as many runs as the machine
    bears, or some would wait for the longest run of somebody else; each then has its part of the cores.

    Args:
        is_shared: Whether others use the app too. One core stays free for the pages then, or they would wait for every
            training.

    Raises:
        RunError: If a setting is no whole number.
    """
    cores = os.cpu_count() or 1
    slots = _whole_number(SLOTS_VARIABLE) or (slots_for(cores, memory_bytes() / 1e9) if is_shared else 1)
    for_runs = max(1, cores - 1) if is_shared else cores
    # Rounded up: a core that no run may use helps nobody, and the pages have the right of way.
    threads = _whole_number(THREADS_VARIABLE) or -(-for_runs // slots)
    return {SLOTS_VARIABLE: str(slots), THREADS_VARIABLE: str(threads)}


def memory_bytes() -> int:
    """Return how much memory this machine has, or the container that we are in."""
    limits = [_machine_bytes()]
    for path in MEMORY_LIMIT_FILES:
        with suppress(OSError, ValueError):  # not in a control group, or it says `max`
            limits.append(int(path.read_text("ascii")))
    return min(limits)


def _machine_bytes() -> int:
    if sys.platform == "win32":
        import ctypes

        kilobytes = ctypes.c_ulonglong(0)
        ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
        return 1024 * kilobytes.value
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
