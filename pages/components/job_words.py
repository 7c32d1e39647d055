"""What people read about a job whose worker does not answer or has died."""

from __future__ import annotations

from tlcore.jobs.deaths import account, sentence_of
from tlcore.jobs.specs import JOBS, MAX_ATTEMPTS
from tlcore.storage.jobs import JobStatus


def trouble_words(job: JobStatus) -> str:
    """Say what is the matter with a job that waits or works, and what happens next; empty when all is well."""
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
