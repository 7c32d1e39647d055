"""All backbones side by side: accuracy against speed on this computer or size, and a table of what is known."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.components.backbone_chooser import availability, recommend, take_backbone
from pages.components.backbone_scatter import Axis, BackboneFacts, read_facts, scatter_figure
from pages.components.live_plot import live_plot
from pages.components.state import Context
from tlcore.backbones.registry import BACKBONES

SCATTER_HEIGHT = 420
OVERVIEW_KEY = "all_backbones"

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
    axes: list[Axis] = ["speed", "size"] if measured else ["size"]
    axis: Axis = "size"
    if len(axes) > 1:
        axis = st.segmented_control(
            "Compare the accuracy with",
            axes,
            default="speed" if len(measured) > 1 else "size",
            format_func=AXIS_TITLES.get,
            required=True,
            key="scatter_axis",
        )

    def take_clicked() -> None:
        name = st.session_state["backbones"].clicked
        if name in {spec.name for spec in BACKBONES}:
            take_backbone(context, name)

    live_plot(
        scatter_figure(facts, axis, chosen, {one.spec.name for one in recommend(BACKBONES)}),
        key="backbones",
        height=SCATTER_HEIGHT,
        description=f"Accuracy on ImageNet of {len(facts)} backbones against "
        + ("milliseconds per picture on this computer" if axis == "speed" else "millions of parameters"),
        on_click=take_clicked,
        toolbar=False,
    )
    st.caption(
        f"Up is better, left is {'quicker' if axis == 'speed' else 'smaller'}. Filled points are ready, open ones need "
        "a download. Click one to choose it."
    )
    unmeasured = len(facts) - len(measured)
    if unmeasured:
        st.caption(
            f"{unmeasured} of {len(facts)} have not been measured on this computer. A backbone is measured the first "
            "time that it is chosen all frozen, at its own picture size, and its weights are here."
        )
    _draw_table(context, facts)


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
