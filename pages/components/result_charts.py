"""Plotly figures of results: the confusion matrix and the probabilities of one picture."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pages.components.amounts import chance, percent
from pages.components.text import count, plain

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from numpy.typing import NDArray

MAX_NAME_LENGTH = 22
"""Longer names are cut in the figure; the whole name stands in the text beside it and under the pointer."""

MAX_ZEROS = 8
"""Up to this many classes a cell without pictures says 0; beyond, it stays empty so that the others stand out."""

MAX_BARS = 8
"""Classes with a bar of their own; the rest share one."""

# Right answers green-blue, wrong ones red: apart for every kind of colour-blindness, and the place in the
# matrix says the same. The pale ends are the page's own background, so that nothing shines where nothing is.
RIGHT = {"light": ("#f4f7f8", "#00796b"), "dark": ("#1b2228", "#2fb8a6")}
WRONG = {"light": ("#f4f7f8", "#b8321a"), "dark": ("#1b2228", "#ff7a5c")}
REST_COLOR = "#8a8f98"


def chart_name(name: str, max_length: int = MAX_NAME_LENGTH) -> str:
    """Return a person's text as Plotly shows it: not as HTML, and not longer than it fits."""
    shown = plain(name)
    if len(shown) > max_length:
        shown = shown[: max_length - 1] + "…"
    return html.escape(shown, quote=False)


def confusion_figure(matrix: NDArray[np.int_], class_names: Sequence[str], *, dark: bool = False) -> go.Figure:
    """Draw a confusion matrix with the number of pictures in each cell.

    Args:
        matrix: int of shape `(num_classes, num_classes)`; rows are the true classes, columns the model's answers.
        class_names: Names in the order of rows and columns.
        dark: Whether the page is dark.

    Returns:
        A square figure: right answers lie on the diagonal, which begins at the top left.
    """
    import plotly.graph_objects as go

    num_classes = len(class_names)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    diagonal = np.eye(num_classes, dtype=bool)
    names = unique_names(class_names, 10 if num_classes > MAX_ZEROS else 14)
    text = [[str(cell) if cell or num_classes <= MAX_ZEROS else "" for cell in row] for row in matrix.tolist()]
    hover = [
        [
            f"is {chart_name(class_names[row], 60)}, model said {chart_name(class_names[column], 60)}<br>"
            f"{count(int(matrix[row, column]), 'picture')}, {percent(float(shares[row, column]))} of this class"
            for column in range(num_classes)
        ]
        for row in range(num_classes)
    ]
    theme = "dark" if dark else "light"
    figure = go.Figure()
    # A mistake is worth seeing long before half of a class is wrong, so the red scale ends earlier.
    for cells, colors, strongest in ((diagonal, RIGHT, 1.0), (~diagonal, WRONG, 0.5)):
        figure.add_heatmap(
            z=np.where(cells, shares, np.nan),
            x=names,
            y=names,
            text=text,
            texttemplate="%{text}",
            textfont={"size": _text_size(num_classes)},
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale=[[0, colors[theme][0]], [1, colors[theme][1]]],
            zmin=0,
            zmax=strongest,
            showscale=False,
            xgap=2 if num_classes <= MAX_ZEROS else 1,
            ygap=2 if num_classes <= MAX_ZEROS else 1,
        )
    size = 12 if num_classes > MAX_ZEROS else 15
    axis = {"tickfont": {"size": size}, "showgrid": False, "zeroline": False, "ticks": "", "fixedrange": True}
    if num_classes <= 30:
        axis["dtick"] = 1
    figure.update_xaxes(title={"text": "the model said", "standoff": 12}, side="bottom", automargin=True, **axis)
    figure.update_yaxes(
        title={"text": "it is", "standoff": 8}, autorange="reversed", automargin=True, constrain="domain", **axis
    )
    figure.update_layout(
        height=confusion_height(num_classes), margin={"l": 8, "r": 8, "t": 8, "b": 8}, plot_bgcolor="rgba(0,0,0,0)"
    )
    return figure


def confusion_height(num_classes: int) -> int:
    """Return the height of a confusion matrix in pixels: big cells for few classes, readable ones for many."""
    return min(max(320, 120 + 90 * num_classes), 480) if num_classes <= MAX_ZEROS else min(200 + 24 * num_classes, 900)


def unique_names(class_names: Sequence[str], max_length: int) -> list[str]:
    """Return shortened names that stay different, since Plotly joins rows of the same name."""
    names: list[str] = []
    for name in class_names:
        shown, copy = chart_name(name, max_length), 2
        while shown in names:
            shown, copy = f"{chart_name(name, max_length - 2)} {copy}", copy + 1
        names.append(shown)
    return names


def _text_size(num_classes: int) -> int:
    if num_classes <= 4:
        return 24
    return 16 if num_classes <= MAX_ZEROS else 12 if num_classes <= 20 else 9


def probability_figure(
    probabilities: Sequence[float] | NDArray[np.float32], class_names: Sequence[str], colors: Sequence[str]
) -> go.Figure:
    """Draw the probabilities of one picture as bars, the most probable class on top.

    Args:
        probabilities: One per class, in `[0, 1]`; they add up to 1.
        class_names: Names in the same order.
        colors: A CSS colour of each class.

    Returns:
        One bar for each of the most probable classes, and one for all others together.
    """
    import plotly.graph_objects as go

    ranked = sorted(range(len(class_names)), key=lambda index: -float(probabilities[index]))
    shown = ranked if len(ranked) <= MAX_BARS else ranked[: MAX_BARS - 1]
    rest = ranked[len(shown) :]
    names = unique_names([class_names[index] for index in shown], MAX_NAME_LENGTH)
    values = [float(probabilities[index]) for index in shown]
    bar_colors = [colors[index] for index in shown]
    full_names = [chart_name(class_names[index], 100) for index in shown]
    if rest:
        names.append(f"{len(rest)} others")
        values.append(float(sum(float(probabilities[index]) for index in rest)))
        bar_colors.append(REST_COLOR)
        full_names.append(f"{len(rest)} other classes together")
    figure = go.Figure(
        go.Bar(
            x=values,
            y=names,
            orientation="h",
            marker={"color": bar_colors},
            text=[chance(value) for value in values],
            textposition="outside",
            textfont={"size": 17},
            cliponaxis=False,
            customdata=full_names,
            hovertemplate="%{customdata}: %{text}<extra></extra>",
        )
    )
    # The text of a full bar stands right of it: the axis leaves room for "over 99 %".
    figure.update_xaxes(range=[0, 1.3], visible=False, fixedrange=True)
    figure.update_yaxes(
        autorange="reversed", automargin=True, fixedrange=True, tickfont={"size": 17}, ticks="", ticklabelstandoff=8
    )
    figure.update_layout(
        height=36 + 46 * len(names), margin={"l": 8, "r": 8, "t": 4, "b": 4}, showlegend=False, bargap=0.35
    )
    return figure
