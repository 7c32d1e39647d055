"""The process that trains simple heads: `python -m tlcore.jobs.simple_heads_worker JOB ATTEMPT`."""

from __future__ import annotations

import sys

from tlcore.jobs.worker import WorkerContext, work
from tlcore.simple_heads.run import train_simple_heads
from tlcore.storage.database import writing
from tlcore.storage.datasets import get_version, load_dataset
from tlcore.storage.jobs import JobState, get_job
from tlcore.storage.simple_heads import get_simple_heads_request, write_simple_head_results


def train(context: WorkerContext) -> tuple[JobState, str]:
    """Train the heads that the job's row asks for and write down how good they became."""
    request = get_simple_heads_request(context.engine, context.job_id)
    project_id = get_job(context.engine, context.job_id).project_id
    version = get_version(context.engine, project_id, request.version)
    dataset = load_dataset(version.content, context.home)
    folder = context.home.simple_heads_dir / context.job_id
    tested = train_simple_heads(dataset, request.model, context.progress, folder=folder, home=context.home)
    with writing(context.engine) as connection:
        write_simple_head_results(connection, context.job_id, context.attempt, tuple(one.result for one in tested))
    return "finished", ""


if __name__ == "__main__":
    sys.exit(work(train))
