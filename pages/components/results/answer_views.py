"""How answers look: one picture with its bars, many pictures as a grid, refused files with their reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.amounts import chance, percent
from pages.components.colors import class_color, is_dark
from pages.components.figures.results import probability_figure, probability_words
from pages.components.gallery import page_of
from pages.components.results.answers import DO_NOT_KNOW, Answer, best_guess, is_unknown
from pages.components.results.side_by_side import Rival, draw_differences, said_by, verdict_on
from pages.components.text import count, label, plain

if TYPE_CHECKING:
    from tlcore.results.prediction import Predictor

SURE_FROM = 0.8
"""From this probability on the page says "the model says"; below, that it is not sure."""

ANSWERS_PER_PAGE = 24
REASONS_AT_ONCE = 5


Below = Callable[[Answer], None]
"""Draws what belongs below an answer, such as a way to correct it."""


def show_answer(
    answer: Answer,
    predictor: Predictor,
    truth: str | None = None,
    below: Below | None = None,
    rival: Rival | None = None,
) -> None:
    """Show a picture beside the probabilities of its classes.

    Args:
        answer: To a picture that was not refused.
        predictor: The model that gave it.
        truth: What the picture really shows, when that is known.
        below: Draws what belongs below it.
        rival: Another model, whose answer stands beside this one; below it on a narrow screen.
    """
    other = None if rival is None else rival.answer_to(answer)
    widths = [2, 3] if other is None else [2, 3, 3]
    picture, *bars = st.columns(widths, gap="medium", vertical_alignment="center")
    with picture:
        st.image(answer.picture, width="stretch", alt=plain(answer.name))
    if rival is None or other is None:
        with bars[0]:
            show_probabilities(answer, predictor, truth)
    else:
        with picture:
            st.markdown(verdict_on(predictor, answer, rival, other))
        for column, name, one, asked in (
            (bars[0], rival.own_name, answer, predictor),
            (bars[1], rival.name, other, rival.predictor),
        ):
            with column:
                st.markdown(f"**{label(name[:1].upper() + name[1:])}**")
                show_probabilities(one, asked, truth, key="probabilities" if one is answer else "rival-probabilities")
    if below is not None:
        below(answer)


def show_probabilities(
    answer: Answer, predictor: Predictor, truth: str | None = None, key: str = "probabilities"
) -> None:
    """Show the best answer in words and the probabilities of all classes as bars.

    Args:
        answer: As of `show_answer`.
        predictor: As of `show_answer`.
        truth: As of `show_answer`.
        key: Of the chart.
    """
    said = predictor.class_names[answer.best]
    probability = answer.probabilities[answer.best]
    is_unsaid = is_unknown(answer.probabilities, predictor)
    if is_unsaid:
        st.markdown(f"### {DO_NOT_KNOW}")
        st.markdown(
            f"{DO_NOT_KNOW}: {best_guess(f'**{label(said)}**', probability)}, and it answers from "
            f"{percent(predictor.threshold)} on. You chose that on Understand."
        )
    else:
        verb = "The model says" if probability >= SURE_FROM else "The model is not sure, but leans towards"
        st.markdown(f"### {verb} {label(said)}")
    if truth is not None and is_unsaid:
        st.markdown(f":material/help: Its class is **{label(truth)}**.")
    elif truth is not None and truth == said:
        st.markdown(f":material/check_circle: Right: its class is **{label(truth)}**.")
    elif truth is not None:
        st.markdown(f":material/cancel: Wrong: its class is **{label(truth)}**.")
    colors = [class_color(color) for color in predictor.class_colors]
    st.plotly_chart(
        probability_figure(answer.probabilities, predictor.class_names, colors, dark=is_dark()),
        config={"displayModeBar": False},
        key=key,
        alt=probability_words(answer.probabilities, predictor.class_names),
    )
    st.caption(f"{label(answer.name)} · answered in {max(1, round(answer.milliseconds))} ms")


def show_all_answers(
    answers: Sequence[Answer],
    predictor: Predictor,
    *,
    below: Below | None = None,
    sign: Below | None = None,
    rival: Rival | None = None,
) -> bool:
    """Show many pictures with the best answer to each; a tap on one opens it with all its probabilities.

    Args:
        answers: To what was brought.
        predictor: The model that gave them.
        below: As in `show_answer`, where an answer is shown with all its probabilities.
        sign: Draws a few words below each of many.
        rival: As in `show_answer`.

    Returns:
        Whether there was an answer to show; files that were refused are named either way.
    """
    show_refused(answers)
    usable = [answer for answer in answers if not answer.reason]
    if len(usable) < 2:
        for answer in usable:
            show_answer(answer, predictor, answer.truth, below, rival)
        return bool(usable)
    st.subheader(f"{count(len(usable), 'picture')}", anchor=False)
    st.caption("Tap an answer to see all its probabilities.")
    wanted = {id(one) for one in (usable if rival is None else draw_differences(predictor, usable, rival))}
    grid = st.container()
    shown = page_of([one for one in enumerate(usable) if id(one[1]) in wanted], ANSWERS_PER_PAGE, "answers-page")
    with grid, st.grid(min_column_width=130, gap="small", vertical_alignment="bottom"):
        for index, answer in shown:
            with st.container(gap="xxsmall"):
                st.image(answer.picture, width="stretch", alt=plain(answer.name))
                said = f"{label(predictor.class_names[answer.best])} {chance(answer.probabilities[answer.best])}"
                if is_unknown(answer.probabilities, predictor):
                    said = f"{DO_NOT_KNOW} ({said})"
                if st.button(said, key=f"answer-{index}", width="stretch"):
                    _open_answer(answer, predictor, below, rival)
                if sign is not None:
                    sign(answer)
                if rival is not None:
                    _draw_other(answer, predictor, rival)
    return True


@st.dialog("The answer", width="large")
def _open_answer(answer: Answer, predictor: Predictor, below: Below | None, rival: Rival | None) -> None:
    show_answer(answer, predictor, answer.truth, below, rival)


def _draw_other(answer: Answer, predictor: Predictor, rival: Rival) -> None:
    """Say below an answer of the grid what the other model says, where that is something else."""
    other = rival.answer_to(answer)
    if other is not None and said_by(rival.predictor, other) != said_by(predictor, answer):
        said = f"{label(said_by(rival.predictor, other))} {chance(other.probabilities[other.best])}"
        st.caption(f":material/compare_arrows: {label(rival.name)}: {said}")


def show_refused(answers: Sequence[Answer]) -> None:
    """Name every file that could not be used, with its reason."""
    refused = [answer for answer in answers if answer.reason]
    if not refused:
        return
    lines = [f"**{label(answer.name)}**: {label(answer.reason)}" for answer in refused]
    st.warning(
        f"{count(len(refused), 'file')} could not be used:\n\n" + "\n\n".join(lines[:REASONS_AT_ONCE]),
        icon=":material/hide_image:",
    )
    if len(lines) > REASONS_AT_ONCE:
        with st.popover(f"Show the other {len(lines) - REASONS_AT_ONCE}"):
            st.markdown("\n\n".join(lines[REASONS_AT_ONCE:]))
