"""The exam: a model's test result, which is shown when somebody asks for it, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.components.amounts import accuracy_with_interval, ordinal
from pages.components.errors import errors_shown
from pages.components.forms import work_state
from pages.components.results.trained_models import Model, answers_of, exam_counts, validation_answers
from pages.components.state import Context
from pages.components.text import count
from tlcore.dataset import Split
from tlcore.errors import TransferLabError
from tlcore.settings.locks import check_lock
from tlcore.storage.exams import Exam, exams_on_same_pictures, list_exams, open_exam

if TYPE_CHECKING:
    from tlcore.results.evaluation import Evaluation

PICTURES: dict[Split, str] = {"validation": "Validation pictures", "test": "Exam (test pictures)"}


def opened_models(context: Context) -> set[str]:
    """Return the ids of the models of the project whose exams are open."""
    return {exam.model_id for exam in list_exams(context.engine, context.project.id)}


def choose_answers(context: Context, model: Model) -> tuple[Split, Evaluation] | None:
    """Return which answers of a model to look at: those to the validation pictures, or those of its open exam.

    `None`, and why, when there are neither. When there are both, the person chooses.

    Raises:
        RunError: If they are missing or damaged.
    """
    is_open = model.id in opened_models(context) and exam_counts(model)[1] > 0
    validation = validation_answers(context, model)
    has_validation = validation is not None and validation.total > 0
    split: Split = "test" if is_open and not has_validation else "validation"
    if is_open and has_validation:
        split = st.segmented_control(
            "Answers to which pictures?",
            list(PICTURES),
            format_func=lambda name: PICTURES[name],
            default="validation",
            required=True,
            key=_switch(model),
            help="Choose models by the validation pictures. The exam, on the test pictures, is for the end.",
        )
    if validation is None:
        st.info(
            "This model kept no answers to the validation pictures: it is from an earlier version, or its files were "
            "deleted. Train again to get them.",
            icon=":material/history:",
        )
    elif not has_validation:
        st.info(
            "This model had no validation pictures, so only its exam can tell how good it is. Set some pictures apart "
            "for validation on Data, then train again.",
            icon=":material/fact_check:",
        )
    if split == "test":
        return split, answers_of(context, model, split)
    return (split, validation) if validation is not None and has_validation else None


def draw_exam(context: Context, model: Model, shown: Split | None) -> None:
    """Offer to open the exam of a model, or say what its result is worth.

    Args:
        context: What the page works on.
        model: The model.
        shown: Which answers the page shows; `None` for none.
    """
    correct, total = exam_counts(model)
    if not total:
        st.info(
            "This model had no test pictures, so it has no exam. Set some pictures apart for the test on Data, then "
            "train again.",
            icon=":material/quiz:",
        )
        return
    opened = _opened_on_same_pictures(context, model)
    with st.container(border=True, key="exam"):
        number = next((place for place, exam in enumerate(opened, start=1) if exam.model_id == model.id), None)
        if number is not None:
            if shown != "test":
                st.markdown(
                    f"**Exam: {accuracy_with_interval(correct, total)}** of {count(total, 'test picture')} right."
                )
            st.markdown(meaning_of_exam(number, len(opened), total))
            return
        st.markdown(
            f"**The exam** is {count(total, 'test picture')} that this model has never seen. Open it when you have "
            f"made your choice. {_so_far(len(opened))}"
        )
        if st.button("Open the exam", key="open-exam", icon=":material/quiz:", **work_state(context, "exam")):
            with errors_shown():
                answers_of(context, model, "test")  # what cannot be shown is not counted
                check_lock(context.engine, "exam")
                open_exam(context.engine, context.project.id, model.id, model.version)
                st.session_state[_switch(model)] = "test"
                st.rerun()


def meaning_of_exam(number: int, opened: int, total: int) -> str:
    """Say how often an exam was taken, and what that means.

    Args:
        number: Which of the models on these pictures it was, from 1.
        opened: How many there are so far.
        total: Test pictures.
    """
    pictures = f"{'this' if total == 1 else 'these'} {count(total, 'test picture')}"
    if opened == 1:
        return f"This is the 1st model tested on {pictures}: a fair exam."
    place = ordinal(number) if number == opened else f"{ordinal(number)} of {opened:,}"
    word = "model" if number == opened else "models"
    return (
        f"This is the {place} {word} tested on {pictures}. Each look at the exam while you choose makes the best of "
        "them look better than it is: the more models, the more luck."
    )


def _so_far(opened: int) -> str:
    if not opened:
        return "No model was tested on them so far."
    return f"{count(opened, 'model was', 'models were')} tested on them so far."


def _opened_on_same_pictures(context: Context, model: Model) -> list[Exam]:
    def test_pictures(version: int) -> frozenset[str] | None:
        try:
            items = context.dataset_of(context.project, version).subset("test")
        except TransferLabError:  # a damaged list of pictures, which is said above
            return None
        return frozenset(item.image for item in items)

    return exams_on_same_pictures(list_exams(context.engine, context.project.id), model.version, test_pictures)


def _switch(model: Model) -> str:
    return f"answers-{model.id}"
