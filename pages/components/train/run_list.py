"""The runs of a project, newest first: what was trained, how good it is, and a way to look at it again."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from pages.components.frame import step_link
from pages.components.results.compared_runs import compare_box
from pages.components.results.trained_models import validation_words
from pages.components.state import Context
from pages.components.text import count, label
from pages.components.unreadable import draw_unreadable
from tlcore.backbones.registry import get_backbone
from tlcore.storage.jobs import JobState
from tlcore.storage.runs import Run, read_runs

SHOWN_AT_FIRST = 5

STATE_BADGES: dict[JobState, tuple[str, str, Literal["gray", "blue", "green", "red"]]] = {
    "queued": ("waiting", ":material/hourglass_empty:", "gray"),
    "starting": ("starting", ":material/hourglass_top:", "blue"),
    "running": ("running", ":material/directions_run:", "blue"),
    "finished": ("finished", ":material/check:", "green"),
    "stopped": ("stopped", ":material/stop_circle:", "gray"),
    "failed": ("failed", ":material/error:", "red"),
}


def draw_earlier_runs(context: Context, shown: Run | None) -> None:
    """List the runs besides the one that is shown."""
    runs = [run for run in context.runs if shown is None or run.id != shown.id]
    _, unreadable = read_runs(context.engine, context.project.id)
    if not runs and not unreadable:
        return
    st.subheader("Your runs" if shown is None else "Other runs", anchor=False)
    draw_unreadable(unreadable)
    if any(run.has_model for run in runs):
        st.caption("With the validation accuracy of each and its 95 % interval.")
    for run in runs[:SHOWN_AT_FIRST]:
        _draw_row(context, run)
    if len(runs) > SHOWN_AT_FIRST:
        with st.expander(f"{count(len(runs) - SHOWN_AT_FIRST, 'older run')}"):
            for run in runs[SHOWN_AT_FIRST:]:
                _draw_row(context, run)


def _draw_row(context: Context, run: Run) -> None:
    text, icon, color = STATE_BADGES[run.job.state]
    with st.container(border=True, key=f"run-row-{run.number}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            compare_box(run)
            step_link("train", f"**Run {run.number}**", None, context.project.id, run.id, width=90)
            st.markdown(label(what_was_trained(run)), width=420)
            st.markdown(result_words(run), width=200)
            st.badge(text, icon=icon, color=color)
        if run.note:
            st.caption(f"Expected: {label(run.note)}")


def what_was_trained(run: Run) -> str:
    """Return a run's model and augmentation in a few words."""
    model, tuning = run.config.model, run.config.training.fine_tuning
    line = "head only" if model.first_trainable is None else f"from {model.first_trainable} on"
    if tuning is not None:
        line += f", then from {tuning.first_trainable} on"
    changed = "" if run.config.augmentation.is_identity else ", augmented"
    return f"{get_backbone(model.backbone).title}, {line}{changed}"


def result_words(run: Run) -> str:
    """Return a run's validation accuracy with its 95 % interval, or a dash while it has none."""
    if not run.has_model:
        return "–"
    words, bracket, interval = validation_words(run, with_interval=True).partition(" (")
    return f"**{words}**{bracket}{interval}"
