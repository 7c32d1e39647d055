"""The process of one learning-rate search: `python -m tlcore.jobs.search_worker SEARCH ATTEMPT`."""

from __future__ import annotations

import sys

from tlcore.config import to_json
from tlcore.jobs.worker import WorkerContext, work
from tlcore.storage.database import writing
from tlcore.storage.datasets import get_version, load_dataset
from tlcore.storage.jobs import JobState
from tlcore.storage.rate_searches import get_search, write_search_result
from tlcore.training.run import search_learning_rate


def search(context: WorkerContext) -> tuple[JobState, str]:
    """Try learning rates as the search's row asks, and write what was found."""
    stored = get_search(context.engine, context.job_id)
    version = get_version(context.engine, stored.job.project_id, stored.version)
    dataset = load_dataset(version.content, context.home)
    found = search_learning_rate(dataset, stored.config, context.progress, context.home)
    with writing(context.engine) as connection:
        write_search_result(connection, context.job_id, context.attempt, to_json(found))
    return "finished", ""


if __name__ == "__main__":
    sys.exit(work(search))
