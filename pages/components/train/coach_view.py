"""What the curves of a run say, in words, each remark with a button that takes its next step."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import streamlit as st

from pages.components.forms import SettingsForm
from pages.components.frame import go_to
from pages.components.results.trained_models import Model, short_name, validation_answers
from pages.components.state import NEXT_RUN, Context
from pages.components.text import label
from tlcore.dataset import Dataset
from tlcore.errors import TransferLabError
from tlcore.results.comparison import compare_answers
from tlcore.results.curves.coach import remarks, went_well
from tlcore.results.curves.history import History, RunFacts
from tlcore.results.curves.remark import Remark, RemarkKind
from tlcore.storage.jobs import JobState
from tlcore.storage.runs import Run, last_metric, read_metrics

ICONS: Mapping[RemarkKind, str] = {
    "rate_too_high": ":material/speed:",
    "rate_too_low": ":material/hourglass_top:",
    "nothing_learned": ":material/help:",
    "frozen_too_little": ":material/local_fire_department:",
    "overfitting": ":material/menu_book:",
    "frozen_too_much": ":material/ac_unit:",
    "class_never_predicted": ":material/visibility_off:",
    "too_little_data": ":material/scale:",
    "still_improving": ":material/trending_up:",
    "validation_above": ":material/swap_vert:",
    "no_difference": ":material/drag_handle:",
}

STEP_HELP = "Fills Augment, Model and Train with the settings of this run and this one change. You start it yourself."
DATA_HELP = "Opens Data. The next run learns from the pictures as they are then."


def draw_coach(context: Context, model: Model) -> None:
    """Draw one to three remarks on the curves of a run with a next step each, or that it went well.

    Nothing is drawn for groups and simple heads, which have no curves, nor where there is nothing to say yet.
    """
    if not isinstance(model, Run):
        return
    try:
        dataset = context.dataset_of(context.project, model.version)
    except TransferLabError:  # a damaged list of pictures, which is said above
        return
    last = last_metric(context.engine, model.id)
    if last is None and not model.diverged:
        return
    earlier = _earlier(context, model)
    earlier_id = None if earlier is None else earlier.id
    found, praise = _remarks(model.id, last, model.job.state, earlier_id, context, model, dataset, earlier)
    if not found and not praise:
        return
    with st.container(border=True, key=f"coach-{model.number}"):
        st.markdown(
            "**What the curves say**",
            help="Rules look at the curves as a teacher would. Each remark names the numbers that it rests upon and "
            "one thing to try; whether it helps, the next run shows.",
        )
        if praise:
            st.markdown(f":material/check_circle: {label(praise)}")
        for remark in found:
            _draw_remark(context, model, remark)


def _draw_remark(context: Context, run: Run, remark: Remark) -> None:
    words, action = st.columns([3, 1], gap="medium", vertical_alignment="center")
    with words:
        st.markdown(f"{ICONS[remark.kind]} **{label(remark.lead)}** {label(remark.sentences)}")
    config = remark.step.config
    with action:
        pressed = st.button(
            label(remark.step.text),
            key=f"coach-{run.number}-{remark.kind}",
            icon=":material/photo_library:" if config is None else ":material/tune:",
            disabled=context.is_guest,
            help=DATA_HELP if config is None else STEP_HELP,
            width="stretch",
        )
    if not pressed:
        return
    if config is None:
        go_to("data", run=run.id)
    SettingsForm(context, "run").change(lambda _: config)
    go_to("train", run=NEXT_RUN)


# Thirty people who watch one run see the same remarks: they are made once for each new point.
@st.cache_resource(max_entries=64, show_spinner=False)
def _remarks(
    run_id: str,
    last: int | None,
    state: JobState,
    earlier_id: str | None,
    _context: Context,
    _run: Run,
    _dataset: Dataset,
    _earlier: Run | None,
) -> tuple[tuple[Remark, ...], str]:
    facts = _facts(_context, _run, _dataset, _earlier)
    found = remarks(facts)
    return found, "" if found else went_well(facts)


def _earlier(context: Context, run: Run) -> Run | None:
    """Return the run before this one to compare it with; `None` where there is none, or it was the same."""
    before = next((one for one in context.runs if one.has_model and one.number < run.number), None)
    if before is None or not run.has_model or (before.config, before.version) == (run.config, run.version):
        return None
    return before


def _facts(context: Context, run: Run, dataset: Dataset, before: Run | None) -> RunFacts:
    counts, config = dataset.counts(), run.config
    validation = earlier = None
    if run.has_model:
        with suppress(TransferLabError):  # damaged answers, which are said where they are shown
            validation = validation_answers(context, run)
    if validation is not None and before is not None:
        with suppress(TransferLabError):
            others = validation_answers(context, before)
            if others is not None:
                earlier = (short_name(before), compare_answers(validation, others))
    return RunFacts(
        history=History.of_points(read_metrics(context.engine, run.id)),
        config=config,
        train=tuple(counts[one.id, "train"] for one in dataset.classes),
        validation_pictures=len(dataset.subset("validation")),
        is_active=run.job.is_active,
        diverged=run.diverged,
        validation=validation,
        earlier=earlier,
    )
