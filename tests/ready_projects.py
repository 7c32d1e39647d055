"""Projects that are ready to look at, made by the library's own jobs and not by clicks."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from tlcore.config import RunConfig, TrainingConfig
from tlcore.home import DataRoot
from tlcore.jobs.control import start_job, start_runs
from tlcore.storage.jobs import JobStatus, get_job
from tlcore.storage.projects import create_project, get_project, update_config
from tlcore.storage.requests import ImportRequest, StagedFile
from tlcore.storage.runs import RunPlan
from tlcore.storage.staging import make_staging_dir

JOB_SECONDS = 600
"""Patience with a computer that does other things too; a job that fails is noticed at once."""

LONG_TRAINING = TrainingConfig(epochs=1000, patience=None)


@dataclass(frozen=True, slots=True)
class ReadyProject:
    """A project with pictures, and its trained run when there is one."""

    id: str
    owner: str
    run_id: str | None


def make_project(
    engine: sa.Engine,
    home: DataRoot,
    owner: str,
    name: str,
    *,
    sample: str | None = None,
    archive: Path | None = None,
    training: TrainingConfig | None = None,
) -> ReadyProject:
    """Make a project with the pictures of a ready set or a ZIP file, and train it when told how."""
    project = create_project(engine, owner, name)
    request = ImportRequest(sample=sample) if archive is None else _staged(archive, home)
    wait_for_end(engine, start_job(engine, home, "import", project.id, request))
    if training is None:
        return ReadyProject(project.id, owner, None)
    run_id = begin_run(engine, home, ReadyProject(project.id, owner, None), training)
    wait_for_end(engine, run_id)
    return ReadyProject(project.id, owner, run_id)


def start_run(engine: sa.Engine, project_id: str, version: int, config: RunConfig, home: DataRoot) -> str:
    """Put a run in line and see that someone works on it; return its id."""
    return start_runs(engine, project_id, [RunPlan(version, config)], home)[0]


def begin_run(engine: sa.Engine, home: DataRoot, project: ReadyProject, training: TrainingConfig) -> str:
    """Start a run on the project's pictures with other settings of training; return its id."""
    config = update_config(engine, project.id, lambda config: replace(config, training=training))
    version = get_project(engine, project.id, project.owner).version
    assert version is not None
    return start_run(engine, project.id, version, config, home)


def wait_for_end(engine: sa.Engine, job_id: str) -> JobStatus:
    """Wait until a job has ended well, and return it."""
    deadline = time.monotonic() + JOB_SECONDS
    job = get_job(engine, job_id)
    while job.is_active:
        assert time.monotonic() < deadline, job
        time.sleep(0.2)
        job = get_job(engine, job_id)
    assert job.state in ("finished", "stopped"), job.message
    return job


def wait_for_phase(engine: sa.Engine, job_id: str, *phases: str) -> JobStatus:
    """Wait until a job works on one of some phases, and return it."""
    deadline = time.monotonic() + JOB_SECONDS
    job = get_job(engine, job_id)
    while job.phase not in phases:
        assert job.is_active, job
        assert time.monotonic() < deadline, job
        time.sleep(0.1)
        job = get_job(engine, job_id)
    return job


def _staged(archive: Path, home: DataRoot) -> ImportRequest:
    staging_dir = make_staging_dir(home)
    (staging_dir / "000000").write_bytes(archive.read_bytes())
    return ImportRequest(staging=staging_dir.name, archives=(StagedFile("000000", archive.name),))
