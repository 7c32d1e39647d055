"""What can be looked at and asked: the model of a run, a group of runs, a simple head on frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.amounts import accuracy_with_interval, accuracy_words, percent
from pages.components.state import Context
from pages.components.text import plain
from tlcore.backbones.registry import get_backbone
from tlcore.dataset import Split
from tlcore.errors import RunError
from tlcore.home import DataRoot
from tlcore.storage.deletion import has_model_files
from tlcore.storage.ensembles import Ensemble, EnsembleConfig, list_ensembles
from tlcore.storage.model_settings import ModelSettings, read_model_settings
from tlcore.storage.models import Model as Model  # the pages take it from here
from tlcore.storage.requests import SimpleHeadResult
from tlcore.storage.runs import Run, RunSummary
from tlcore.storage.simple_heads import TrainedSimpleHead, list_simple_heads, simple_head_dir

if TYPE_CHECKING:
    from tlcore.results.evaluation import Evaluation
    from tlcore.results.prediction import Predictor

NOT_KNOWN = "not known"
"""A validation accuracy that earlier versions did not note."""


def is_run_id(model_id: str) -> bool:
    """Whether an id from the address can be that of a run; those of groups and simple heads have a dot."""
    return "." not in model_id


def list_models(context: Context) -> list[Model]:
    """Return the models of the project: runs, groups, simple heads; the newest of each kind first."""
    runs = [run for run in context.runs if run.has_model]
    project_id = context.project.id
    return [*runs, *list_ensembles(context.engine, project_id), *list_simple_heads(context.engine, project_id)]


def can_answer(context: Context, model: Model) -> bool:
    """Whether a model can be asked, or be taken away: the files of all its runs are there, and nobody freed them."""
    if isinstance(model, TrainedSimpleHead):
        return True
    if isinstance(model, Ensemble):
        return all(has_model_files(run_id, context.home) for run_id in model.config.run_ids)
    return model.has_model and has_model_files(model.id, context.home)


def answering_runs(context: Context) -> list[Run]:
    """Return the runs whose model can be asked, the newest first."""
    return [run for run in context.runs if can_answer(context, run)]


def freed_words(context: Context, model: Model) -> str:
    """Return what to say of a model that cannot answer any more."""
    this = "a model of this group" if isinstance(model, Ensemble) else "this model"
    freed = f"{this.capitalize()} was freed on Storage" if context.is_guest else f"You freed {this} on Storage"
    return (
        f"{freed}, so it answers no further picture and has no file to take away. Its results stay. Train again to "
        "make it anew: the same settings and pictures make the same model."
    )


def model_title(model: Model) -> str:
    """Return a model in a few words, such as `Run 3: 94.0 % on validation, EfficientNet-Lite0`."""
    words = validation_words(model)
    parts = [] if words == NOT_KNOWN else [f"{words} on validation" if words.endswith("%") else words]
    if isinstance(model, Ensemble):
        return ": ".join([f"Group \u201c{plain(model.name, 40)}\u201d", *parts])
    config = model.model if isinstance(model, TrainedSimpleHead) else model.config.model
    return f"{short_name(model)}: {', '.join([*parts, get_backbone(config.backbone).title])}"


def short_name(model: Model) -> str:
    """Return what a model is called inside of a sentence, such as `Run 3` or `the group`."""
    if isinstance(model, Ensemble):
        return "the group"
    if isinstance(model, TrainedSimpleHead):
        from tlcore.simple_heads.training import find_simple_head_spec

        return find_simple_head_spec(model.result.kind).title
    return f"Run {model.number}"


def validation_words(model: Model, *, with_interval: bool = False) -> str:
    """Return the validation accuracy of a model that can answer, such as `94.0 %`, or that there is none."""
    counts = validation_counts(model)
    if counts is not None:
        return (accuracy_with_interval if with_interval else accuracy_words)(*counts, "validation")
    summary = model.summary if isinstance(model, Run) else None
    if summary is None or summary.validation_accuracy is None:
        return NOT_KNOWN
    return percent(summary.validation_accuracy)  # of how many pictures, runs of earlier versions did not note


def validation_counts(model: Model) -> tuple[int, int] | None:
    """Return how many validation pictures a model answered right, of how many.

    `None` when that is not known: earlier versions did not note it.
    """
    result = _result(model)
    if isinstance(result, RunSummary) and result.validation_accuracy is None:
        return 0, 0
    if result is None or result.validation_correct is None or result.validation_total is None:
        return None
    return result.validation_correct, result.validation_total


def exam_counts(model: Model) -> tuple[int, int]:
    """Return how many test pictures a model answered right, of how many; to be shown only when its exam is open."""
    result = _result(model)
    return (0, 0) if result is None else (result.test_correct, result.test_total)


def _result(model: Model) -> RunSummary | Ensemble | SimpleHeadResult | None:
    if isinstance(model, Ensemble):
        return model
    return model.result if isinstance(model, TrainedSimpleHead) else model.summary


def names_of_runs(runs: Sequence[Run]) -> str:
    """Return what two or more runs are called together, such as `Runs 1, 2 and 5`."""
    *others, last = (str(run.number) for run in runs)
    return f"Runs {', '.join(others)} and {last}"


def run_names(context: Context, run_ids: Sequence[str]) -> list[str]:
    """Return what runs are called; one that was deleted has no number any more."""
    numbers = {run.id: run.number for run in context.runs}
    return [f"Run {numbers[run_id]}" if run_id in numbers else "a deleted run" for run_id in run_ids]


def answers_of(context: Context, model: Model | EnsembleConfig, split: Split) -> Evaluation:
    """Return the answers of a model, or of a group that is to be made, to the pictures of a part of the data set.

    Raises:
        RunError: If they are missing or damaged.
    """
    config = model.config if isinstance(model, Ensemble) else model
    if isinstance(config, EnsembleConfig):
        from tlcore.results.ensembles import ensemble_evaluation

        return ensemble_evaluation(member_answers(context, config, split), config.weights)
    return _load_answers(_folder(context, config), split)


def member_answers(context: Context, config: EnsembleConfig, split: Split) -> list[Evaluation]:
    """Return the answers of each run of a group; errors as of `answers_of`."""
    return [_load_answers(context.home.run_dir(run_id), split) for run_id in config.run_ids]


def validation_answers(context: Context, model: Model | EnsembleConfig) -> Evaluation | None:
    """Return the answers to the validation pictures as `answers_of`; `None` when an earlier version kept none.

    Raises:
        RunError: If they are damaged.
    """
    return _kept_answers(context, model, "validation")


def training_answers(context: Context, model: Model) -> Evaluation | None:
    """Return the answers to training pictures as `answers_of`; `None` when there are none.

    Earlier versions kept none, and a run with augmentation keeps none; of a group all members must have them.

    Raises:
        RunError: If they are damaged.
    """
    return _kept_answers(context, model, "train")


def _kept_answers(context: Context, model: Model | EnsembleConfig, split: Split) -> Evaluation | None:
    config = model.config if isinstance(model, Ensemble) else model
    if isinstance(config, EnsembleConfig):
        folders = [context.home.run_dir(run_id) for run_id in config.run_ids]
    else:
        folders = [_folder(context, config)]
    kept = all((folder / _file_name(split)).is_file() for folder in folders)
    return answers_of(context, model, split) if kept else None


def _load_answers(folder: Path, split: Split) -> Evaluation:
    path, changed = folder / _file_name(split), None
    with suppress(OSError):  # what is missing, or cannot be read, is said by who reads it
        changed = path.stat().st_mtime_ns
    return _read_answers(folder, path.name, changed)


# A page asks for the same answers many times at every tap, and so does everybody who looks at the same model.
@st.cache_resource(max_entries=64, show_spinner=False)
def _read_answers(folder: Path, file_name: str, changed: int | None) -> Evaluation:
    from tlcore.results.evaluation import load_evaluation

    found = load_evaluation(folder, file_name)
    for array in (found.y_true, found.probabilities):
        array.setflags(write=False)  # all who ask get the same ones
    return found


def _file_name(split: Split) -> str:
    from tlcore.results.evaluation import FILE_NAME, TRAIN_FILE_NAME, VALIDATION_FILE_NAME

    return {"train": TRAIN_FILE_NAME, "validation": VALIDATION_FILE_NAME, "test": FILE_NAME}[split]


def settings_of(context: Context, model: Model) -> ModelSettings:
    """Return what was chosen for the answers of a model: its temperature and its threshold."""
    return read_model_settings(context.engine, context.project.id, model.id)


def threshold_of(context: Context, model: Model) -> float:
    """Return the probability below which a model says "I don't know", in `[0, 1]`; at 0 it always answers."""
    return settings_of(context, model).threshold


def predictor_of(context: Context, model: Model) -> Predictor:
    """Return a model, ready to answer; loaded once for everybody who looks at it.

    Its probabilities are calibrated, and it does not know below a threshold, when that was chosen on Understand.

    Raises:
        RunError: If its files are missing or damaged, or were freed.
    """
    from tlcore.results.calibration import calibrated

    if not can_answer(context, model):
        raise RunError(freed_words(context, model))
    settings = settings_of(context, model)
    predictor = calibrated(_loaded(context, model), settings.temperature)
    return replace(predictor, threshold=settings.threshold) if settings.threshold else predictor


def _loaded(context: Context, model: Model) -> Predictor:
    if isinstance(model, Ensemble):
        from tlcore.results.ensembles import ensemble_predictor

        members = [_predictor(context.home.run_dir(run_id), context.home) for run_id in model.config.run_ids]
        return ensemble_predictor(members, model.config.weights)
    load = _simple_head_predictor if isinstance(model, TrainedSimpleHead) else _predictor
    return load(_folder(context, model), context.home)


def _folder(context: Context, model: Run | TrainedSimpleHead) -> Path:
    if isinstance(model, TrainedSimpleHead):
        return simple_head_dir(model.job_id, model.result.kind, context.home)
    return context.home.run_dir(model.id)


@st.cache_resource(max_entries=8, show_spinner=False)
def _predictor(folder: Path, home: DataRoot) -> Predictor:
    from tlcore.results.prediction import load_predictor

    return load_predictor(folder, home)


@st.cache_resource(max_entries=4, show_spinner=False)
def _simple_head_predictor(folder: Path, home: DataRoot) -> Predictor:
    from tlcore.simple_heads.prediction import load_simple_head_predictor

    return load_simple_head_predictor(folder, home)
