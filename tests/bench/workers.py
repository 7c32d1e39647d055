"""Real training processes, started as the runner does it, so that they can be watched."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.page_tests import OWNER, ROOT_DIR
from tests.queued_run import create_run
from tlcore.config import RunConfig
from tlcore.dataset import Dataset
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.jobs import claim_job
from tlcore.storage.projects import create_project

RUN_WORKER = "tlcore.jobs.worker"


def start_worker(
    dataset: Dataset, config: RunConfig, home: DataRoot, module: str = RUN_WORKER
) -> tuple[str, subprocess.Popen[str]]:
    """Make a project with a run, claim the run as the runner would, and start its process.

    Args:
        dataset: Pictures of the data root.
        config: What is trained.
        home: The data root; no runner may work on it.
        module: What is started with the run's id and attempt.

    Returns:
        The run's id, and the process with its output to be read.
    """
    engine = open_database(home)
    project = create_project(engine, OWNER, "Benchmark")
    version = commit_version(engine, project.id, dataset, "brought", parent=None, home=home)
    run_id = create_run(engine, project.id, version, config)
    job = claim_job(engine, "run")
    assert job is not None
    assert job.id == run_id
    engine.dispose()
    process = subprocess.Popen(
        [sys.executable, "-m", module, run_id, str(job.attempt)],
        cwd=ROOT_DIR,
        env={**os.environ, ENVIRONMENT_VARIABLE: str(home.path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    return run_id, process
