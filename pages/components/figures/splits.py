"""Plotly figure of a cross-validation: the accuracy of each training, their mean and its spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pages.components.amounts import percent
from pages.components.colors import VALIDATION_COLOR
from pages.components.figures.results import INK, RIGHT
from pages.components.text import count
from tlcore.training.cross_validation import CrossValidation

if TYPE_CHECKING:
    import plotly.graph_objects as go

ROW_HEIGHT = 15
"""Pixels of each training; every one has a row, so that equal accuracies do not hide each other."""

LEAST_ROOM = 0.01
"""Room at both ends of the axis, as an accuracy; more where the trainings lie far apart."""


def splits_figure(found: CrossValidation, own: float | None, *, dark: bool = False) -> go.Figure:
    """Draw the accuracy of each training as a dot, their mean as a line in a band, and that of the run itself.

    Args:
        found: What the trainings reached.
        own: Validation accuracy of the run, in `[0, 1]`; `None` when it had no validation pictures.
        dark: Whether the page is dark.

    Returns:
        A strip whose axis shows only the accuracies that occur; the band is one standard deviation to either side.
    """
    import plotly.graph_objects as go

    theme = "dark" if dark else "light"
    ink, color = INK[theme], RIGHT[theme][1]
    rows = len(found.folds)
    shown = [*found.accuracies, found.mean - found.deviation, found.mean + found.deviation]
    shown += [] if own is None else [own]
    room = max(LEAST_ROOM, 0.08 * (max(shown) - min(shown)))
    figure = go.Figure(
        go.Scatter(
            x=found.accuracies,
            y=list(range(rows)),
            mode="markers",
            marker={"size": 13, "color": color, "line": {"color": ink, "width": 1}},
            customdata=[f"{fold.correct:,} of {count(fold.total, 'picture')}" for fold in found.folds],
            hovertemplate="%{x:.1%}, %{customdata} right<extra></extra>",
        )
    )
    figure.add_vrect(
        found.mean - found.deviation, found.mean + found.deviation, fillcolor=color, opacity=0.22, line_width=0
    )
    _mark(figure, found.mean, f"mean {percent(found.mean, 1)}", color, ink, dash="solid", top=True)
    if own is not None:
        _mark(figure, own, f"this run {percent(own, 1)}", VALIDATION_COLOR, ink, dash="dash", top=False)
    # A little more than 100 % is shown, so that a dot there is whole.
    figure.update_xaxes(
        range=[min(shown) - room, min(max(shown), 1) + room],
        tickformat=".0%" if max(shown) - min(shown) > 0.03 else ".1%",
        nticks=5,
        tickfont={"size": 15, "color": ink},
        zeroline=False,
        fixedrange=True,
    )
    figure.update_yaxes(visible=False, range=[rows - 0.2, -0.8], fixedrange=True)
    figure.update_layout(height=96 + ROW_HEIGHT * rows, margin={"l": 12, "r": 12, "t": 28, "b": 52}, showlegend=False)
    return figure


def _mark(figure: go.Figure, x: float, text: str, color: str, ink: str, *, dash: str, top: bool) -> None:
    """Add an upright line with words above it or below the axis."""
    figure.add_vline(x, line={"color": color, "width": 3, "dash": dash})
    figure.add_annotation(
        x=x,
        y=1 if top else 0,
        yref="paper",
        yshift=2 if top else -24,
        yanchor="bottom" if top else "top",
        text=text,
        showarrow=False,
        font={"size": 15, "color": ink},
    )
