"""The process of one training run: `python -m tlcore.jobs.run_worker RUN ATTEMPT`."""

from __future__ import annotations

import contextlib
import sys

from tlcore.errors import StorageError
from tlcore.jobs.processes import seconds_since_start
from tlcore.jobs.worker import WorkerContext, work
from tlcore.pricing.speeds import learn_speeds
from tlcore.storage.database import writing
from tlcore.storage.datasets import get_version, load_dataset
from tlcore.storage.jobs import JobState
from tlcore.storage.runs import get_run, write_summary
from tlcore.training.run import train_classifier


def train(context: WorkerContext) -> tuple[JobState, str]:
    """Train what the run's row asks for and write its summary."""
    run = get_run(context.engine, context.job_id)
    version = get_version(context.engine, run.job.project_id, run.version)
    dataset = load_dataset(version.content, context.home)
    directory = context.home.run_dir(run.id)
    launch_seconds = seconds_since_start()
    result = train_classifier(dataset, run.config, directory, context.progress, context.home)
    if result.timings is not None:
        # The next price tag is of use; without it the run is as good.
        with contextlib.suppress(StorageError):
            learn_speeds(run.config, dataset, result.timings, launch_seconds, context.home)
    if result.summary is None:
        return "stopped", "Stopped before the first epoch was finished, so there is no model."
    with writing(context.engine) as connection:
        write_summary(connection, run.id, context.attempt, result.summary)
    if result.stopped:
        return "stopped", f"Stopped. The model is the one of epoch {result.summary.best_epoch}, the best so far."
    if result.diverged:
        return "finished", (
            f"The loss became infinite, so training ended early. The model is the one of epoch "
            f"{result.summary.best_epoch}, the best before that. Choose a smaller learning rate for the next run."
        )
    return "finished", ""


if __name__ == "__main__":
    sys.exit(work(train))
