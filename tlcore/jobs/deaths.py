"""Why a worker died: the evidence for it, and words for people."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tlcore.jobs.processes import is_of_another_boot

if TYPE_CHECKING:
    from tlcore.jobs.specs import JobSpec

Cause = Literal["killed", "memory", "disk", "restart", "error", "forced", "unstarted"]

UNWRITTEN_EXIT_CODE = 74
"""With it a worker ends that could not write down how its work ended: the disk was full."""

OWN_FAULTS = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE")
"""Signals by which the system ends a program because of what the program itself did."""

EVIDENCE_SECONDS = 10.0
"""How old a count of processes that were ended for want of memory is, at least, when a later one is held against it:
a process with much memory takes seconds from the decision to its end."""

_SENTENCES: dict[str, str] = {
    "killed": "The {program} program was ended from outside.",
    "memory": "The computer's memory ran out, so the system ended the {program} program.",
    "disk": "The disk was full, so the {program} program could not write down how it ended.",
    "restart": "The computer was started anew while the {program} program worked.",
    "error": "The {program} program ended with an error.",
    "forced": "The {program} program did not answer in time, so it was ended by force.",
    "unstarted": "The {program} program could not be started.",
}

_ADVICE: dict[str, str] = {
    "killed": "You can start again; if it happens again, tell your teacher.",
    "memory": "Close other programs or {remedy}, then start again.",
    "disk": "Free some space on the disk, then start again.",
    "restart": "You can start again.",
    "error": "You can start again; if it fails again, tell your teacher.",
    "forced": "You can start again; if it happens again, tell your teacher.",
    "unstarted": "You can start again; if it fails again, tell your teacher.",
}


def cause_of(identity: str | None, exit_code: int | None, *, memory_ran_out: bool) -> Cause:
    """Return why a worker died, as far as there is evidence.

    Args:
        identity: Of its process; `None` when it is not known.
        exit_code: As of `subprocess`: negative for a signal; `None` when the process was not a child of the caller.
        memory_ran_out: Whether the system ended a process for want of memory just before.
    """
    if identity is not None and is_of_another_boot(identity):
        return "restart"
    if exit_code == UNWRITTEN_EXIT_CODE:
        return "disk"
    if exit_code is not None and (exit_code >= 0 or -exit_code in _own_faults()):
        return "error"
    # Nothing else than SIGKILL is sent for want of memory.
    may_be_memory = exit_code is None or -exit_code == getattr(signal, "SIGKILL", None)
    return "memory" if memory_ran_out and may_be_memory else "killed"


def _own_faults() -> set[int]:
    return {int(getattr(signal, name)) for name in OWN_FAULTS if hasattr(signal, name)}


def sentence_of(cause: str, spec: JobSpec) -> str:
    """Say what happened to a worker; a cause that only another version knows is told as the most common one."""
    return _SENTENCES.get(cause, _SENTENCES["killed"]).format(program=spec.program)


def account(causes: Sequence[str], spec: JobSpec) -> str:
    """Say what happened to the workers of a job, each different thing once, and how often it was tried."""
    sentences = dict.fromkeys(sentence_of(cause, spec) for cause in causes)
    tried = [f"It was tried {len(causes)} times."] if len(causes) > 1 else []
    return " ".join([*sentences, *tried])


def death_notice(causes: Sequence[str], spec: JobSpec) -> str:
    """Say what happened to the workers of a job that was given up, and what to do."""
    if spec.death_notice:
        return spec.death_notice
    return f"{account(causes, spec)} {_ADVICE.get(causes[-1], _ADVICE['killed']).format(remedy=spec.remedy)}"


def out_of_memory_kills() -> int | None:
    """Return how many processes the system has ended for want of memory; `None` where it does not say.

    Those of the group of processes that this one belongs to, where the system counts by groups, else all.
    """
    for path in _counters():
        with suppress(OSError, ValueError):
            for line in path.read_text("ascii").splitlines():
                name, _, number = line.partition(" ")
                if name == "oom_kill":
                    return int(number)
    return None


def _counters() -> list[Path]:
    """Return the files that may hold the count, the best one first."""
    found: list[Path] = []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            relative = group.lstrip("/")
            if not controllers:
                found.append(Path("/sys/fs/cgroup", relative, "memory.events"))
            elif "memory" in controllers.split(","):
                found.append(Path("/sys/fs/cgroup/memory", relative, "memory.oom_control"))
    return [*found, Path("/proc/vmstat")]


class MemoryWatch:
    """Tells whether the system has just ended a process for want of memory.

    Args:
        count: Returns how many it has ended so far.
    """

    def __init__(self, count: Callable[[], int | None] = out_of_memory_kills) -> None:
        self._count = count
        self._before = self._recent = count()
        self._since = time.monotonic()

    def look(self) -> None:
        """Call often, while nothing is wrong: it remembers the count of some seconds ago."""
        if time.monotonic() - self._since >= EVIDENCE_SECONDS:
            self._before, self._recent, self._since = self._recent, self._count(), time.monotonic()

    def ran_out(self) -> bool:
        """Whether more were ended than some seconds ago."""
        now = self._count()
        return now is not None and self._before is not None and now > self._before
