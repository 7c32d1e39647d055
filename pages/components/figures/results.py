"""Plotly figures of results: accuracy with its interval, probabilities of one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pages.components.amounts import accuracy_words, chance, interval_words
from pages.components.colors import INK
from pages.components.text import first_of, plain, plot_label
from tlcore.results.evaluation import accuracy_interval

if TYPE_CHECKING:
    import numpy as np
    import plotly.graph_objects as go
    from numpy.typing import NDArray

MAX_NAME_LENGTH = 22
"""Longer names are cut in the figure; the whole name stands in the text beside it and under the pointer."""

MAX_BARS = 8
"""Classes with a bar of their own; the rest share one."""

ROOM_FOR_CHANCE = 96
"""Pixels right of a full bar, enough for `over 99 %` on a page of any width."""

RIGHT = {"light": "#00796b", "dark": "#158274"}
"""Green-blue for right answers."""
REST_COLOR = "#8a8f98"


def accuracy_figure(correct: int, total: int, *, dark: bool = False) -> go.Figure:
    """Draw an accuracy in big digits above a line from 0 to 100 %, with its interval as a bar around the mark.

    Args:
        correct: Pictures that were named right.
        total: All pictures, at least one.
        dark: Whether the page is dark.
    """
    import plotly.graph_objects as go

    theme = "dark" if dark else "light"
    ink, color = INK[theme], RIGHT[theme]
    value = accuracy_words(correct, total)
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 0], mode="lines", line={"color": REST_COLOR, "width": 2}, hoverinfo="skip")
    figure.add_scatter(
        x=accuracy_interval(correct, total),
        y=[0, 0],
        mode="lines",
        line={"color": color, "width": 16},
        opacity=0.7,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[correct / total],
        y=[0],
        mode="markers",
        marker={"symbol": "line-ns", "size": 26, "line": {"color": ink, "width": 3}},
        hovertemplate=f"{value}, {interval_words(correct, total)}<extra></extra>",
    )
    figure.add_annotation(
        text=f"<b>{value}</b>", x=0, y=1, xref="paper", yref="paper", xanchor="left", showarrow=False,
        font={"size": 52, "color": ink},
    )  # fmt: skip
    figure.update_xaxes(
        range=[-0.02, 1.02],
        tickvals=[0, 0.5, 1],
        ticktext=["0", "50", "100 %"],
        tickfont={"size": 15, "color": ink},
        showgrid=False,
        zeroline=False,
        fixedrange=True,
    )
    figure.update_yaxes(visible=False, range=[-0.6, 2.6], fixedrange=True)
    figure.update_layout(height=150, margin={"l": 4, "r": 24, "t": 8, "b": 28}, showlegend=False)
    return figure


def unique_names(class_names: Sequence[str], max_length: int) -> list[str]:
    """Return shortened names that stay different, since Plotly joins rows of the same name."""
    names: list[str] = []
    for name in class_names:
        shown, copy = plot_label(name, max_length), 2
        if shown in names:  # names that begin alike often end differently
            shown = plot_label(_without_middle(name, max_length))
        while shown in names:
            shown, copy = f"{plot_label(name, max_length - 2)} {copy}", copy + 1
        names.append(shown)
    return names


def _without_middle(name: str, max_length: int) -> str:
    end = (max_length - 1) // 2
    return name if len(name) <= max_length else f"{name[: max_length - 1 - end]}…{name[-end:]}"


def ranked_classes(probabilities: Sequence[float] | NDArray[np.float32]) -> list[int]:
    """Return the indices of all classes, the most probable first."""
    return sorted(range(len(probabilities)), key=lambda index: -float(probabilities[index]))


def probability_words(probabilities: Sequence[float] | NDArray[np.float32], class_names: Sequence[str]) -> str:
    """Return the probabilities of one picture in a sentence, for those who cannot see their figure."""
    ranked = ranked_classes(probabilities)
    each = [f"{plain(class_names[index])} {chance(float(probabilities[index]))}" for index in ranked]
    return f"Probabilities: {first_of(each, MAX_BARS)}."


def probability_figure(
    probabilities: Sequence[float] | NDArray[np.float32],
    class_names: Sequence[str],
    colors: Sequence[str],
    *,
    dark: bool = False,
) -> go.Figure:
    """Draw the probabilities of one picture as bars, the most probable class on top.

    Args:
        probabilities: One per class, in `[0, 1]`; they add up to 1.
        class_names: Names in the same order.
        colors: A CSS colour of each class.
        dark: Whether the page is dark.

    Returns:
        One bar for each of the most probable classes, and one for all others together.
    """
    import plotly.graph_objects as go

    ranked = ranked_classes(probabilities)
    shown = ranked if len(ranked) <= MAX_BARS else ranked[: MAX_BARS - 1]
    rest = ranked[len(shown) :]
    names = unique_names([class_names[index] for index in shown], MAX_NAME_LENGTH)
    values = [float(probabilities[index]) for index in shown]
    bar_colors = [colors[index] for index in shown]
    full_names = [plot_label(class_names[index], 100) for index in shown]
    if rest:
        names.append(f"{len(rest)} others")
        values.append(float(sum(float(probabilities[index]) for index in rest)))
        bar_colors.append(REST_COLOR)
        full_names.append(f"{len(rest)} other classes together")
    ink = INK["dark" if dark else "light"]
    figure = go.Figure(
        go.Bar(
            x=values,
            y=names,
            orientation="h",
            marker={"color": bar_colors},
            text=[chance(value) for value in values],
            textposition="outside",
            textfont={"size": 18, "color": ink},
            cliponaxis=False,
            customdata=full_names,
            hovertemplate="%{customdata}: %{text}<extra></extra>",
        )
    )
    figure.update_xaxes(range=[0, 1], visible=False, fixedrange=True)
    figure.update_yaxes(
        autorange="reversed",
        automargin=True,
        fixedrange=True,
        tickfont={"size": 18, "color": ink},
        ticks="",
        ticklabelstandoff=8,
    )
    figure.update_layout(
        height=36 + 46 * len(names),
        margin={"l": 8, "r": ROOM_FOR_CHANCE, "t": 4, "b": 4},
        showlegend=False,
        bargap=0.35,
    )
    return figure
