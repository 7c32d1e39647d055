"""The process of one measurement: `python -m tlcore.jobs.measure_worker MEASURE ATTEMPT`."""

from __future__ import annotations

import sys

from tlcore.jobs.processes import seconds_since_start
from tlcore.jobs.worker import WorkerContext, work
from tlcore.pricing.measuring import measure
from tlcore.storage.datasets import get_version, load_dataset
from tlcore.storage.jobs import JobState, get_job
from tlcore.storage.measures import get_measure


def measure_speeds(context: WorkerContext) -> tuple[JobState, str]:
    """Measure what the job's row asks for and remember the speeds."""
    launch_seconds = seconds_since_start()
    request = get_measure(context.engine, context.job_id)
    project_id = get_job(context.engine, context.job_id).project_id
    version = get_version(context.engine, project_id, request.version)
    dataset = load_dataset(version.content, context.home)
    measure(dataset, request.config, context.progress, launch_seconds, context.home)
    return "finished", ""


if __name__ == "__main__":
    sys.exit(work(measure_speeds))
