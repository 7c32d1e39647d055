"""What the workers of runs and measurements do."""

from __future__ import annotations

import contextlib
from functools import partial

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
from tlcore.storage.datasets import get_version, load_dataset
from tlcore.storage.full_disk import DiskWait
from tlcore.storage.jobs import JobState
from tlcore.storage.requests import (
    CrossValidationRequest,
    DoctorRequest,
    MapRequest,
    SettingsRequest,
    SimpleHeadsRequest,
)
from tlcore.storage.runs import (
    INFINITE_LOSS,
    Run,
    RunSummary,
    failed_twins,
    get_run,
    go_back_to_epoch,
    write_summary,
)
from tlcore.training.checkpoint import CHECKPOINT_FILE, Checkpoint, Checkpoints, UnfitCheckpointError, say
from tlcore.training.cross_validation import cross_validate
from tlcore.training.run import RunResult, search_learning_rate, train_classifier


def train(context: WorkerContext) -> tuple[JobState, str]:
    """Train what the run's row asks for and write its summary; go on where an earlier worker was ended."""
    run = get_run(context.engine, context.job_id)
    dataset = _dataset(context, run.version)
    directory = context.home.run_dir(run.id)
    launch_seconds = seconds_since_start()
    if not context.is_rescue:
        _take_over(context, run)
    room = context.room
    checkpoints = Checkpoints(directory / CHECKPOINT_FILE, run.config, dataset, room)
    if run.has_model and checkpoints.found is None:  # ended between its last two words
        return ("finished", "") if run.job.stop_requested is None else ("stopped", "Stopped.")
    try:
        result = _train(context, run, dataset, checkpoints, room)
    except UnfitCheckpointError:
        say("The checkpoint cannot be used: it belongs to another network. The training begins anew.")
        checkpoints.remove()
        result = _train(context, run, dataset, checkpoints, room)
    if result.timings is not None:
        # The next price tag is of use; without it the run is as good.
        with contextlib.suppress(StorageError):
            learn_speeds(run.config, dataset, result.timings, launch_seconds, context.home)
    if result.summary is None and context.is_rescue:
        message = f"{context.reason} No epoch was kept before that, so there is no model. Start the run again."
        return "stopped" if context.was_stopped else "failed", message
    if result.summary is None:
        return "stopped", "Stopped before the first epoch was finished, so there is no model."
    context.keep(partial(write_summary, run_id=run.id, attempt=context.attempt, summary=result.summary))
    checkpoint = checkpoints.found
    checkpoints.remove()
    if context.is_rescue and checkpoint is not None and not result.diverged:
        return _rescued(context, run, result.summary, checkpoint)
    if result.stopped and not result.diverged:
        return "stopped", f"Stopped. The model is the one of epoch {result.summary.best_epoch}, the best so far."
    if result.diverged:
        return "finished", (
            f"{INFINITE_LOSS}, so training ended early. The model is the one of epoch "
            f"{result.summary.best_epoch}, the best before that. Choose a smaller learning rate for the next run."
        )
    return "finished", ""


def _train(context: WorkerContext, run: Run, dataset: Dataset, checkpoints: Checkpoints, room: DiskWait) -> RunResult:
    """Train, or only keep what an earlier worker has left; with words for a disk that is full at the end."""
    found = checkpoints.found
    curve = () if found is None else found.curve
    context.keep(partial(go_back_to_epoch, run_id=run.id, attempt=context.attempt, curve=curve), room)
    if found is not None:
        say(f"Going on after epoch {found.epochs}, with the checkpoint of an earlier worker.")
    directory = context.home.run_dir(run.id)
    try:
        return train_classifier(
            dataset,
            run.config,
            directory,
            context.progress,
            context.home,
            checkpoints=checkpoints,
            only_keep=context.is_rescue,
            room=room,
        )
    except StorageError as error:
        kept = Checkpoints(directory / CHECKPOINT_FILE, run.config, dataset).found
        if kept is None:
            raise
        raise StorageError(
            f"{error} What was learned up to epoch {kept.epochs} is kept: when there is space, start a run with the "
            "same settings, and it goes on from there."
        ) from error


def _take_over(context: WorkerContext, run: Run) -> None:
    """Take the checkpoint of a run that failed with the same settings on the same pictures: the person tries again."""
    own = context.home.run_dir(run.id) / CHECKPOINT_FILE
    for run_id in failed_twins(context.engine, run):
        if own.exists():
            return
        with contextlib.suppress(OSError):
            own.parent.mkdir(parents=True, exist_ok=True)
            (context.home.run_dir(run_id) / CHECKPOINT_FILE).replace(own)


def _rescued(context: WorkerContext, run: Run, summary: RunSummary, checkpoint: Checkpoint) -> tuple[JobState, str]:
    """Say what was kept of a run that was ended from outside."""
    model = f"{context.reason} The model is the one of epoch {summary.best_epoch}"
    nothing_left = checkpoint.present.ending == "complete" and len(checkpoint.phases) == len(run.config.phases)
    if nothing_left and not context.was_stopped:
        return "finished", f"{model}, the best one: all its training was done before that."
    planned = sum(phase.training.epochs for phase in run.config.phases)
    return "stopped", f"{model}, the best so far; {summary.epochs} of {planned} epochs were trained."


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
