"""Somebody sets the clock while a training works: the training goes on, and so does the line behind it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import sqlalchemy as sa

from tests.bench.figures import Line, figure
from tests.coloured_pictures import coloured_dataset
from tests.ready_projects import start_run
from tests.server import prepare_home
from tests.soak.small_runs import ENDLESS, SMALL
from tests.workers.set_clock import VARIABLE
from tlcore.home import DataRoot
from tlcore.jobs import control
from tlcore.jobs.control import stop_job
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.jobs import get_job
from tlcore.storage.projects import create_project
from tlcore.storage.runs import last_metric, read_metrics

STEPS = (1.0, -1.0, 60.0, -3600.0, 3600.0, 86_400.0, -86_400.0, 3e8, 0.0)
"""Seconds by which the clock is wrong, one after the other."""


def measure(home: DataRoot) -> Iterator[Line]:
    """Set the clock of the runner and of its worker again and again, and see two more epochs each time."""
    prepare_home(home)
    clock = Path(home.path, "clock.txt")
    clock.write_text("0", "ascii")
    os.environ[VARIABLE] = str(clock)
    engine = open_database(home)
    project = create_project(engine, "ann", "Colours")
    version = commit_version(engine, project.id, coloured_dataset(home, 8), "made", parent=None, home=home)
    survived, seen = 0, []
    with mock.patch.object(control, "RUNNER_MODULE", "tests.workers.set_clock_runner"):
        run_id = start_run(engine, project.id, version, ENDLESS, home)
        behind_id = start_run(engine, project.id, version, SMALL, home)
        for step in STEPS:
            temporary = clock.with_suffix(".new")
            temporary.write_text(str(step), "ascii")
            temporary.replace(clock)
            if not _sees_epochs(engine, run_id, 2):
                break
            job = get_job(engine, run_id)
            seen.append(job.silent)
            survived += job.state == "running" and job.attempt == 1 and not job.causes
        stop_job(engine, get_job(engine, run_id), home)
        while get_job(engine, behind_id).is_active or get_job(engine, run_id).is_active:
            time.sleep(0.2)
    job, behind = get_job(engine, run_id), get_job(engine, behind_id)
    how = f"a real training whose runner and worker see a clock that is wrong by {', '.join(f'{s:g}' for s in STEPS)} s"
    more = {"ended": job.state, "message": job.message, "causes": list(job.causes), "not answering": sum(seen)}
    yield figure("clock: steps that a training survived", survived, how, at_least=len(STEPS), more=more)
    more = {"state": behind.state, "message": behind.message}
    finished = behind.state == "finished" and behind.attempt == 1
    yield figure("clock: the run behind it finished", finished, how, at_least=1, more=more)


def _sees_epochs(engine: sa.Engine, run_id: str, number: int) -> bool:
    """Wait until a run has trained some epochs more; return whether it did, and did not end."""
    before = _epochs(engine, run_id)
    while get_job(engine, run_id).is_active:
        if _epochs(engine, run_id) >= before + number:
            return True
        time.sleep(0.1)
    return False


def _epochs(engine: sa.Engine, run_id: str) -> int:
    if last_metric(engine, run_id) is None:
        return 0
    return int(max(point.epoch for point in read_metrics(engine, run_id)))
