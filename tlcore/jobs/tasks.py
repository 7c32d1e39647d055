"""What the workers of runs and measurements do."""

from __future__ import annotations

import contextlib

from tlcore.backbones.registry import BACKBONES
from tlcore.dataset import Dataset
from tlcore.doctor.examination import examine
from tlcore.errors import StorageError
from tlcore.jobs.processes import seconds_since_start
from tlcore.jobs.worker import WorkerContext
from tlcore.mapping.maps import make_map
from tlcore.pricing.backbone_speeds import measure_backbones
from tlcore.pricing.measuring import measure
from tlcore.pricing.speeds import learn_speeds
from tlcore.simple_heads.run import train_simple_heads
from tlcore.storage.database import writing
from tlcore.storage.datasets import get_version, load_dataset
from tlcore.storage.jobs import JobState
from tlcore.storage.requests import (
    CrossValidationRequest,
    DoctorRequest,
    MapRequest,
    SettingsRequest,
    SimpleHeadsRequest,
)
from tlcore.storage.runs import INFINITE_LOSS, get_run, write_summary
from tlcore.training.cross_validation import cross_validate
from tlcore.training.run import search_learning_rate, train_classifier


def train(context: WorkerContext) -> tuple[JobState, str]:
    """Train what the run's row asks for and write its summary."""
    if context.is_rescue:
        return "stopped" if context.was_stopped else "failed", f"{context.reason} There is no model. Start again."
    run = get_run(context.engine, context.job_id)
    dataset = _dataset(context, run.version)
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
            f"{INFINITE_LOSS}, so training ended early. The model is the one of epoch "
            f"{result.summary.best_epoch}, the best before that. Choose a smaller learning rate for the next run."
        )
    return "finished", ""


def search_rates(context: WorkerContext) -> None:
    """Try learning rates for the settings of the request, and write what was found."""
    request = context.request(SettingsRequest)
    dataset = _dataset(context, request.version)
    context.answer(search_learning_rate(dataset, request.config, context.progress, context.home))


def measure_speeds(context: WorkerContext) -> None:
    """Measure what a run with the settings of the request will take, and remember it."""
    launch_seconds = seconds_since_start()
    request = context.request(SettingsRequest)
    measure(_dataset(context, request.version), request.config, context.progress, launch_seconds, context.home)


def measure_all_backbones(context: WorkerContext) -> None:
    """Measure the backbones that nobody has measured on this machine yet."""
    measure_backbones(BACKBONES, context.progress, context.home)


def train_heads(context: WorkerContext) -> None:
    """Train the heads that the request asks for and write down how good they became."""
    request = context.request(SimpleHeadsRequest)
    dataset = _dataset(context, request.version)
    folder = context.home.simple_heads_dir / context.job_id
    context.answer(train_simple_heads(dataset, request.model, context.progress, folder=folder, home=context.home))


def train_on_other_splits(context: WorkerContext) -> None:
    """Train the settings of a run on other splits of its pictures, and write how good each training became."""
    request = context.request(CrossValidationRequest)
    run = get_run(context.engine, request.run_id)
    dataset = _dataset(context, run.version)
    context.answer(cross_validate(dataset, run.config, context.progress, context.home, splits=request.splits))


def examine_pictures(context: WorkerContext) -> None:
    """Look through the pictures of the request for faults, and write what was found."""
    request = context.request(DoctorRequest)
    context.answer(examine(_dataset(context, request.version), request.model, context.progress, context.home))


def arrange_pictures(context: WorkerContext) -> None:
    """Make the map of the pictures of the request, and keep it."""
    request = context.request(MapRequest)
    make_map(_dataset(context, request.version), request.backbone, context.progress, context.home)


def _dataset(context: WorkerContext, version: int) -> Dataset:
    """Return a version of the data set of the job's project."""
    return load_dataset(get_version(context.engine, context.project_id, version).content, context.home)
