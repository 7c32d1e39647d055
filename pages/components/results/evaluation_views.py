"""The parts of the Understand page: accuracy, mistakes, scores per class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np
import streamlit as st

from pages.components.amounts import accuracy_decimals, accuracy_words, interval_words, percent, points
from pages.components.colors import is_dark
from pages.components.figures.results import accuracy_figure
from pages.components.results.answered_pictures import show_answered
from pages.components.results.confusion_view import show_confusion
from pages.components.results.trained_models import Model
from pages.components.text import count, label, plain
from tlcore.dataset import Dataset, Split
from tlcore.intake.leaks import leak_name, leaks
from tlcore.intake.splitting import units
from tlcore.results.evaluation import (
    Answered,
    ClassReport,
    Evaluation,
    average_reports,
    class_reports,
    mistakes,
)
from tlcore.storage.ensembles import Ensemble
from tlcore.storage.images import ImageStore
from tlcore.storage.runs import Run

FEW_PICTURES = 30
"""Below this many pictures a single one moves the accuracy by more than three points."""

FEW_UNITS = 10
"""Below this many scenes or groups, how many pictures there are says little."""

COMMON_PAIRS = 5
ROWS_AT_ONCE = 25


def show_accuracy(evaluation: Evaluation, split: Split, model: Model) -> None:
    """Show the share of right answers of a model on some pictures with its interval, in words."""
    correct, total = evaluation.correct, evaluation.total
    interval = interval_words(correct, total)
    number, words = st.columns([2, 3], gap="medium", vertical_alignment="center")
    with number:
        st.plotly_chart(
            accuracy_figure(correct, total, dark=is_dark()),
            config={"displayModeBar": False},
            key="accuracy",
            alt=f"{split.capitalize()} accuracy {accuracy_words(correct, total)}, {interval}",
        )
    with words:
        st.markdown(f"##### {split.capitalize()} accuracy: {correct:,} of {count(total, f'{split} picture')} right")
        st.markdown(f"On new pictures like these, expect **{interval}**; one picture = {points(total)}.")
        if split == "validation":
            st.markdown(chosen_by_validation(model))
        with st.popover("What does that mean?", icon=":material/help:", type="tertiary"):
            st.markdown(_accuracy_explanation(evaluation, split))
    if total < FEW_PICTURES:
        st.warning(
            f"Only {count(total, f'{split} picture')}: that is too few to trust the number. "
            f"Treat it as a first impression, and bring more pictures on Data.",
            icon=":material/scale:",
        )


def show_what_belongs_together(evaluation: Evaluation, split: Split, dataset: Dataset) -> None:
    """Say what near-copies of training pictures do to an accuracy, and when its pictures are of few scenes or groups.

    Args:
        evaluation: Answers to pictures of the data set.
        split: Which ones.
        dataset: What the model learned from.
    """
    learned = leaks(dataset, split)
    known = np.array([image in learned for image in evaluation.images], bool)
    number = int(known.sum())
    if number and number < evaluation.total:
        right = int((evaluation.y_pred == evaluation.y_true)[~known].sum())
        st.markdown(
            f"Without the {number:,} that {'is' if number == 1 else 'are'} {leak_name(dataset, learned, number)}: "
            f"**{accuracy_words(right, evaluation.total - number)} instead of "
            f"{accuracy_words(evaluation.correct, evaluation.total)}**."
        )
    elif number:
        st.markdown(f"All of them are {leak_name(dataset, learned, 2)}, so this says little of new ones.")
    unit_of = units(dataset.items, scenes_together=dataset.scenes_together)
    found = len({unit_of[image] for image in evaluation.images if image in unit_of})
    if found < min(FEW_UNITS, evaluation.total):
        st.caption(
            f"These {count(evaluation.total, 'picture')} are of {count(found, 'scene or group', 'scenes or groups')} "
            "only, so they say less of new ones than their number does."
        )


def chosen_by_validation(model: Model) -> str:
    """Say what the validation pictures chose for a model, and so how much its result on them flatters it."""
    if isinstance(model, Run):
        return "These pictures chose the best epoch, so the number is a little optimistic."
    if not isinstance(model, Ensemble):
        return "These pictures chose nothing here. The best of several heads by them is a little lucky, though."
    if model.config.weighting == "validation":
        return "These pictures chose the best epochs of the members and fitted their weights: the number is optimistic."
    return "These pictures chose the best epochs of the members, so the number is a little optimistic."


def _accuracy_explanation(evaluation: Evaluation, split: Split) -> str:
    largest = max(Counter(evaluation.y_true.tolist()).values())
    what = {
        "test": "**Test accuracy** is the share of right answers on the test pictures. The model never saw them while "
        "it learned, and they chose nothing, so this is a fair exam: the first time.",
        "validation": "**Validation accuracy** is the share of right answers on the validation pictures. The model did "
        "not learn from them. They are there to choose by: the best epoch, the best model. What is chosen by them is "
        "also lucky with them, so the number is a little optimistic; the fair one is the exam on the test pictures.",
    }[split]
    return (
        f"{what}\n\n"
        "Another set of pictures would give a slightly different number. The range is the "
        "**95 % confidence interval** (Wilson's): made this way, such a range holds the true accuracy in 95 of 100 "
        "cases. More pictures make it narrower.\n\n"
        f"To compare: always saying the most frequent class would be right in {percent(largest / evaluation.total)}."
    )


def show_mistakes(
    evaluation: Evaluation,
    split: Split,
    images: ImageStore,
    *,
    key: str,
    below: Callable[[Answered], object] | None = None,
) -> None:
    """Show the pictures with a wrong answer, the surest wrong answer first.

    Args:
        evaluation: Answers to pictures.
        split: Which ones.
        images: Where the pictures are.
        key: Of these answers alone; with another one no kind of mistake is chosen.
        below: Draws more below each.
    """
    st.subheader("The mistakes", anchor=False)
    wrong = mistakes(evaluation)
    if not wrong:
        st.success(
            f"Not one: all {count(evaluation.total, f'{split} picture')} were answered right. "
            "Try harder ones on Predict: other backgrounds, other light, drawings.",
            icon=":material/verified:",
        )
        return
    st.caption("The model was most sure of the first ones. What could have misled it?")
    pair = _choose_pair(evaluation, wrong, f"mistakes-pair-{key}")
    if pair is not None:
        wrong = tuple(one for one in wrong if (one.y_true, one.y_pred) == pair)
    show_answered(wrong, evaluation.class_names, images, key=f"mistakes-page-{key}-{pair}", below=below)


def _choose_pair(evaluation: Evaluation, wrong: tuple[Answered, ...], key: str) -> tuple[int, int] | None:
    """Let the person look at one kind of mistake: what the pictures are, and what the model said."""
    pairs = Counter((mistake.y_true, mistake.y_pred) for mistake in wrong).most_common(COMMON_PAIRS)
    if len(pairs) < 2:
        return None
    names = evaluation.class_names
    chosen = st.pills(
        "Most frequent mix-ups",
        [pair for pair, _ in pairs],
        format_func=lambda pair: f"{label(names[pair[0]])} → {label(names[pair[1]])}: {dict(pairs)[pair]}",
        key=key,
        help="What it is → what the model said: how many. Tap one to see only these, tap again for all.",
    )
    return None if chosen is None else (chosen[0], chosen[1])


def show_classes(
    evaluation: Evaluation,
    split: Split,
    images: ImageStore,
    *,
    key: str,
    below: Callable[[Answered], object] | None = None,
) -> None:
    """Show which class is taken for which with the pictures of a cell, and the scores of each class."""
    show_confusion(evaluation, split, images, key=key, below=below, beside=partial(_show_scores, evaluation, split))


def _show_scores(evaluation: Evaluation, split: Split) -> None:
    """Show precision, recall, F1 and support of every class, with the words explained one tap away."""
    st.subheader("Class by class", anchor=False)
    reports = class_reports(evaluation)
    rows = (*reports, *average_reports(reports))
    decimals = accuracy_decimals(max((report.support for report in reports), default=0))
    st.dataframe(
        {
            "Class": [plain(row.name) for row in rows],
            "Precision": [_hundred(row.precision) for row in rows],
            "Recall": [_hundred(row.recall) for row in rows],
            "F1": [_hundred(row.f1) for row in rows],
            "Support": [row.support for row in rows],
        },
        hide_index=True,
        height="content" if len(rows) <= ROWS_AT_ONCE else "auto",
        placeholder="–",
        column_config={
            "Class": st.column_config.TextColumn(pinned=True),
            **{
                name: st.column_config.NumberColumn(format=f"%.{decimals}f %%", help=SCORE_MEANINGS[name])
                for name in ("Precision", "Recall", "F1")
            },
            "Support": st.column_config.NumberColumn(help=SCORE_MEANINGS["Support"]),
        },
        alt="Precision, recall, F1 and support of each class, then their macro and weighted averages",
    )
    undefined = [sentence for report in reports for sentence in _why_undefined(report, split)]
    for sentence in undefined[:COMMON_PAIRS]:
        st.caption(sentence)
    if len(undefined) > COMMON_PAIRS:
        st.caption(f"The same goes for {len(undefined) - COMMON_PAIRS} more.")
    with st.popover("What do these words mean?", icon=":material/help:", type="tertiary"):
        for name, meaning in SCORE_MEANINGS.items():
            st.markdown(f"**{name}**: {meaning}")


SCORE_MEANINGS = {
    "Precision": "of all pictures that the model called this class, how many really are. High: you can believe it.",
    "Recall": "of all pictures of this class, how many the model found. High: it misses few.",
    "F1": "precision and recall in one number (their harmonic mean); it is low as soon as one of them is.",
    "Support": "how many of these pictures the class has. The fewer, the less the other numbers say.",
    "Macro avg": "the mean over the classes, each counting the same: a rare class matters as much as a large one.",
    "Weighted avg": "the mean over the pictures: each class counts as often as it has pictures. In both "
    "averages a dash (–) counts as 0.",
}


def _hundred(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def _why_undefined(report: ClassReport, split: Split) -> list[str]:
    sentences = []
    if report.precision is None:
        sentences.append(f"{label(report.name)} has no precision (–): the model never gave this answer.")
    if report.recall is None:
        sentences.append(f"{label(report.name)} has no recall (–): there is no {split} picture of it.")
    return sentences
