"""How often a model is right in every part of the data set, overall and for each class, each with its interval."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.amounts import accuracy_with_interval
from pages.components.results.evaluation_views import ROWS_AT_ONCE
from pages.components.results.exam import opened_models
from pages.components.results.trained_models import (
    Model,
    answers_of,
    exam_counts,
    training_answers,
    validation_answers,
)
from pages.components.state import Context
from pages.components.text import count, plain
from tlcore.dataset import Split
from tlcore.errors import RunError, TransferLabError
from tlcore.results.evaluation import class_reports, top_k_correct, usual_k
from tlcore.storage.runs import Run, read_metrics
from tlcore.storage.simple_heads import TrainedSimpleHead

if TYPE_CHECKING:
    from tlcore.results.evaluation import Evaluation

PARTS: dict[Split, str] = {"train": "Train", "validation": "Validation", "test": "Test"}

CLOSED = "exam not opened"
NONE_KEPT = "not kept"


@dataclass(frozen=True, slots=True)
class CurveEnd:
    """What the curve of a run says of its best epoch.

    Attributes:
        correct: Training pictures that were answered right in it, rounded.
        total: Training pictures.
    """

    correct: int
    total: int


def draw_scores(context: Context, model: Model) -> None:
    """Show the share of right answers on the training, validation and test pictures; a closed exam stays closed."""
    st.subheader(
        "Train, validation and test",
        anchor=False,
        help="The model has learned from the training pictures, so it should know them: how much worse it is on the "
        "others is what it learned by heart (**overfitting**). Behind each share stands its 95 % interval: two shares "
        "whose intervals overlap a lot may be the same.",
    )
    found = _answers(context, model)
    train = found["train"]
    curve = _curve_end(context, model) if train is None else None
    names = next((one.class_names for one in found.values() if one is not None), ())
    k = usual_k(len(names))
    rows = {split: _row(one, split, k) for split, one in found.items()}
    if curve is not None:
        rows["train"] = [f"{curve.total:,}", f"{accuracy_with_interval(curve.correct, curve.total)} \\*", "–"]
    if found["test"] is None and exam_counts(model)[1]:
        rows["test"] = [f"{exam_counts(model)[1]:,}", CLOSED, CLOSED]
    table = {
        "Part": list(PARTS.values()),
        "Pictures": [rows[split][0] for split in PARTS],
        "Right": [rows[split][1] for split in PARTS],
    }
    if k is not None:
        table[f"Right class among the first {k} (top-{k})"] = [rows[split][2] for split in PARTS]
    st.table(table, hide_index=True, border="horizontal")
    st.caption(train_words(context, model, train, curve))
    with st.expander(
        "Each class in every part", icon=":material/table_rows:", key="class-scores", on_change="rerun"
    ) as panel:
        if panel.open:
            _draw_classes(found, names)


def _answers(context: Context, model: Model) -> dict[Split, Evaluation | None]:
    """Return the answers to each part, `None` for those that are not there or that nobody has asked for."""
    found: dict[Split, Evaluation | None] = dict.fromkeys(PARTS)
    with suppress(RunError):  # members of a group that were asked about different pictures, or damage, said above
        found["train"] = training_answers(context, model)
    with suppress(RunError):
        found["validation"] = validation_answers(context, model)
    if model.id in opened_models(context):
        with suppress(RunError):
            found["test"] = answers_of(context, model, "test")
    return {split: one if one is not None and one.total else None for split, one in found.items()}


def _row(evaluation: Evaluation | None, split: Split, k: int | None) -> list[str]:
    if evaluation is None:
        return ["–", NONE_KEPT if split == "train" else f"no {split} pictures", "–"]
    total = evaluation.total
    top = "–" if k is None else accuracy_with_interval(top_k_correct(evaluation, k), total, split)
    return [f"{total:,}", accuracy_with_interval(evaluation.correct, total, split), top]


def _curve_end(context: Context, model: Model) -> CurveEnd | None:
    """Return the training accuracy of a run's best epoch; `None` when its curve or its pictures are not known."""
    if not isinstance(model, Run) or model.summary is None:
        return None
    best = float(model.summary.best_epoch)
    accuracy = next(
        (
            point.value
            for point in read_metrics(context.engine, model.id)
            if point.name == "accuracy" and point.epoch == best
        ),
        None,
    )
    with suppress(TransferLabError):  # a damaged list of pictures, which is said above
        total = len(context.dataset_of(context.project, model.version).subset("train"))
        if accuracy is not None and total:
            return CurveEnd(round(accuracy * total), total)
    return None


def train_words(context: Context, model: Model, train: Evaluation | None, curve: CurveEnd | None) -> str:
    """Say what the training figure is, and why it is missing when it is."""
    if curve is not None:
        return (
            f"\\* From the curve, on average over the best epoch: while the model was still learning, each of its "
            f"{count(curve.total, 'training picture')} once, changed by augmentation where that was chosen. Runs with "
            "augmentation and those of earlier versions keep no answers to training pictures."
        )
    if train is None:
        return (
            "Answers to training pictures were not kept: the model, or a member of the group, is from an earlier "
            "version or was trained with augmentation. Train again without to get them."
        )
    words = "It is asked about the training pictures as they are, after training."
    total = train.total
    with suppress(TransferLabError):
        total = len(context.dataset_of(context.project, model.version).subset("train"))
    if total > train.total:
        words = f"Of the {total:,} training pictures {train.total:,} drawn at random are asked about, after training."
    if isinstance(model, TrainedSimpleHead) and model.result.kind == "nearest_neighbours":
        words += " This head keeps its training pictures and finds each of them again, so that figure says nothing."
    return words


def _draw_classes(found: dict[Split, Evaluation | None], names: tuple[str, ...]) -> None:
    """Show how many pictures of each class are found, in each part that has answers."""
    st.caption(
        "How many pictures of the class the model finds (**recall**), with the 95 % interval. The fewer pictures, the "
        "wider it is."
    )
    table = {"Class": [plain(name) for name in names]}
    for split, one in found.items():
        if one is not None:
            table[PARTS[split]] = [
                accuracy_with_interval(round((report.recall or 0) * report.support), report.support, split)
                if report.support
                else "–"
                for report in class_reports(one)
            ]
    st.dataframe(
        table,
        hide_index=True,
        height="content" if len(names) <= ROWS_AT_ONCE else "auto",
        column_config={"Class": st.column_config.TextColumn(pinned=True)},
        alt=f"Recall of each class with its interval: {', '.join(list(table)[1:])}",
    )
