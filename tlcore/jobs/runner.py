"""The runner: claims waiting jobs, starts one process for each, notices dead ones. `python -m tlcore.jobs.runner`."""

from __future__ import annotations

import subprocess
import time

import filelock
import sqlalchemy as sa

from tlcore.errors import StorageError
from tlcore.home import DataRoot, storage_error
from tlcore.jobs.control import runner_lock
from tlcore.jobs.processes import is_alive, kill, process_start_time, start_module
from tlcore.jobs.slots import slots_of
from tlcore.jobs.specs import JOBS, JobSpec
from tlcore.progress import CLOSING_PHASES
from tlcore.storage.database import open_database, writing
from tlcore.storage.deletion import remove_job_files
from tlcore.storage.jobs import (
    ACTIVE_STATES,
    JobKind,
    JobState,
    JobStatus,
    LostJobError,
    claim_job,
    end_job,
    has_result,
    list_jobs,
    request_stop,
    requeue_job,
    write_job,
)
from tlcore.storage.staging import remove_staged

POLL_SECONDS = 0.1
LINGER_SECONDS = 120.0
# One step of a large network takes many seconds on a busy computer.
STOP_GRACE_SECONDS = 60.0
# A stopped run still tests and saves its best epoch; on a busy computer that takes its time.
CLOSING_GRACE_SECONDS = 300.0
# A claimed job whose process never wrote its id: the runner died between claiming and starting.
START_GRACE_SECONDS = 8.0
MAX_ATTEMPTS = 3

WORKER_MODULE = "tlcore.jobs.worker"


class Runner:
    """Works through the job table of one data root until nothing has happened for a while."""

    def __init__(self, engine: sa.Engine, home: DataRoot) -> None:
        self._engine = engine
        self._home = home
        self._slots: dict[JobKind, int] = {kind: slots_of(kind) for kind in JOBS}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def work(self, linger_seconds: float = LINGER_SECONDS) -> None:
        """Loop until no job has waited or worked for `linger_seconds`."""
        last_active = time.monotonic()
        while time.monotonic() - last_active < linger_seconds:
            try:
                active = self.step()
            except (StorageError, sa.exc.OperationalError):  # a full disk; the next step sees whether there is space
                active = True
            if active:
                last_active = time.monotonic()
            time.sleep(POLL_SECONDS)

    def step(self) -> bool:
        """Look after the claimed jobs, start waiting ones; return whether there was any."""
        active = list_jobs(self._engine, states=ACTIVE_STATES)
        working = [job for job in active if job.state != "queued" and self._look_after(job)]
        self._stop_disturbed(active, working)
        for kind, slots in self._slots.items():
            if _must_wait(kind, active, working):
                continue
            free = slots - sum(job.kind == kind for job in working)
            # Claiming takes the write lock; without a waiting job the pages may keep it.
            for _ in range(min(free, sum(job.kind == kind and job.state == "queued" for job in active))):
                claimed = claim_job(self._engine, kind)
                if claimed is not None:
                    self._start(claimed)
        self._collect_ended(active)
        return bool(active)

    def _stop_disturbed(self, active: list[JobStatus], working: list[JobStatus]) -> None:
        """Stop a measurement when something comes that goes first: figures taken beside it would be wrong."""
        coming = {job.kind for job in active}
        for job in working:
            if job.stop_requested is None and any(JOBS[job.kind].gives_way_to(kind) for kind in coming):
                request_stop(self._engine, job.id)

    def _collect_ended(self, active: list[JobStatus]) -> None:
        """Forget the processes of jobs that ended, once they are gone."""
        for job_id in self._processes.keys() - {job.id for job in active}:
            if self._processes[job_id].poll() is not None:
                del self._processes[job_id]

    def _start(self, job: JobStatus) -> None:
        log_dir = self._home.run_dir(job.id) if job.kind == "run" else self._home.logs_dir / job.kind
        environment = {"TRANSFER_LAB_HOME": str(self._home.path)}
        try:
            log_dir.mkdir(parents=True, exist_ok=True)
            with (log_dir / "worker.log").open("ab") as log:
                process = start_module(WORKER_MODULE, job.id, str(job.attempt), log=log, environment=environment)
        except OSError as error:
            self._end(job, "failed", str(storage_error(error, log_dir / "worker.log")))
            return
        self._processes[job.id] = process
        try:
            with writing(self._engine) as connection:
                started = process_start_time(process.pid)
                write_job(connection, job.id, job.attempt, pid=process.pid, pid_started=started)
        except LostJobError:  # it ended already
            process.poll()

    def _look_after(self, job: JobStatus) -> bool:
        """Return whether a claimed job still works; end it with words when it does not."""
        process = self._processes.get(job.id)
        if job.pid is None and process is None:
            if time.time() - (job.started or 0) < START_GRACE_SECONDS:
                return True
            if job.stop_requested is not None:
                self._end(job, "stopped", "Stopped before it began.")
                return False
            if job.attempt < MAX_ATTEMPTS and requeue_job(self._engine, job.id, job.attempt):
                return False
        elif is_alive(job.pid, job.pid_started):
            grace_seconds = CLOSING_GRACE_SECONDS if job.phase in CLOSING_PHASES else STOP_GRACE_SECONDS
            if job.stop_requested is not None and time.time() - job.stop_requested > grace_seconds:
                kill(job.pid or 0, job.pid_started or 0.0)
                self._end(job, "stopped", "Stopped by force; it did not answer in time.")
                return False
            if time.time() - (job.started or 0) > JOBS[job.kind].max_seconds:
                kill(job.pid or 0, job.pid_started or 0.0)
                self._end(job, "failed", _death_notice(JOBS[job.kind], None))
                return False
            return True
        exit_code = process.poll() if process is not None else None
        self._processes.pop(job.id, None)
        self._end(job, "failed", _death_notice(JOBS[job.kind], exit_code))
        return False

    def _end(self, job: JobStatus, state: JobState, message: str) -> None:
        """End a job whose worker cannot do it any more, and clean up in its place."""
        is_ours = end_job(self._engine, job.id, job.attempt, state, message)
        remove_staged(self._engine, job.id, self._home)
        # What it was writing is listed nowhere; an answer that came before the end keeps its files.
        if is_ours and JOBS[job.kind].keeps_files and not has_result(self._engine, job.id):
            remove_job_files(job.id, self._home)


def _must_wait(kind: JobKind, active: list[JobStatus], working: list[JobStatus]) -> bool:
    """Whether jobs of a kind may not begin now: a measurement waits until nothing else works."""
    # What gives way to all waits for prices while it waits; so no price may wait for it.
    ahead = [job for job in active if JOBS[job.kind].gives_way != "all" or job in working]
    return JOBS[kind].gives_way != "nothing" and any(job.kind != kind for job in ahead)


def _death_notice(spec: JobSpec, exit_code: int | None) -> str:
    """Say what a worker's death means and what to do.

    Args:
        spec: What it worked on.
        exit_code: As of `subprocess`: negative for a signal; `None` when it was not our child.
    """
    if spec.death_notice:
        return spec.death_notice
    if exit_code is not None and exit_code > 0:
        return f"The {spec.program} program ended with an error. Start again; if it fails again, tell your teacher."
    return (
        f"The {spec.program} program was ended from outside, most often because the computer's memory ran out. "
        f"Close other programs or {spec.remedy}, then start again."
    )


def main() -> None:
    """Work as the one runner of the data root; end at once when there is one already."""
    home = DataRoot.configured()
    jobs_left = True
    while jobs_left:
        try:
            with runner_lock(home):
                engine = open_database(home)
                Runner(engine, home).work()
        except filelock.Timeout:
            return
        # Who put a job in line during the last moments found the lock taken and started no runner.
        jobs_left = bool(list_jobs(engine, states=ACTIVE_STATES))


if __name__ == "__main__":
    main()
