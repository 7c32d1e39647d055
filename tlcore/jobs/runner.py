"""The runner: claims waiting jobs, starts one process for each, notices dead ones. `python -m tlcore.jobs.runner`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress

import filelock
import sqlalchemy as sa

from tlcore.errors import StorageError, TransferLabError
from tlcore.home import DataRoot, is_full, storage_error
from tlcore.jobs.beat import Beat
from tlcore.jobs.control import runner_lock
from tlcore.jobs.deaths import MemoryWatch, account, cause_of, death_notice, sentence_of
from tlcore.jobs.environment import take_settings, told_settings
from tlcore.jobs.processes import identity_of, is_alive, is_paused, kill, start_module
from tlcore.jobs.slots import slots_of
from tlcore.jobs.specs import JOBS, MAX_ATTEMPTS
from tlcore.progress import CLOSING_PHASES
from tlcore.quiet import outlast_full_logs
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
    list_last_ended,
    note_silence,
    request_stop,
    requeue_job,
    retake_job,
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
# A worker writes every two seconds at least; a busy disk may keep it from that for a while.
SILENT_SECONDS = 10.0
# A worker that has said its last word, or whose job was deleted, ends by itself.
LEAVING_GRACE_SECONDS = 60.0
# Of how many jobs that ended last a new runner asks whether their workers are gone.
LAST_ENDED = 50

WORKER_MODULE = "tlcore.jobs.worker"


class Patience:
    """How long something has been as it is, counted from when it was first asked about, on a clock that nobody sets."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], tuple[object, float]] = {}

    def seconds(self, job_id: str, question: str, answer: object = True) -> float:
        """Return for how long the question about a job has had this answer."""
        known = self._since.get((job_id, question))
        if known is None or known[0] != answer:
            known = self._since[job_id, question] = answer, time.monotonic()
        return time.monotonic() - known[1]

    def keep_only(self, job_ids: Collection[str]) -> None:
        """Forget all other jobs."""
        self._since = {key: value for key, value in self._since.items() if key[0] in job_ids}


class Runner:
    """Works through the job table of one data root until nothing has happened for a while."""

    def __init__(self, engine: sa.Engine, home: DataRoot) -> None:
        self._engine = engine
        self._home = home
        self._slots: dict[JobKind, int] = {kind: slots_of(kind) for kind in JOBS}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._forced: set[str] = set()
        self._patience = Patience()
        self._memory = MemoryWatch()
        self._troubles: dict[str, str] = {}
        # A runner that was killed may have left workers behind whose jobs have ended, and who still hold memory.
        self._with_worker = {
            job.id: job for job in list_last_ended(engine, LAST_ENDED) if is_alive(job.pid, job.process)
        }

    def work(self, linger_seconds: float = LINGER_SECONDS) -> None:
        """Loop until no job has waited or worked for `linger_seconds`; with other settings, until none does."""
        last_active, beat = time.monotonic(), Beat(self._home)
        hands_over = False
        while time.monotonic() - last_active < linger_seconds:
            beat.note()
            hands_over = self._take_settings() or hands_over  # before something is claimed with the earlier ones
            try:
                active = self.step()
            except (TransferLabError, sa.exc.OperationalError):  # a full disk: the next step sees if there is space
                active = True
            if active:
                last_active = time.monotonic()
            elif hands_over:  # the server that began since then starts the next one
                print("Nothing works, so the next runner takes over.", file=sys.stderr, flush=True)
                return
            time.sleep(POLL_SECONDS)

    def _take_settings(self) -> bool:
        """Go on with the settings of a server that began after this runner; return whether they are other ones.

        What works goes on as it began. What begins later has them at once, however long the line is.
        """
        told = told_settings(self._home)
        changed = [] if told is None else take_settings(told)
        if changed:
            self._slots = {kind: slots_of(kind) for kind in JOBS}
            names = ", ".join(changed)
            print(f"A server began with other settings ({names}). New jobs have them.", file=sys.stderr, flush=True)
        return bool(changed)

    def step(self) -> bool:
        """Look after the claimed jobs, start waiting ones; return whether there was any."""
        active = list_jobs(self._engine, states=ACTIVE_STATES)
        self._memory.look()
        working = [job for job in active if job.state != "queued" and self._is_working(job)]
        self._stop_disturbed(active, working)
        leaving = self._leaving(active)
        self._patience.keep_only({job.id for job in (*active, *leaving)})
        if is_full(self._home):  # what began now would fail at once; what waits goes on waiting
            return bool(active or leaving)
        for kind, slots in self._slots.items():
            if _must_wait(kind, active, working, leaving):
                continue
            free = slots - sum(job.kind == kind for job in (*working, *leaving))
            # Claiming takes the write lock; without a waiting job the pages may keep it.
            for _ in range(min(free, sum(job.kind == kind and job.state == "queued" for job in active))):
                self._start_next(kind)
        return bool(active or leaving)

    def _is_working(self, job: JobStatus) -> bool:
        """Look after a claimed job, whatever is wrong with it: the others do not wait for that."""
        try:
            return self._look_after(job)
        except TransferLabError as error:
            self._note_trouble(job.id, error)
            return True  # it keeps its slot; the next step tries again

    def _start_next(self, kind: JobKind) -> None:
        """Claim the next job of a kind and start its worker; what is wrong with one kind keeps no other one waiting."""
        try:
            claimed = claim_job(self._engine, kind)
            if claimed is not None:
                self._start(claimed)
        except TransferLabError as error:
            self._note_trouble(kind, error)

    def _note_trouble(self, what: str, error: TransferLabError) -> None:
        """Write into the log what went wrong with a job or with a kind of jobs, once as long as it is the same."""
        if self._troubles.get(what) != str(error):
            self._troubles[what] = str(error)
            print(f"{what}: {error}", file=sys.stderr, flush=True)

    def _stop_disturbed(self, active: list[JobStatus], working: list[JobStatus]) -> None:
        """Stop a measurement when something comes that goes first: figures taken beside it would be wrong."""
        coming = {job.kind for job in active}
        for job in working:
            if job.stop_requested is None and any(JOBS[job.kind].gives_way_to(kind) for kind in coming):
                request_stop(self._engine, job.id)

    def _leaving(self, active: list[JobStatus]) -> list[JobStatus]:
        """Return the jobs that ended or were deleted and whose processes are still there: they keep their slots."""
        for job_id in self._with_worker.keys() - {job.id for job in active}:
            job = self._with_worker[job_id]
            if not self._is_alive(job):
                self._forget(job)
            elif self._patience.seconds(job_id, "leaves") > LEAVING_GRACE_SECONDS:
                self._kill(job)
        return [self._with_worker[job_id] for job_id in self._with_worker.keys() - {job.id for job in active}]

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
        self._processes[job.id], self._with_worker[job.id] = process, job
        try:
            with writing(self._engine) as connection:
                process_identity = identity_of(process.pid)
                write_job(connection, job.id, job.attempt, pid=process.pid, process=process_identity)
        except LostJobError:  # it ended already
            process.poll()

    def _look_after(self, job: JobStatus) -> bool:
        """Return whether a claimed job has a worker; let it go on or end it with words when it has none."""
        if job.pid is None and job.id not in self._processes:
            return self._begin_again(job)
        self._with_worker[job.id] = job
        if not self._is_alive(job):
            return self._bury(job)
        self._note_silence(job)
        if self._is_overdue(job):
            self._forced.add(job.id)
            self._kill(job)  # until its process is gone the job keeps its slot
        return True

    def _begin_again(self, job: JobStatus) -> bool:
        """Put a job back in line whose runner died before it started a worker; return whether it may still come."""
        if self._patience.seconds(job.id, "begins", job.attempt) < START_GRACE_SECONDS:
            return True
        if job.stop_requested is not None and not (job.causes and JOBS[job.kind].rescues):
            self._end(job, "stopped", "Stopped before it began.")
            return False
        # Nobody died of it, so the last attempt of all is not used up at once.
        most = 2 * MAX_ATTEMPTS if job.rescue else MAX_ATTEMPTS
        if job.attempt < most and requeue_job(self._engine, job.id, job.attempt):
            return False
        return self._give_up(job, "unstarted")

    def _bury(self, job: JobStatus) -> bool:
        """Say why a worker died, and let its job go on where that makes sense; return whether it has a new worker."""
        process = self._processes.get(job.id)
        exit_code = process.poll() if process is not None else None
        ran_out = self._memory.ran_out()
        cause = "forced" if job.id in self._forced else cause_of(job.process, exit_code, memory_ran_out=ran_out)
        spec = JOBS[job.kind]
        goes_on = spec.resumes and job.stop_requested is None and not job.rescue
        if goes_on and job.attempt < MAX_ATTEMPTS:
            requeue_job(self._engine, job.id, job.attempt, cause, account((*job.causes, cause), spec))
            self._forget(job)
            return False
        return self._give_up(job, cause)

    def _give_up(self, job: JobStatus, cause: str) -> bool:
        """End a job, but let a last worker keep what there is of it; return whether there is such a worker.

        What the runner knows of a dead worker is forgotten last: on a full disk all of this is tried again.
        """
        spec, causes = JOBS[job.kind], (*job.causes, cause)
        if spec.rescues and not job.rescue:
            rescued = retake_job(self._engine, job.id, job.attempt, cause, account(causes, spec))
            self._forget(job)
            if rescued is not None:
                self._start(rescued)
            return rescued is not None
        if job.stop_requested is None:
            self._end(job, "failed", death_notice(causes, spec))
        elif cause == "forced":
            self._end(job, "stopped", "Stopped by force; it did not answer in time.")
        else:
            self._end(job, "stopped", f"Stopped. {sentence_of(cause, spec)}")
        self._forget(job)
        return False

    def _is_alive(self, job: JobStatus) -> bool:
        """Whether the worker of a job is there."""
        process = self._processes.get(job.id)
        return process.poll() is None if process is not None else is_alive(job.pid, job.process)

    def _kill(self, job: JobStatus) -> None:
        process = self._processes.get(job.id)
        if process is not None:  # not collected yet, so its id is still its own
            kill(process.pid, identity_of(process.pid))
        elif job.pid is not None:
            kill(job.pid, job.process)

    def _forget(self, job: JobStatus) -> None:
        """Forget the worker of a job, which is gone."""
        self._processes.pop(job.id, None)
        self._with_worker.pop(job.id, None)
        self._forced.discard(job.id)

    def _is_overdue(self, job: JobStatus) -> bool:
        """Whether a worker has had all the time it may have."""
        if self._patience.seconds(job.id, "works", job.attempt) > JOBS[job.kind].max_seconds:
            return True
        if job.stop_requested is None:
            return False
        grace_seconds = CLOSING_GRACE_SECONDS if job.rescue or job.phase in CLOSING_PHASES else STOP_GRACE_SECONDS
        return self._patience.seconds(job.id, "stops", job.attempt) > grace_seconds

    def _note_silence(self, job: JobStatus) -> None:
        """Write down for the pages whether a worker answers."""
        process = self._processes.get(job.id)
        pid = process.pid if process is not None else job.pid
        full = is_full(self._home)  # then no heartbeat gets through
        unchanged_seconds = self._patience.seconds(job.id, "beats", (job.attempt, job.heartbeat, full))
        stands_still = job.state == "running" and not full and unchanged_seconds > SILENT_SECONDS
        silent = stands_still or (pid is not None and is_paused(pid))
        if silent != job.silent:
            with suppress(StorageError):  # on a full disk other things are more important
                note_silence(self._engine, job.id, job.attempt, silent=silent)

    def _end(self, job: JobStatus, state: JobState, message: str) -> None:
        """End a job whose worker cannot do it any more, and clean up in its place."""
        is_ours = end_job(self._engine, job.id, job.attempt, state, message)
        remove_staged(self._engine, job.id, self._home)
        # What it was writing is listed nowhere; an answer that came before the end keeps its files.
        if is_ours and JOBS[job.kind].keeps_files and not has_result(self._engine, job.id):
            remove_job_files(job.id, self._home)


def _must_wait(kind: JobKind, active: list[JobStatus], working: list[JobStatus], leaving: list[JobStatus]) -> bool:
    """Whether jobs of a kind may not begin now: a measurement waits until nothing else works."""
    # What gives way to all waits for prices while it waits; so no price may wait for it.
    ahead = [job for job in active if JOBS[job.kind].gives_way != "all" or job in working]
    return JOBS[kind].gives_way != "nothing" and any(job.kind != kind for job in (*ahead, *leaving))


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
    outlast_full_logs()
    main()
