"""What can be looked at and asked: the model of a run, a group of runs, a simple head on frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import streamlit as st

from pages.components.amounts import NO_TEST_PICTURES, accuracy_words
from pages.components.state import Context
from pages.components.text import plain
from tlcore.backbones.registry import get_backbone
from tlcore.home import DataRoot
from tlcore.storage.ensembles import Ensemble, EnsembleConfig, list_ensembles
from tlcore.storage.runs import Run
from tlcore.storage.simple_heads import TrainedSimpleHead, list_simple_heads, simple_head_dir

if TYPE_CHECKING:
    from tlcore.results.evaluation import Evaluation
    from tlcore.results.prediction import Predictor

Model: TypeAlias = Run | Ensemble | TrainedSimpleHead
"""All have an `id`, which stands in the address, and the `version` of the data set that they learned from."""


def is_run_id(model_id: str) -> bool:
    """Whether an id from the address can be that of a run; those of groups and simple heads have a dot."""
    return "." not in model_id


def list_models(context: Context) -> list[Model]:
    """Return the models of the project: runs, groups, simple heads; the newest of each kind first."""
    runs = [run for run in context.runs if run.has_model]
    project_id = context.project.id
    return [*runs, *list_ensembles(context.engine, project_id), *list_simple_heads(context.engine, project_id)]


def model_title(model: Model) -> str:
    """Return a model in a few words, such as `Run 3: 94.0 % right, EfficientNet-Lite0`."""
    if isinstance(model, Ensemble):
        return f"Group \u201c{plain(model.name, 40)}\u201d: {_right(model.test_correct, model.test_total)}"
    if isinstance(model, TrainedSimpleHead):
        from tlcore.simple_heads.training import find_simple_head_spec

        right = _right(model.result.test_correct, model.result.test_total)
        title = find_simple_head_spec(model.result.kind).title
        return f"{title}: {right}, on {get_backbone(model.model.backbone).title}"
    summary = model.summary
    right = "" if summary is None else _right(summary.test_correct, summary.test_total)
    return f"Run {model.number}: {', '.join(filter(None, [right, get_backbone(model.config.model.backbone).title]))}"


def _right(correct: int, total: int) -> str:
    return f"{accuracy_words(correct, total)} right" if total else NO_TEST_PICTURES


def names_of_runs(runs: Sequence[Run]) -> str:
    """Return what two or more runs are called together, such as `Runs 1, 2 and 5`."""
    *others, last = (str(run.number) for run in runs)
    return f"Runs {', '.join(others)} and {last}"


def run_names(context: Context, run_ids: Sequence[str]) -> list[str]:
    """Return what runs are called; one that was deleted has no number any more."""
    numbers = {run.id: run.number for run in context.runs}
    return [f"Run {numbers[run_id]}" if run_id in numbers else "a deleted run" for run_id in run_ids]


def evaluation_of(context: Context, model: Model) -> Evaluation:
    """Return a model's answers to the test pictures.

    Raises:
        RunError: If they are missing or damaged.
    """
    from tlcore.results.evaluation import load_evaluation

    if isinstance(model, Ensemble):
        from tlcore.results.ensembles import ensemble_evaluation

        return ensemble_evaluation(member_evaluations(context, model.config), model.config.weights)
    return load_evaluation(_folder(context, model))


def member_evaluations(context: Context, config: EnsembleConfig) -> list[Evaluation]:
    """Return the answers of each run of a group to the test pictures; errors as of `evaluation_of`."""
    from tlcore.results.evaluation import load_evaluation

    return [load_evaluation(context.home.run_dir(run_id)) for run_id in config.run_ids]


def predictor_of(context: Context, model: Model) -> Predictor:
    """Return a model, ready to answer; loaded once for everybody who looks at it.

    Raises:
        RunError: If its files are missing or damaged.
    """
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
