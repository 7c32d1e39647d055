"""What every worker process does around its work: open storage, end the job with a state and words."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from tlcore.errors import StorageError, TransferLabError
from tlcore.home import DataRoot
from tlcore.jobs.processes import lower_priority
from tlcore.jobs.reporting import JobProgress
from tlcore.keras_imports import leave_out_of_keras
from tlcore.progress import StopRequested
from tlcore.storage.database import open_database
from tlcore.storage.deletion import remove_job_files
from tlcore.storage.jobs import JobState, LostJobError, end_job, has_job

# A full disk may have space again when the last words are written: the work that filled it has cleaned up.
END_TRIES = 5
END_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker's task gets."""

    engine: sa.Engine
    home: DataRoot
    job_id: str
    attempt: int
    progress: JobProgress


# Does the work and returns how the job ended, with words for the person.
Task = Callable[[WorkerContext], tuple[JobState, str]]


def work(task: Task) -> int:
    """Run a task for the job that the command line names (`JOB ATTEMPT`); return the exit code."""
    job_id, attempt = sys.argv[1], int(sys.argv[2])
    lower_priority()
    leave_out_of_keras()
    home = DataRoot.configured()
    engine = open_database(home)
    exit_code = _work(task, engine, home, job_id, attempt)
    if not has_job(engine, job_id):  # deleted with its project meanwhile, and so were the files that it had then
        remove_job_files(job_id, home)
    return exit_code


def _work(task: Task, engine: sa.Engine, home: DataRoot, job_id: str, attempt: int) -> int:
    try:
        progress = JobProgress(engine, job_id, attempt)
        try:
            state, message = task(WorkerContext(engine, home, job_id, attempt, progress))
        finally:
            progress.flush()
    except StopRequested:
        state, message = "stopped", "Stopped."
    except LostJobError:
        return 0
    except TransferLabError as error:
        state, message = "failed", str(error)
    except MemoryError:
        state, message = "failed", "The computer's memory is full. Close other programs, then start again."
    except Exception as error:  # noqa: BLE001 - the last line of defence: nothing may end without words
        traceback.print_exc()
        state = "failed"
        message = (
            f"Something unexpected happened ({type(error).__name__}). Start again; if it happens again, send the "
            f"file worker.log of this job ({job_id}) to whoever looks after Transfer Lab."
        )
    return 0 if _end(engine, job_id, attempt, state, message) else 1


def _end(engine: sa.Engine, job_id: str, attempt: int, state: JobState, message: str) -> bool:
    """End the job, with patience for a full disk; return whether it was written.

    When it was not, the runner notices that the process is gone and ends the job with words of its own.
    """
    for _ in range(END_TRIES):
        try:
            end_job(engine, job_id, attempt, state, message)
        except StorageError:
            time.sleep(END_RETRY_SECONDS)
        else:
            return True
    return False
