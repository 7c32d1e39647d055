"""A worker's progress: written a few times a second, with the heartbeat."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from tlcore.errors import FullDiskError, StorageError
from tlcore.jobs.processes import identity_of
from tlcore.progress import Phase, StopRequested
from tlcore.storage.database import jobs, now, read_value, write_few, writing
from tlcore.storage.jobs import write_job
from tlcore.storage.runs import write_metrics

WRITE_SECONDS = 0.3
HEARTBEAT_SECONDS = 2.0


class JobProgress:
    """Progress of one attempt at a job. A daemon thread keeps the heartbeat while long calls work.

    Raises `LostJobError` from any call once the job was ended from outside or claimed again. On a full disk what was
    reported stays in memory and is written later; only a new phase is written at once, with a little of the reserve.

    Args:
        engine: The database.
        job_id: The job.
        attempt: The claim that this process works for.
        is_rescue: Whether it only keeps what there is; a wish to stop is fulfilled by just that.
    """

    def __init__(self, engine: sa.Engine, job_id: str, attempt: int, *, is_rescue: bool = False) -> None:
        self._engine = engine
        self._job_id = job_id
        self._attempt = attempt
        self._is_rescue = is_rescue
        self._phase: tuple[str, str] = "", ""
        self._last_write = 0.0
        self._last_check = 0.0
        self._points: list[tuple[float, Mapping[str, float]]] = []
        self._unwritten: dict[str, Any] = {}
        self._is_urgent = False
        # The runner writes these too, but it may have died after starting this process.
        self._write(is_new=True, state="running", pid=os.getpid(), process=identity_of(os.getpid()), rescue=is_rescue)
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        """Write where the work is; at once when the phase is new or complete, else a few times a second."""
        complete = total > 0 and done >= total
        if (name, subject) != self._phase or complete or self._is_due():
            is_new, self._phase = (name, subject) != self._phase, (name, subject)
            self._write(is_new=is_new, phase=name, done=done, total=total, subject=subject)
        # Last, so that a phase is known even when the person has asked to stop: the runner looks at it.
        self.check()

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        """Add a point to the curves; written with the next ones when epochs are short."""
        self._points.append((epoch, dict(values)))
        if self._is_due():
            self._write()

    def flush(self) -> None:
        """Write what waits."""
        if self._points or self._unwritten:
            self._write(is_new=True)

    def check(self) -> None:
        """Raise `StopRequested` if the person asked to stop; looks a few times a second."""
        if self._is_rescue or time.monotonic() - self._last_check < WRITE_SECONDS:
            return
        self._last_check = time.monotonic()
        if read_value(self._engine, sa.select(jobs.c.stop_requested).where(jobs.c.id == self._job_id)) is not None:
            raise StopRequested

    def _is_due(self) -> bool:
        return time.monotonic() - self._last_write >= WRITE_SECONDS

    def _write(self, *, is_new: bool = False, **values: Any) -> None:
        """Write fields of the job and the points that wait; `is_new` says that a full disk must not keep them back."""
        self._unwritten |= values
        self._is_urgent |= is_new
        self._last_write = time.monotonic()  # also on a full disk: not every step is to try it
        try:
            with writing(self._engine) as connection:
                self._write_fields(connection)
                for epoch, point in self._points:
                    write_metrics(connection, self._job_id, self._attempt, epoch, point)
        except FullDiskError:
            if not (self._is_urgent and self._unwritten):
                return
            try:
                write_few(self._engine, self._write_fields)
            except FullDiskError:
                return
        else:
            self._points.clear()
        self._is_urgent = False
        self._unwritten.clear()

    def _write_fields(self, connection: sa.Connection) -> None:
        write_job(connection, self._job_id, self._attempt, **self._unwritten)

    def _beat(self) -> None:
        statement = sa.update(jobs).where(jobs.c.id == self._job_id, jobs.c.attempt == self._attempt)
        while True:
            time.sleep(HEARTBEAT_SECONDS)
            # A full disk or a busy database: the work itself finds out, and there may be space again.
            with contextlib.suppress(StorageError), writing(self._engine) as connection:
                connection.execute(statement.values(heartbeat=now()))
