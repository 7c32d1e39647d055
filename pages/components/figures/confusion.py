"""The confusion matrix as a figure whose cells can be tapped, and in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pages.components.amounts import SURE, accuracy_with_interval, percent
from pages.components.colors import INK
from pages.components.figures.live_plot import Figure
from pages.components.figures.results import RIGHT, unique_names
from pages.components.text import count, plain, plot_label
from tlcore.results.confusion import row_shares

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEW_CLASSES = 8
"""Up to here cells are large, and say 0 when they have no pictures; beyond, they stay empty and mistakes stand out."""

MANY_CLASSES = 30
"""Beyond, cells are too small for a number: colour shows it, and the words under the pointer."""

NAME_LENGTH = 14
"""Longer names are cut beside the matrix; the whole name stands under the pointer."""

LEAST_CELL = 9
"""Pixels that a finger finds; a narrow page scrolls a matrix that needs more than it has."""

COMMON_MISTAKES = 3
"""So many kinds of mistakes are told in words."""

# Right answers green-blue, wrong ones red: apart for every kind of colour-blindness, and the place in the
# matrix says the same. The pale middle is the page's own background, so that nothing shines where nothing is.
WRONG = {"light": "#b8321a", "dark": "#ff7a5c"}
PALE = {"light": "#f4f7f8", "dark": "#1b2228"}
PALEST_MISTAKE = 0.2
"""Shade of a cell with next to no mistakes, in `[0, 1]`; one with none has 0."""
WORST_AT_LEAST = 0.2
"""Share of a class that must be mixed up for the full red, unless something is worse."""


def confusion_figure(
    matrix: NDArray[np.int64],
    class_names: Sequence[str],
    order: Sequence[int],
    *,
    in_percent: bool = False,
    chosen: tuple[int, int] | None = None,
    dark: bool = False,
) -> Figure:
    """Return the figure of a confusion matrix; each cell with pictures has its place in the matrix as `customdata`.

    Args:
        matrix: Counts of shape `(num_classes, num_classes)`; rows are the true classes, columns the model's answers.
        class_names: Names in the order of the matrix.
        order: The classes from top to bottom and from left to right.
        in_percent: Whether cells say their share of the row instead of their pictures.
        chosen: Row and column, in the matrix, of the cell with a frame.
        dark: Whether the page is dark.

    Returns:
        A square figure: right answers lie on the diagonal, which begins at the top left. A cell that is tapped
        says `row * num_classes + column`, its place in the matrix whatever the order.
    """
    num_classes, theme = len(class_names), "dark" if dark else "light"
    is_few, is_many = num_classes <= FEW_CLASSES, num_classes > MANY_CLASSES
    names = unique_names([class_names[index] for index in order], NAME_LENGTH)
    # Where no number is written, the colour says what a number would.
    shades = np.round(_shades(row_shares(matrix) if in_percent or not is_many else matrix / max(1, matrix.max())), 3)
    totals = matrix.sum(axis=1)

    def text(row: int, column: int) -> str:
        pictures, total = int(matrix[row, column]), int(totals[row])
        if not (pictures or is_few):
            return ""
        return _share_words(pictures, total, " %" if is_few else "") if in_percent else str(pictures)

    def hover(row: int, column: int) -> str:
        pictures, total = int(matrix[row, column]), int(totals[row])
        share = f"{pictures:,} of {total:,} = {accuracy_with_interval(pictures, total)}" if total else "no pictures"
        return f"is {plot_label(class_names[row], 60)}, model said {plot_label(class_names[column], 60)}<br>{share}"

    heat = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "colorscale": [[0, WRONG[theme]], [0.5, PALE[theme]], [1, RIGHT[theme]]],
        "texttemplate": "" if is_many else "%{text}",
        "textfont": {"size": _text_size(num_classes)} if is_few else {},  # otherwise as large as the cells allow
        "zmin": -1,
        "zmax": 1,
        "showscale": False,
        "hoverongaps": False,
        "xgap": 2 if is_few else 1,
        "ygap": 2 if is_few else 1,
    }
    places = [[(row, column) for column in order] for row in order]
    with_pictures = heat | {
        "z": [[shades[place].item() if matrix[place] else None for place in line] for line in places],
        "hovertext": [[hover(*place) if matrix[place] else "" for place in line] for line in places],
        "hoverinfo": "text",
        "customdata": [
            [row * num_classes + column if matrix[row, column] else None for row, column in line] for line in places
        ],
    }
    without = heat | {
        "z": [[None if matrix[place] else 0 for place in line] for line in places],
    }
    if is_many:  # ten thousand texts would be a megabyte
        without["hovertemplate"] = "is %{y}, model said %{x}<br>no pictures<extra></extra>"
    else:
        without["hovertext"] = [["" if matrix[place] else hover(*place) for place in line] for line in places]
        without["hoverinfo"] = "text"
        with_pictures["text"] = [[text(*place) if matrix[place] else "" for place in line] for line in places]
        without["text"] = [["" if matrix[place] else text(*place) for place in line] for line in places]
    axis = {
        "tickfont": {"size": 15 if is_few else 10 if is_many else 12, "color": INK[theme]},
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
        "fixedrange": True,
        "automargin": True,
    }
    title = {"size": 15, "color": INK[theme]}
    return {
        "data": [without, with_pictures],
        "layout": {
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
            "hovermode": "closest",
            "dragmode": False,
            "xaxis": axis | {"title": {"text": "the model said", "standoff": 12, "font": title}, "side": "bottom"},
            "yaxis": axis | {"title": {"text": "it is", "standoff": 8, "font": title}, "autorange": "reversed"},
            "shapes": [] if chosen is None else [_frame(order.index(chosen[0]), order.index(chosen[1]), INK[theme])],
        },
    }


def _shades(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a shade for each cell from its share in `[0, 1]`: right answers from 0 to 1, mistakes from 0 to -1."""
    diagonal = np.eye(len(shares), dtype=bool)
    # A few mistakes shall be seen from the back of the room: their scale ends at the worst cell and jumps at one.
    worst = max(WORST_AT_LEAST, float(shares[~diagonal].max(initial=0)))
    wrong = np.where(shares > 0, PALEST_MISTAKE + (1 - PALEST_MISTAKE) * shares / worst, 0)
    shades: NDArray[np.float64] = np.where(diagonal, shares, -wrong)
    return shades


def _share_words(pictures: int, total: int, unit: str) -> str:
    """Return a share of a row that never claims 0 or 100 unless it is; `<` and `>` as Plotly wants them."""
    share = pictures / total if total else 0.0
    if 0 < share < 1 - SURE:
        return f"&lt;1{unit}"
    if SURE <= share < 1:
        return f"&gt;99{unit}"
    return percent(share).removesuffix(" %") + unit


def _text_size(num_classes: int) -> int:
    return 24 if num_classes <= 4 else 16


def _frame(row: int, column: int, color: str) -> dict[str, object]:
    """Return a frame around a cell, by its place in the drawing."""
    ends = {"x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5}
    return {"type": "rect", **ends, "line": {"color": color, "width": 3}}


def confusion_words(matrix: NDArray[np.int64], class_names: Sequence[str]) -> str:
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
    """Return the height of a confusion matrix in pixels: big cells for few classes, a line of text for many."""
    if num_classes <= FEW_CLASSES:
        return min(max(320, 120 + 90 * num_classes), 480)
    return (
        min(200 + 24 * num_classes, 900) if num_classes <= MANY_CLASSES else max(900, min(130 + 13 * num_classes, 1500))
    )


def confusion_width(num_classes: int) -> int:
    """Return the least width of a confusion matrix in pixels, with room for the names on its left."""
    return 110 + LEAST_CELL * num_classes
