"""A runner that tests play step by step: what they wait for, and how they end its workers."""

import time
from collections.abc import Callable

import psutil
import sqlalchemy as sa

from tlcore.config import RunConfig
from tlcore.jobs.runner import Runner
from tlcore.storage.jobs import JobStatus, create_job, get_job
from tlcore.storage.projects import create_project
from tlcore.storage.requests import SettingsRequest

PATIENCE_SECONDS = 60.0
"""After so long what a test waits for does not come any more; a busy computer takes its time."""


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def step_until(worker: Runner, condition: Callable[[], object]) -> None:
    def stepped() -> object:
        worker.step()
        return condition()

    wait_until(stepped)


def end_at_once(job: JobStatus) -> None:
    """As `kill -9` would."""
    assert job.pid is not None
    psutil.Process(job.pid).kill()


def new_measure(engine: sa.Engine, key: str = "key") -> str:
    """Put a measurement of a project of its own in line."""
    return create_job(
        engine,
        "measure",
        create_project(engine, "ann", "Dogs").id,
        SettingsRequest(1, RunConfig()),
        key=key,
        replaces_waiting=True,
    )


def end_and_wait_for_the_next(working: Runner, engine: sa.Engine, job_id: str) -> JobStatus:
    """Kill the worker of a job, and return the job when it has another one or has ended."""
    before = get_job(engine, job_id)
    end_at_once(before)

    def is_next() -> bool:
        job = get_job(engine, job_id)
        return not job.is_active or (job.state == "running" and job.attempt > before.attempt)

    step_until(working, is_next)
    return get_job(engine, job_id)


def running(working: Runner, engine: sa.Engine, job_id: str) -> JobStatus:
    step_until(working, lambda: get_job(engine, job_id).state == "running" and get_job(engine, job_id).process)
    return get_job(engine, job_id)
