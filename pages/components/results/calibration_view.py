"""How far a model's probabilities can be believed, and from which one on it answers; kept for each model."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import streamlit as st

from pages.components.amounts import accuracy_with_interval, interval_range, percent
from pages.components.colors import is_dark
from pages.components.errors import errors_kept, errors_shown, show_kept_error
from pages.components.figures.calibration import (
    calibration_description,
    calibration_figure,
    coverage_figure,
)
from pages.components.results.trained_models import Model, settings_of, validation_answers
from pages.components.state import Context
from pages.components.text import count
from tlcore.dataset import Split
from tlcore.errors import RunError
from tlcore.results.calibration import (
    FEWEST_ANSWERS,
    CalibrationBin,
    Coverage,
    calibrated_evaluation,
    calibration_bins,
    coverage_curve,
    error_by_chance,
    expected_calibration_error,
    fit_temperature,
)
from tlcore.results.evaluation import Evaluation, accuracy_interval
from tlcore.storage.model_settings import ModelSettings, change_model_settings

FEW_MISTAKES = 10
"""A temperature that was fitted on fewer wrong answers depends on single pictures."""

HIGHEST_THRESHOLD = 99
THRESHOLDS = [number / 100 for number in range(HIGHEST_THRESHOLD + 1)]


@dataclass(frozen=True, slots=True)
class Honesty:
    """How far probabilities can be believed.

    Attributes:
        bins: The answers in ranges of their probability.
        error: Expected calibration error, in `[0, 1]`.
        by_chance: What error luck alone can show, in `[0, 1]`.
        confidence: Mean probability of the answers, in `[0, 1]`.
        correct: Pictures that were answered right.
        total: Pictures, at least one.
    """

    bins: tuple[CalibrationBin, ...]
    error: float
    by_chance: float
    confidence: float
    correct: int
    total: int


def as_answered(context: Context, model: Model, evaluation: Evaluation) -> Evaluation:
    """Return answers with the probabilities that Predict would give: calibrated ones where that was chosen."""
    return calibrated_evaluation(evaluation, settings_of(context, model).temperature)


def draw_calibration(context: Context, model: Model, evaluation: Evaluation, split: Split) -> None:
    """Show whether answers are right as often as their probability says, and let the person mend it.

    Args:
        context: What the page works on.
        model: The model.
        evaluation: Its answers with their original probabilities, to at least one picture.
        split: To which pictures.
    """
    used = settings_of(context, model).temperature
    validation = evaluation if split == "validation" else _validation(context, model)
    fitted = None if validation is None else _fit(model.id, validation)
    before = _honesty(model.id, split, 1.0, evaluation)
    scaled = fitted if used == 1 else used
    after = None if scaled is None else _honesty(model.id, split, scaled, evaluation)
    now, other = (before, after) if used == 1 or after is None else (after, before)
    st.subheader(
        "When it says 80 %, is it right in 80 %?",
        anchor=False,
        help="The field calls this **calibration**. Each dot is the answers of one range of probabilities: to the "
        "right, how sure the model said it was, upwards, how often it was right. On the dashed line both agree; below "
        "it the model is too sure. The bars are 95 % intervals: short where there are many pictures.",
    )
    figure, words = st.columns([3, 2], gap="large", vertical_alignment="center")
    with figure:
        st.plotly_chart(
            calibration_figure(
                now.bins,
                () if other is None else other.bins,
                "calibrated" if used == 1 else "original",
                dark=is_dark(),
            ),
            config={"displayModeBar": False},
            key="calibration",
            alt=calibration_description(now.bins),
        )
    with words:
        st.markdown(honesty_words(now, split))
        if scaled is None:
            st.caption(_why_no_temperature(validation))
        elif other is not None:
            st.markdown(_scaling_words(before.error, now.error if used != 1 else other.error, scaled, in_use=used != 1))
            st.caption(_fit_words(validation, split))
            _draw_switch(context, model, used, scaled)


def honesty_words(found: Honesty, split: Split) -> str:
    """Say how far probabilities and right answers are apart, and whether that can be luck."""
    low, high = accuracy_interval(found.correct, found.total)
    sure = (
        f"It says {percent(found.confidence, 1)} on average and is right in "
        f"{accuracy_with_interval(found.correct, found.total, split)}"
    )
    if low <= found.confidence <= high:
        sure = f"{sure}: on average that fits"
    else:
        sure = f"{sure}: it is **{'too sure' if found.confidence > high else 'not sure enough'}**"
    is_luck = found.error <= found.by_chance
    verdict = "so this may be nothing but luck" if is_luck else "so this is more than luck"
    return (
        f"{sure}. Range by range, its probabilities are **{_points(found.error)} off** (expected calibration error). "
        f"On {count(found.total, f'{split} picture')}, even exactly right probabilities may look "
        f"{_points(found.by_chance)} off: {verdict}."
    )


def _points(error: float) -> str:
    return f"{100 * error:.1f} points"


def _scaling_words(before: float, after: float, temperature: float, *, in_use: bool) -> str:
    if in_use:
        return (
            f":material/check_circle: **Calibrated probabilities are in use**, here and on Predict: "
            f"{_points(after)} off instead of {_points(before)}. The answers themselves stay the same."
        )
    word = "less" if temperature > 1 else "more"
    return (
        f"Calibrated, they would be {_points(after)} off: each answer gets {word} sure, and stays the same "
        f"answer (**temperature scaling**, temperature {temperature:.2f})."
    )


def _fit_words(validation: Evaluation | None, split: Split) -> str:
    if validation is None or not validation.total:
        return ""
    wrong = validation.total - validation.correct
    words = f"The temperature was fitted on {count(validation.total, 'validation picture')}"
    words += ", the very ones shown here, so the gain is a little flattered." if split == "validation" else "."
    if wrong < FEW_MISTAKES:
        words += f" Only {count(wrong, 'wrong answer')} among them: with other pictures it could be quite another one."
    return words


def _why_no_temperature(validation: Evaluation | None) -> str:
    if validation is None or not validation.total:
        return (
            "To calibrate them, the model must have answered validation pictures. It has no such answers: set pictures "
            "apart for validation on Data, then train again."
        )
    pictures = count(validation.total, "validation picture")
    if validation.correct == validation.total:
        return (
            f"They cannot be calibrated: all {pictures} were answered right, so nothing tells how often the model is "
            "wrong when it is less sure. More or harder validation pictures would."
        )
    wrong = validation.total - validation.correct
    if wrong < FEWEST_ANSWERS:
        return (
            f"They cannot be calibrated: of {pictures} only {count(wrong, 'was', 'were')} answered wrong, too few to "
            "tell how often the model is wrong when it is less sure. More validation pictures would."
        )
    return (
        f"They cannot be calibrated: how sure the model was of its answers to {pictures} says nothing about which of "
        "them are right. Train again with more pictures."
    )


def _draw_switch(context: Context, model: Model, used: float, scaled: float) -> None:
    words = "Use calibrated probabilities" if used == 1 else "Use the original ones"
    if st.button(
        words,
        key="calibrate",
        icon=":material/balance:",
        help="Predict uses them from then on.",
        disabled=context.is_guest,
    ):
        temperature = scaled if used == 1 else 1.0
        with errors_shown():
            _change(context, model, temperature=temperature)
            st.rerun()


def draw_threshold(context: Context, model: Model, evaluation: Evaluation, split: Split) -> None:
    """Let the person choose from which probability on the model answers, and show what that brings.

    Args:
        context: What the page works on.
        model: The model.
        evaluation: Its answers as Predict gives them, to at least one picture.
        split: To which pictures.
    """
    st.subheader(
        "I don't know",
        anchor=False,
        help="A model always has a most probable class, even for a picture that says nothing to it. With a "
        "**threshold** it answers only when it is sure enough. The line shows all thresholds: further left it answers "
        "fewer pictures (**coverage**), and those are right more often. The band is the 95 % interval.",
    )
    _draw_slider(context, model, coverage_curve(evaluation, THRESHOLDS), split)


# Streamlit keeps what a fragment gets while the page is open: a hundred points, not all the answers.
@st.fragment
def _draw_slider(context: Context, model: Model, curve: tuple[Coverage, ...], split: Split) -> None:
    show_kept_error()
    key = f"threshold-{model.id}"
    figure, words = st.columns([3, 2], gap="large", vertical_alignment="center")
    with words:
        chosen = st.slider(
            "Answer only from this probability on",
            0,
            HIGHEST_THRESHOLD,
            round(100 * settings_of(context, model).threshold),
            format="%d %%",
            key=key,
            on_change=partial(_save_threshold, context, model, key),
            help="At 0 % it always answers. Predict and the camera use it from then on.",
        )
        found = curve[chosen]
        st.markdown(coverage_words(found, split))
        st.caption(
            "Predict says \u201cI don't know\u201d below it, and what its best guess is."
            if chosen
            else "It always answers. Drag the slider: below that probability Predict says \u201cI don't know\u201d."
        )
    with figure:
        st.plotly_chart(
            coverage_figure(curve, found, dark=is_dark()),
            config={"displayModeBar": False},
            key="coverage",
            alt=coverage_words(found, split).replace("**", ""),
        )


def coverage_words(found: Coverage, split: Split) -> str:
    """Say how many pictures a model answers with a threshold, and how many of these answers are right."""
    pictures = count(found.total, f"{split} picture")
    if found.coverage is None or found.accuracy is None:
        return f"It answers **none** of the {pictures}. Choose a lower probability."
    return (
        f"It answers **{percent(found.coverage)}** of the {pictures} and is right in "
        f"**{percent(found.accuracy, 1)}** of those ({interval_range(found.correct, found.answered)})."
    )


def _save_threshold(context: Context, model: Model, key: str) -> None:
    if context.is_guest:  # a guest tries thresholds here, and none is kept
        return
    with errors_kept():
        _change(context, model, threshold=st.session_state[key] / 100)


def _change(context: Context, model: Model, **values: float) -> None:
    def changed(before: ModelSettings) -> ModelSettings:
        return replace(before, **values)

    change_model_settings(context.engine, context.project.id, model.id, changed)


def _validation(context: Context, model: Model) -> Evaluation | None:
    with suppress(RunError):  # which is said where they are shown
        return validation_answers(context, model)
    return None


# The answers of a model never change, so its id says which they are.
@st.cache_data(max_entries=256, show_spinner=False)
def _fit(model_id: str, _validation: Evaluation) -> float | None:
    return fit_temperature(_validation)


@st.cache_data(max_entries=256, show_spinner=False)
def _honesty(model_id: str, split: Split, temperature: float, _evaluation: Evaluation) -> Honesty:
    answers = calibrated_evaluation(_evaluation, temperature)
    return Honesty(
        calibration_bins(answers),
        expected_calibration_error(answers) or 0.0,
        error_by_chance(answers) or 0.0,
        float(answers.probabilities.max(axis=1).mean()),
        answers.correct,
        answers.total,
    )
