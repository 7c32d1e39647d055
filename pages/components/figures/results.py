"""Plotly figures of results: accuracy with its interval, confusion matrix, probabilities of one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pages.components.amounts import accuracy_words, chance, interval_words, percent
from pages.components.colors import INK
from pages.components.text import count, first_of, plain, plot_label
from tlcore.results.evaluation import accuracy_interval

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from numpy.typing import NDArray

MAX_NAME_LENGTH = 22
"""Longer names are cut in the figure; the whole name stands in the text beside it and under the pointer."""

FEW_CLASSES = 8
"""Up to here cells are large, and say 0 when they have no pictures; beyond, they stay empty and mistakes stand out."""

COMMON_MISTAKES = 3
"""So many kinds of mistakes are told in words."""

MAX_BARS = 8
"""Classes with a bar of their own; the rest share one."""

ROOM_FOR_CHANCE = 96
"""Pixels right of a full bar, enough for `over 99 %` on a page of any width."""

# Right answers green-blue, wrong ones red: apart for every kind of colour-blindness, and the place in the
# matrix says the same. The pale ends are the page's own background, so that nothing shines where nothing is.
RIGHT = {"light": ("#f4f7f8", "#00796b"), "dark": ("#1b2228", "#158274")}
WRONG = {"light": ("#f4f7f8", "#b8321a"), "dark": ("#1b2228", "#ff7a5c")}
PALEST_MISTAKE = 0.2
"""Shade of a cell with next to no mistakes, in `[0, 1]`; one with none has 0."""
WORST_AT_LEAST = 0.2
"""Share of a class that must be mixed up for the full red, unless something is worse."""

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
    ink, color = INK[theme], RIGHT[theme][1]
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
    names = unique_names(class_names, 10 if num_classes > FEW_CLASSES else 14)
    text = [[str(cell) if cell or num_classes <= FEW_CLASSES else "" for cell in row] for row in matrix.tolist()]
    hover = [
        [
            f"is {plot_label(class_names[row], 60)}, model said {plot_label(class_names[column], 60)}<br>"
            f"{count(int(matrix[row, column]), 'picture')}, {percent(float(shares[row, column]))} of this class"
            for column in range(num_classes)
        ]
        for row in range(num_classes)
    ]
    theme = "dark" if dark else "light"
    # A few mistakes shall be seen from the back of the room: their scale ends at the worst cell and jumps at one.
    worst = max(WORST_AT_LEAST, float(shares[~diagonal].max(initial=0)))
    wrong_shades = np.where(shares > 0, PALEST_MISTAKE + (1 - PALEST_MISTAKE) * shares / worst, 0)
    figure = go.Figure()
    for cells, shades, colors in ((diagonal, shares, RIGHT), (~diagonal, wrong_shades, WRONG)):
        figure.add_heatmap(
            z=np.where(cells, shades, np.nan),
            x=names,
            y=names,
            text=np.where(cells, text, ""),
            texttemplate="%{text}",
            textfont={"size": _text_size(num_classes)},
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale=[[0, colors[theme][0]], [1, colors[theme][1]]],
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=2 if num_classes <= FEW_CLASSES else 1,
            ygap=2 if num_classes <= FEW_CLASSES else 1,
        )
    size = 12 if num_classes > FEW_CLASSES else 15
    ink = INK[theme]
    axis = {
        "tickfont": {"size": size, "color": ink},
        "title_font": {"size": 15, "color": ink},
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
        "fixedrange": True,
    }
    if num_classes <= 30:
        axis["dtick"] = 1
    figure.update_xaxes(title_text="the model said", title_standoff=12, side="bottom", automargin=True, **axis)
    figure.update_yaxes(
        title_text="it is", title_standoff=8, autorange="reversed", automargin=True, constrain="domain", **axis
    )
    figure.update_layout(
        height=confusion_height(num_classes), margin={"l": 8, "r": 8, "t": 8, "b": 8}, plot_bgcolor="rgba(0,0,0,0)"
    )
    return figure


def confusion_words(matrix: NDArray[np.int_], class_names: Sequence[str]) -> str:
    """Return what a confusion matrix shows in a sentence, for those who cannot see it; arguments as of its figure."""
    right, total = int(np.trace(matrix)), int(matrix.sum())
    wrong = matrix * ~np.eye(len(class_names), dtype=bool)
    worst = np.argsort(-wrong, axis=None, kind="stable")[:COMMON_MISTAKES]
    cells = [np.unravel_index(place, wrong.shape) for place in worst if wrong.flat[place]]
    taken = [
        f"{plain(class_names[is_])} taken for {plain(class_names[said])} {wrong[is_, said]}×" for is_, said in cells
    ]
    mistakes = ", ".join(taken) or "no mistakes"
    return f"Confusion matrix of {len(class_names)} classes: {right:,} of {count(total, 'picture')} right; {mistakes}."


def confusion_height(num_classes: int) -> int:
    """Return the height of a confusion matrix in pixels: big cells for few classes, readable ones for many."""
    return (
        min(max(320, 120 + 90 * num_classes), 480) if num_classes <= FEW_CLASSES else min(200 + 24 * num_classes, 900)
    )


def unique_names(class_names: Sequence[str], max_length: int) -> list[str]:
    """Return shortened names that stay different, since Plotly joins rows of the same name."""
    names: list[str] = []
    for name in class_names:
        shown, copy = plot_label(name, max_length), 2
        while shown in names:
            shown, copy = f"{plot_label(name, max_length - 2)} {copy}", copy + 1
        names.append(shown)
    return names


def _text_size(num_classes: int) -> int:
    if num_classes <= 4:
        return 24
    return 16 if num_classes <= FEW_CLASSES else 12 if num_classes <= 20 else 9


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
