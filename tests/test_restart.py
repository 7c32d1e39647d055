"""After everything was killed a start of the server alone brings all back: no page needs to be opened."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest

from tests.server import serving
from tests.test_run_worker import staged_zip
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.jobs.control import RUNNER_MODULE
from tlcore.storage.database import open_database
from tlcore.storage.datasets import current_dataset
from tlcore.storage.jobs import create_job, get_job
from tlcore.storage.projects import create_project

pytestmark = pytest.mark.slow


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def kill_runners(home: DataRoot) -> int:
    """End the runners of a data root as a crash would; return how many there were."""
    found = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if RUNNER_MODULE in process.cmdline() and process.environ().get(ENVIRONMENT_VARIABLE) == str(home.path):
                process.kill()
                process.wait(10)
                found += 1
    return found


@pytest.mark.skipif(psutil.WINDOWS, reason="needs signals")
def test_a_start_of_the_server_brings_back_what_was_killed(home: DataRoot) -> None:
    engine = open_database(home)
    project_id = create_project(engine, "ann", "Colours").id
    first, second = (create_job(engine, "import", project_id, staged_zip(home)) for _ in range(2))
    with serving(home) as server:
        wait_until(lambda: get_job(engine, first).process)
        worker = psutil.Process(get_job(engine, first).pid)
        worker.suspend()  # so that it is in the middle of its work when it is killed
        server.kill()
        assert kill_runners(home) == 1
        worker.kill()
        server.start()
        wait_until(lambda: not any(get_job(engine, job_id).is_active for job_id in (first, second)))
    jobs = [get_job(engine, job_id) for job_id in (first, second)]
    assert [(job.state, job.attempt, job.causes) for job in jobs] == [
        ("finished", 2, ("killed",)),
        ("finished", 1, ()),
    ]
    assert len(current_dataset(engine, project_id, home)[1].items) == 24


def test_a_job_that_nobody_works_on_is_begun_without_a_page(home: DataRoot) -> None:
    """As when the runner alone was killed."""
    engine = open_database(home)
    project_id = create_project(engine, "ann", "Colours").id
    with serving(home):
        job_id = create_job(engine, "import", project_id, staged_zip(home))
        wait_until(lambda: not get_job(engine, job_id).is_active)
    assert get_job(engine, job_id).state == "finished"
