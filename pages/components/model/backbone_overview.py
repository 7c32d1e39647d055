"""All backbones side by side: accuracy against speed on this computer or size, and a table of what is known."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.components.amounts import duration
from pages.components.errors import errors_kept, show_error
from pages.components.figures.backbones import Axis, BackboneFacts, read_facts, scatter_figure, scatter_words
from pages.components.figures.live_plot import live_plot
from pages.components.job_view import draw_job
from pages.components.model.backbone_chooser import availability, recommend, take_backbone
from pages.components.state import Context
from tlcore.backbones.registry import BACKBONES
from tlcore.jobs.control import start_job
from tlcore.storage.jobs import JobStatus, last_job

SCATTER_HEIGHT = 420
POLL_SECONDS = 1.0
USUAL_SECONDS = 28
"""What one backbone took on two cores."""
OVERVIEW_KEY = "all_backbones"
AXIS_KEY = "scatter_axis"

AXIS_TITLES: dict[Axis, str] = {"speed": "Speed on this computer", "size": "Size"}


def draw_backbone_overview(context: Context) -> None:
    """Draw the scatter, whose points can be clicked, and the table with the same figures."""
    # Reading what was measured takes longer than the rest of the page, so it waits until somebody looks.
    title = f"Compare all {len(BACKBONES)} backbones"
    with st.expander(title, icon=":material/scatter_plot:", key=OVERVIEW_KEY, on_change="rerun") as panel:
        if panel.open:
            _draw_overview(context)


def _draw_overview(context: Context) -> None:
    chosen = context.project.config.model.backbone
    facts = [read_facts(spec, context.home) for spec in BACKBONES]
    measured = [one for one in facts if one.milliseconds is not None]
    axis: Axis = "size"
    if measured:
        st.session_state.setdefault(AXIS_KEY, "speed" if len(measured) > 1 else "size")
        chosen_axis: Axis | None = st.segmented_control(
            "Compare the accuracy with",
            list(AXIS_TITLES),
            format_func=lambda name: AXIS_TITLES[name],
            required=True,
            key=AXIS_KEY,
        )
        axis = chosen_axis or axis

    def take_clicked() -> None:
        name = st.session_state["backbones"].clicked
        if name in {spec.name for spec in BACKBONES}:
            take_backbone(context, name)

    live_plot(
        scatter_figure(facts, axis, chosen, {one.spec.name for one in recommend(BACKBONES)}),
        key="backbones",
        height=SCATTER_HEIGHT,
        description=scatter_words(facts, axis, chosen),
        on_click=take_clicked,
        toolbar=False,
    )
    st.caption(
        f"Up is better, left is {'quicker' if axis == 'speed' else 'smaller'}. Filled points are ready, open ones need "
        "a download. Click one to choose it."
    )
    job = _measuring(context)
    if job is not None:
        st.fragment(run_every=POLL_SECONDS)(_watch)(context, job.done)
    elif len(measured) < len(facts):
        _offer_measurement(context, len(facts) - len(measured), len(facts))
    _draw_table(context, facts)


def _measuring(context: Context) -> JobStatus | None:
    """Return the measurement of all backbones that waits or works, whoever asked for it."""
    return next(iter(context.active_jobs("backbones", of_everyone=True)), None)


def _watch(context: Context, drawn: int) -> None:
    """Show how far the measurement is; draw the whole page anew when there is something to see.

    Args:
        context: What the page works on.
        drawn: How many backbones were measured when the page was drawn.
    """
    job = _measuring(context)
    if job is None or job.done != drawn:
        st.rerun()
    draw_job(context, job)


def _offer_measurement(context: Context, unmeasured: int, total: int) -> None:
    which, button = f"{unmeasured} of {total} have", f"Measure the other {unmeasured}"
    if unmeasured == total:
        which, button = "They have", "Measure all"
    st.caption(
        f"{which} not been measured on this computer yet. Measuring needs no download and takes about "
        f"{duration(unmeasured * USUAL_SECONDS)}; work that somebody starts meanwhile goes first, and what is measured "
        "by then is kept."
    )
    last = last_job(context.engine, context.project.id, "backbones")
    if last is not None and last.state == "failed":
        show_error(last.message)
    st.button(
        button,
        key="measure_backbones",
        icon=":material/timer:",
        disabled=context.is_guest,
        on_click=_measure,
        args=(context,),
    )


def _measure(context: Context) -> None:
    """Put the measurement in line, and let whoever asks for it see the points come."""
    with errors_kept():
        start_job(context.engine, context.home, "backbones", context.project.id)
        st.session_state[AXIS_KEY] = "speed"


def _draw_table(context: Context, facts: Sequence[BackboneFacts]) -> None:
    ranked = sorted(facts, key=lambda one: -(one.spec.imagenet_top1 or 0))
    st.dataframe(
        {
            "Backbone": [one.spec.title for one in ranked],
            "ImageNet": [one.spec.imagenet_top1 and 100 * one.spec.imagenet_top1 for one in ranked],
            "ms per picture": [one.milliseconds for one in ranked],
            "Parameters": [one.spec.parameters / 1e6 for one in ranked],
            "Size": [one.spec.default_size for one in ranked],
            "Weights": [availability(one.spec, context) for one in ranked],
            "Source": [one.spec.imagenet_source for one in ranked],
        },
        hide_index=True,
        placeholder="–",
        column_config={
            "Backbone": st.column_config.TextColumn(pinned=True),
            "ImageNet": st.column_config.NumberColumn(
                format="%.1f %%", help="Photos of ImageNet's validation set that it names right (top-1), as published."
            ),
            "ms per picture": st.column_config.NumberColumn(
                format="%.1f", help="Measured on this computer with all cores; – where it was not."
            ),
            "Parameters": st.column_config.NumberColumn(format="%.1f M", help="Without the old classifier."),
            "Size": st.column_config.NumberColumn(format="%d px", help="Side of the pictures that it was trained on."),
            "Source": st.column_config.LinkColumn(help="Where the accuracy is published."),
        },
        alt="All backbones with accuracy, speed, size and weights",
    )
