"""Start and stop jobs from anywhere; the table is the queue, one runner process works through it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence

import filelock
import sqlalchemy as sa

from tlcore.errors import GuestError
from tlcore.home import DataRoot, storage_error
from tlcore.jobs.environment import tell_settings
from tlcore.jobs.processes import start_module
from tlcore.model.architecture import bytes_of_run
from tlcore.settings.locks import check_job, check_plans, is_unlocked
from tlcore.storage.database import person_of, projects, read_value
from tlcore.storage.jobs import JobKind, JobStatus, create_job, get_job, request_stop
from tlcore.storage.runs import RunPlan, create_runs
from tlcore.storage.staging import remove_staged

RUNNER_MODULE = "tlcore.jobs.runner"

RUNNER_START_SECONDS = 5.0
"""How long a runner may take, on a busy computer, until it holds its lock."""

_starting = threading.Lock()
_started: dict[DataRoot, tuple[subprocess.Popen[bytes], float]] = {}
"""The runner that this process started last for each data root, and when."""


def runner_lock(home: DataRoot) -> filelock.BaseFileLock:
    """Return the lock that the one runner of a data root holds while it works."""
    return filelock.FileLock(home.runner_lock_path, timeout=0)


def ensure_runner(home: DataRoot) -> None:
    """Start the runner unless it works already, and tell it this process's settings. Cheap enough to call often.

    Raises:
        StorageError: If its log cannot be written.
    """
    tell_settings(home)
    lock = runner_lock(home)
    try:
        home.path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        lock.release()
        # Between the release and the runner's own acquire another one may come; all but one end at once.
        with _starting:
            _start_runner(home)
    except filelock.Timeout:
        return
    except OSError as error:
        raise storage_error(error, home.runner_log_path) from error


def _start_runner(home: DataRoot) -> None:
    """Start a runner, but not a second one while the first is about to begin: thirty pages may ask at once."""
    process, since = _started.get(home, (None, 0.0))
    if process is not None and process.poll() is None and time.monotonic() - since < RUNNER_START_SECONDS:
        return
    with home.runner_log_path.open("ab") as log:
        process = start_module(RUNNER_MODULE, log=log, environment={"TRANSFER_LAB_HOME": str(home.path)})
    _started[home] = process, time.monotonic()


def start_job(
    engine: sa.Engine,
    home: DataRoot,
    kind: JobKind,
    project_id: str,
    request: object | None = None,
    *,
    key: str | None = None,
    replaces_waiting: bool = False,
) -> str:
    """Put a job in line and see that someone works on it; arguments and answer as of `create_job`.

    Raises:
        LockedError: If the teacher has locked this kind of work.
        NotFoundError: If the project was deleted meanwhile.
        QuotaError: If it would leave files, and the project's owner has as much as one person can have.
    """
    check_job(engine, kind, request)
    job_id = create_job(engine, kind, project_id, request, key=key, replaces_waiting=replaces_waiting)
    ensure_runner(home)
    return job_id


def start_runs(engine: sa.Engine, project_id: str, plans: Sequence[RunPlan], home: DataRoot) -> list[str]:
    """Put training runs in line, one behind the other, and see that someone works on them; return their ids.

    Raises:
        LockedError: If the teacher has locked training, or a setting in which a run differs from the project.
        NotFoundError: If the project was deleted meanwhile.
        QuotaError: If the project's owner has no room for them, or as many in line as one person can have.
    """
    check_plans(engine, project_id, [plan.config for plan in plans])
    run_ids = create_runs(engine, project_id, plans, bytes_of_run)
    ensure_runner(home)
    return run_ids


def may_stop(engine: sa.Engine, job: JobStatus) -> bool:
    """Whether a job may be stopped by whom this engine works for: the owner of its project, or a teacher.

    Some work, such as a download, is watched by everybody who waits for it.
    """
    person = person_of(engine)
    if person is None or is_unlocked(engine):
        return True
    return bool(read_value(engine, sa.select(projects.c.owner).where(projects.c.id == job.project_id)) == person)


def stop_job(engine: sa.Engine, job: JobStatus, home: DataRoot) -> None:
    """Ask a job to stop; a run keeps its best epoch so far.

    Raises:
        GuestError: If it is the work of somebody else, see `may_stop`.
    """
    if not may_stop(engine, job):
        raise GuestError(
            "This is the work of somebody else, so it goes on. Only they or your teacher can stop it, on their page."
        )
    request_stop(engine, job.id)
    if not get_job(engine, job.id).is_active:  # it still waited, so no worker cleans up
        remove_staged(engine, job.id, home)
    ensure_runner(home)
