"""What people read about a job whose worker does not answer or has died."""

from __future__ import annotations

from tlcore.home import DataRoot, is_full
from tlcore.jobs.beat import silent_runner
from tlcore.jobs.deaths import account, sentence_of
from tlcore.jobs.specs import JOBS, MAX_ATTEMPTS
from tlcore.storage.jobs import JobStatus

MAKE_ROOM = "Delete projects that nobody needs any more, or tell your teacher."


def trouble_words(job: JobStatus, home: DataRoot) -> str:
    """Say what is the matter with a job that waits or works, and what happens next; empty when all is well."""
    return _trouble_of(job) or place_trouble(job, home)


def place_trouble(job: JobStatus, home: DataRoot) -> str:
    """Say what keeps every job from beginning or going on; empty when nothing does."""
    waits, spec = job.state == "queued", JOBS[job.kind]
    if job.phase == "waiting_for_room" or is_full(home):
        if not waits and not spec.rescues:
            return f"The disk is full, so the {spec.program} program may fail. {MAKE_ROOM}"
        does = "begins" if waits else "goes on" if job.stop_requested is None else "keeps its best epoch"
        return f"The disk is full. The {spec.program} program {does} by itself as soon as there is room. {MAKE_ROOM}"
    if silent_runner(home) is None:
        return ""
    return (
        "The program that begins and ends all work does not answer: it was paused, or the computer is very busy. "
        f"{'Nothing new begins' if waits else 'A wish to stop may have to wait'} until it goes on. If that takes more "
        "than a minute, tell your teacher."
    )


def hindrance(home: DataRoot) -> str:
    """Say in a few words why nothing new begins; empty when nothing keeps it from that."""
    if is_full(home):
        return "the disk is full"
    return "" if silent_runner(home) is None else "the program that begins it does not answer"


def _trouble_of(job: JobStatus) -> str:
    spec = JOBS[job.kind]
    if job.silent and job.stop_requested is not None:
        return f"The {spec.program} program does not answer. If that goes on for a minute, it is ended by force."
    if job.silent:
        return (
            f"The {spec.program} program does not answer: it was paused, or the computer is very busy. It goes on by "
            "itself as soon as it can."
        )
    if not job.causes:
        return ""
    if job.rescue or job.stop_requested is not None:
        kept = " What it has learned so far is kept." if spec.rescues else ""
        return f"{account(job.causes, spec)}{kept}"
    if job.state == "queued":
        return f"{sentence_of(job.causes[-1], spec)} It goes on by itself when its turn comes."
    return f"{sentence_of(job.causes[-1], spec)} The work goes on: attempt {job.attempt} of {MAX_ATTEMPTS}."
