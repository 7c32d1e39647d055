"""A project whose simple heads were trained in this process: a real model to ask, in a few seconds."""

from __future__ import annotations

import sqlalchemy as sa

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tlcore.config import ModelConfig
from tlcore.home import DataRoot
from tlcore.simple_heads.run import train_simple_heads
from tlcore.storage.database import writing
from tlcore.storage.datasets import commit_version
from tlcore.storage.jobs import claim_job, create_job, end_job, write_result
from tlcore.storage.projects import create_project
from tlcore.storage.requests import SimpleHeadsRequest
from tlcore.storage.simple_heads import frozen_backbone

MODEL = frozen_backbone(ModelConfig(image_size=64))


def make_project_with_heads(engine: sa.Engine, home: DataRoot, owner: str, *, per_class: int = 12) -> tuple[str, str]:
    """Make a project that tells colours apart, and return it with the id of a model.

    Args:
        engine: The database.
        home: A data root in which the embedded backbone is ready for pictures of 64 pixels.
        owner: To whom it belongs.
        per_class: Pictures of each colour; with 40 there are enough to tell what looks like none of them.
    """
    project_id = create_project(engine, owner, "Colours").id
    dataset = coloured_dataset(home, per_class)
    version = commit_version(engine, project_id, dataset, "made", parent=None, home=home)
    job_id = create_job(engine, "simple_heads", project_id, SimpleHeadsRequest(version, MODEL))
    job = claim_job(engine, "simple_heads")
    assert job is not None
    folder = home.simple_heads_dir / job_id
    result = train_simple_heads(dataset, MODEL, RecordingProgress(), folder=folder, home=home)
    with writing(engine) as connection:
        write_result(connection, job_id, job.attempt, result)
    end_job(engine, job_id, job.attempt, "finished")
    return project_id, f"{job_id}.logistic_regression"
