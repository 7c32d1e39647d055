"""Plotly figure of a cross-validation: the accuracy of each training, their mean and its spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pages.components.amounts import percent
from pages.components.colors import INK, VALIDATION_COLOR
from pages.components.figures.results import RIGHT
from pages.components.text import count
from tlcore.results.cross_validation import CrossValidation

if TYPE_CHECKING:
    import plotly.graph_objects as go

ROW_HEIGHT = 15
"""Pixels of each training; every one has a row, so that equal accuracies do not hide each other."""

LEAST_ROOM = 1.0
"""Room at both ends of the axis, in percentage points; more where the trainings lie far apart."""


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
    ink, color = INK[theme], RIGHT[theme]
    rows = len(found.folds)
    dots = [100 * accuracy for accuracy in found.accuracies]
    mean, deviation = 100 * found.mean, 100 * found.deviation
    shown = [*dots, mean - deviation, mean + deviation, *([] if own is None else [100 * own])]
    room = max(LEAST_ROOM, 0.08 * (max(shown) - min(shown)))
    # A little more than 100 % is shown, so that a dot there is whole.
    low, high = min(shown) - room, min(max(shown), 100) + room
    figure = go.Figure(
        go.Scatter(
            x=dots,
            y=list(range(rows)),
            mode="markers",
            marker={"size": 13, "color": color, "line": {"color": ink, "width": 1}},
            customdata=[f"{fold.correct:,} of {count(fold.total, 'picture')}" for fold in found.folds],
            hovertemplate="%{x:.1f} %, %{customdata} right<extra></extra>",
        )
    )
    figure.add_vrect(mean - deviation, mean + deviation, fillcolor=color, opacity=0.22, line_width=0)
    marks = [(mean, f"mean {percent(found.mean, 1)}", color, "solid", {"y": 1, "yshift": 2, "yanchor": "bottom"})]
    if own is not None:
        below = {"y": 0, "yshift": -26, "yanchor": "top"}
        marks.append((100 * own, f"this run {percent(own, 1)}", VALIDATION_COLOR, "dash", below))
    for x, text, line_color, dash, place in marks:
        figure.add_vline(x, line={"color": line_color, "width": 3, "dash": dash})
        # Near an end of the axis the words go inward, or a narrow screen would cut them.
        side = "left" if x < low + 0.25 * (high - low) else "right" if x > high - 0.25 * (high - low) else "center"
        font = {"size": 15, "color": ink}
        figure.add_annotation(x=x, yref="paper", xanchor=side, text=text, showarrow=False, font=font, **place)
    figure.update_xaxes(
        range=[low, high],
        ticksuffix=" %",
        nticks=5,
        tickfont={"size": 15, "color": ink},
        zeroline=False,
        fixedrange=True,
    )
    figure.update_yaxes(visible=False, range=[rows - 0.2, -0.8], fixedrange=True)
    figure.update_layout(height=96 + ROW_HEIGHT * rows, margin={"l": 12, "r": 12, "t": 28, "b": 54}, showlegend=False)
    return figure
