"""A Plotly figure that changes in place: no flicker, and zoom and hidden curves survive every update."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import streamlit as st

from pages.server.plotly_script import versioned_address

Figure: TypeAlias = dict[str, Any]
"""`data` and `layout` as Plotly's figure reference has them, or a part of these, in JSON types."""

_component = st.components.v2.component(
    "transfer_lab_live_plot",
    html="<div class='live-plot-window' style='overflow-x: auto; overflow-y: hidden'>"
    "<div class='live-plot' role='figure' style='width: 100%'></div></div>"
    "<div class='live-plot-picture' aria-hidden='true' hidden style='position: fixed; z-index: 1000; padding: 6px; "
    "pointer-events: none; background: var(--st-secondary-background-color); border: 1px solid var(--st-border-color); "
    "border-radius: 6px; line-height: 1.3'><img alt='' width='128' height='128' style='object-fit: contain; "
    "display: block'><b></b><br><span></span></div>"
    "<p class='live-plot-notice' hidden>This chart could not be drawn. Reload the page.</p>",
    # What was drawn around would keep the pointer from the points inside.
    css=".live-plot .selectionlayer path { pointer-events: none !important; }",
    js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
    isolate_styles=False,  # Plotly puts its own styles into the page
)


def live_plot(
    figure: Figure,
    *,
    key: str,
    height: int,
    description: str,
    on_click: Callable[[], None] | None = None,
    on_select: Callable[[], None] | None = None,
    pictures: str = "",
    toolbar: bool = True,
    min_width: int = 0,
) -> None:
    """Draw a figure, or change the one that was drawn under this key.

    `st.plotly_chart` would make a new chart at every change, which flickers and forgets the zoom. Colours of
    text and grid follow the theme by themselves.

    Args:
        figure: What to draw; set the layout's `uirevision` to keep what the viewer did.
        key: Tells this chart from others on the page.
        height: In pixels.
        description: What the chart shows, with its numbers, in a sentence for people who cannot see it.
        on_click: Called when a mark with `customdata` is clicked; `st.session_state[key].clicked` is its first value.
        on_select: Called when marks were drawn around, or none any more; `st.session_state[key].selected` has the
            `customdata` of each.
        pictures: Address of the picture that the pointer on a mark shows, with `{}` for its `customdata`; beside it
            stand the trace's `meta` and the mark's `text`.
        toolbar: Whether Plotly's buttons (zoom, save) appear under the pointer.
        min_width: In pixels; a narrower page scrolls the chart.
    """
    data = {
        "figure": figure,
        "address": versioned_address(),
        "height": height,
        "description": description,
        "clickable": on_click is not None,
        "selectable": on_select is not None,
        "pictures": pictures,
        "toolbar": toolbar,
        "min_width": min_width,
    }
    # A height of its own for the element would add a scroll bar; the script sets the height of the drawing.
    _component(
        key=key,
        data=data,
        on_clicked_change=on_click or (lambda: None),
        on_selected_change=on_select or (lambda: None),
    )
