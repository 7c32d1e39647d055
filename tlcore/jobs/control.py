"""Start and stop jobs from anywhere; the table is the queue, one runner process works through it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence

import filelock
import sqlalchemy as sa

from tlcore.config import RunConfig
from tlcore.home import DataRoot, storage_error
from tlcore.jobs.processes import start_module
from tlcore.storage.database import writing
from tlcore.storage.imports import ImportRequest, create_import, remove_upload
from tlcore.storage.jobs import JobStatus, get_job, insert_job, request_stop
from tlcore.storage.measures import MeasureRequest, create_measure
from tlcore.storage.rate_searches import create_search
from tlcore.storage.runs import RunPlan, create_run, create_runs
from tlcore.storage.simple_heads import SimpleHeadsRequest, create_simple_heads

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
    """Start the runner unless it works already. Cheap enough to call whenever a job waits.

    Raises:
        StorageError: If its log cannot be written.
    """
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


def start_run(engine: sa.Engine, project_id: str, version: int, config: RunConfig, home: DataRoot) -> str:
    """Put a training run in line and see that someone works on it; return its id."""
    run_id = create_run(engine, project_id, version, config)
    ensure_runner(home)
    return run_id


def start_runs(engine: sa.Engine, project_id: str, plans: Sequence[RunPlan], home: DataRoot) -> list[str]:
    """Put training runs in line, one behind the other, and see that someone works on them; return their ids."""
    run_ids = create_runs(engine, project_id, plans)
    ensure_runner(home)
    return run_ids


def start_import(engine: sa.Engine, project_id: str, request: ImportRequest, home: DataRoot) -> str:
    """Put an import in line and see that someone works on it; return its job id."""
    job_id = create_import(engine, project_id, request)
    ensure_runner(home)
    return job_id


def start_measure(engine: sa.Engine, project_id: str, request: MeasureRequest, home: DataRoot) -> str:
    """Put a measurement in line, see that someone works on it, and return its job id."""
    job_id = create_measure(engine, project_id, request)
    ensure_runner(home)
    return job_id


def start_search(engine: sa.Engine, project_id: str, version: int, config: RunConfig, home: DataRoot) -> str:
    """Put a learning-rate search in line, see that someone works on it, and return its job id."""
    job_id = create_search(engine, project_id, version, config)
    ensure_runner(home)
    return job_id


def start_simple_heads(engine: sa.Engine, project_id: str, request: SimpleHeadsRequest, home: DataRoot) -> str:
    """Put the training of simple heads in line, see that someone works on it, and return its job id."""
    job_id = create_simple_heads(engine, project_id, request)
    ensure_runner(home)
    return job_id


def start_backbone_measure(engine: sa.Engine, project_id: str, home: DataRoot) -> str:
    """Put the measurement of all backbones in line, see that someone works on it, and return its job id.

    Args:
        engine: The database.
        project_id: The project on whose page it was asked for; the speeds are for all projects.
        home: The data root.
    """
    with writing(engine) as connection:
        job_id = insert_job(connection, "backbones", project_id)
    ensure_runner(home)
    return job_id


def stop_job(engine: sa.Engine, job: JobStatus, home: DataRoot) -> None:
    """Ask a job to stop; a run keeps its best epoch so far."""
    request_stop(engine, job.id)
    if job.kind == "import" and not get_job(engine, job.id).is_active:  # it still waited, so no worker cleans up
        remove_upload(engine, job.id, home)
    ensure_runner(home)
