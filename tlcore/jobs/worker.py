"""The process of one job: `python -m tlcore.jobs.worker JOB ATTEMPT`; it runs the task of the job's kind."""

from __future__ import annotations

import gc
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa

from tlcore.errors import FullDiskError, StorageError, TransferLabError
from tlcore.home import DataRoot, without_places
from tlcore.jobs.deaths import UNWRITTEN_EXIT_CODE, account
from tlcore.jobs.processes import lower_priority
from tlcore.jobs.reporting import JobProgress
from tlcore.jobs.specs import JOBS, Task
from tlcore.private_keras import leave_out_of_keras, lost_effects
from tlcore.progress import StopRequested
from tlcore.quiet import outlast_full_logs, silence_tensorflow
from tlcore.storage.database import open_database, write_few, writing
from tlcore.storage.deletion import remove_job_files
from tlcore.storage.full_disk import DiskWait
from tlcore.storage.jobs import (
    JobState,
    LostJobError,
    end_job,
    get_job,
    has_job,
    has_result,
    read_request,
    write_result,
)

# Another program may hold the database while the last words are written; a full disk is waited for as long as it is.
END_TRIES = 5
END_RETRY_SECONDS = 1.0
# Loading TensorFlow makes a million small objects that all stay: to look for garbage among them after every few hundred
# takes half a second of the three.
OBJECTS_BEFORE_GARBAGE = 10_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker's task gets.

    Attributes:
        engine: The database.
        home: The data root.
        job_id: The job.
        attempt: The claim that this process works for, counted from 1; more than 1 when earlier workers died.
        progress: Told what happens.
        is_rescue: Whether the job was given up: the task only keeps what earlier workers left, and returns how the job
            ended, with the words of `reason`. Nobody can stop it.
    """

    engine: sa.Engine
    home: DataRoot
    job_id: str
    attempt: int
    progress: JobProgress
    is_rescue: bool = False

    @property
    def was_stopped(self) -> bool:
        """Whether a person wished that the job ends."""
        return get_job(self.engine, self.job_id).stop_requested is not None

    @property
    def reason(self) -> str:
        """Why earlier workers of the job ended, in whole sentences; empty for the first one."""
        job = get_job(self.engine, self.job_id)
        return account(job.causes, JOBS[job.kind])

    @property
    def project_id(self) -> str:
        """The project on whose page the job was asked for."""
        return get_job(self.engine, self.job_id).project_id

    def request(self, kind: type[T]) -> T:
        """Return what the job is asked for."""
        return read_request(self.engine, self.job_id, kind)

    @property
    def room(self) -> DiskWait:
        """Waits while the disk is full."""
        return DiskWait(self.home, self.progress)

    def keep(self, write: Callable[[sa.Connection], object], room: DiskWait | None = None) -> None:
        """Write rows that hold what the job has reached, as soon as there is room for them.

        Args:
            write: Gets the transaction.
            room: What counts how long the job has waited, if somebody asks.
        """

        def write_rows() -> None:
            with writing(self.engine) as connection:
                write(connection)

        (room or self.room).repeat(write_rows, at_the_end=True)

    def answer(self, result: object) -> None:
        """Store what the job answers; a full disk does not keep it back, where it is small."""
        write_few(self.engine, lambda connection: write_result(connection, self.job_id, self.attempt, result))


def work(job_id: str, attempt: int, task: Task | None = None) -> int:
    """Run a task for a job, that of its kind when none is given; return the exit code."""
    lower_priority()
    silence_tensorflow()
    leave_out_of_keras()
    home = DataRoot.configured()
    engine = open_database(home)
    exit_code = _work(engine, home, job_id, attempt, task)
    for effect in lost_effects():
        print(f"This Keras works otherwise than the one that was tried; lost: {effect}.", file=sys.stderr)
    if not has_job(engine, job_id):  # deleted with its project meanwhile, and so were the files that it had then
        remove_job_files(job_id, home)
    return exit_code


def _work(engine: sa.Engine, home: DataRoot, job_id: str, attempt: int, task: Task | None) -> int:
    try:
        job = get_job(engine, job_id)
        spec = JOBS[job.kind]
        # A person may wish to stop while it waits to go on: then it does not go on, and its best epoch is kept.
        gave_up = attempt > 1 and spec.rescues and job.stop_requested is not None
        is_rescue = job.rescue or gave_up
        progress = JobProgress(engine, job_id, attempt, is_rescue=is_rescue)
        try:
            task = task or spec.load_task()
            context = WorkerContext(engine, home, job_id, attempt, progress, is_rescue)
            state, message = task(context) or ("finished", "")
        finally:
            progress.flush()
    except StopRequested:
        state, message = "stopped", "Stopped."
    except LostJobError:
        return 0
    except TransferLabError as error:
        state, message = "failed", without_places(str(error))
    except MemoryError:
        state, message = "failed", "The computer's memory is full. Close other programs, then start again."
    except Exception as error:  # noqa: BLE001 - the last line of defence: nothing may end without words
        traceback.print_exc()
        state = "failed"
        message = (
            f"Something unexpected happened ({type(error).__name__}). Start again; if it happens again, send the "
            f"file worker.log of this job ({job_id}) to whoever looks after Transfer Lab."
        )
    if state != "finished":
        _remove_useless(engine, home, job_id)
    if not _end(engine, job_id, attempt, state, message):
        return UNWRITTEN_EXIT_CODE
    if state == "finished":
        _do_afterwards(context)
    return 0


def _do_afterwards(context: WorkerContext) -> None:
    """Do what follows the end of a job; it is finished, so what goes wrong here is told to its log alone."""
    try:
        afterwards = JOBS[get_job(context.engine, context.job_id).kind].load_afterwards()
        if afterwards is not None:
            afterwards(context)
    except Exception:  # noqa: BLE001 - as above
        traceback.print_exc()


def _remove_useless(engine: sa.Engine, home: DataRoot, job_id: str) -> None:
    """Remove the files of a job that came to nothing, where they are of no use then: a full disk would stay full."""
    with suppress(TransferLabError):
        if JOBS[get_job(engine, job_id).kind].keeps_files and not has_result(engine, job_id):
            remove_job_files(job_id, home)


def _end(engine: sa.Engine, job_id: str, attempt: int, state: JobState, message: str) -> bool:
    """End the job, with patience for a full disk or a busy database; return whether it was written.

    When it was not, the runner notices that the process is gone and ends the job with words of its own.
    """
    tries = 0
    while tries < END_TRIES:
        try:
            end_job(engine, job_id, attempt, state, message)
        except FullDiskError:  # what it has reached is on the disk, so its end has no hurry
            time.sleep(END_RETRY_SECONDS)
        except StorageError:
            tries += 1
            time.sleep(END_RETRY_SECONDS)
        else:
            return True
    return False


if __name__ == "__main__":
    outlast_full_logs()
    gc.set_threshold(OBJECTS_BEFORE_GARBAGE)
    sys.exit(work(sys.argv[1], int(sys.argv[2])))
