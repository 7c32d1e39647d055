"""The curves of a run as Plotly figures: training and validation, told apart by colour, line and marker."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pages.components.amounts import percent
from pages.components.colors import TRAINING_COLOR, VALIDATION_COLOR, class_color
from pages.components.figures.live_plot import Figure
from pages.components.text import count
from tlcore.storage.runs import MetricPoint

Curve = Literal["accuracy", "loss"]

MAX_POINTS = 500
MAX_MARKERS = 25
"""More of them run together into a band that hides the other curve; the line shows every point."""

CURVE_HEIGHT = 320
NOW_COLOR = "#8a8f98"

# Colour, dash and marker have lists of different lengths, so that no two of some hundred runs share all three.
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star", "cross")


def curve_figure(
    points: Sequence[MetricPoint], curve: Curve, *, epochs: int | None, best_epoch: int | None = None
) -> Figure:
    """Return the figure of one quantity over the epochs.

    Args:
        points: All points of the run; other quantities are left out.
        curve: Which quantity.
        epochs: Epochs that were asked for while it runs, to leave room for them; `None` when it ended.
        best_epoch: Epoch whose weights were kept; gets a line when known.
    """
    training = _line(points, curve, "Training", TRAINING_COLOR, dash="solid", symbol=None)
    validation = _line(points, f"val_{curve}", "Validation", VALIDATION_COLOR, dash="dot", symbol="diamond")
    reached = max((point.epoch for point in points), default=0.0)
    right = reached if epochs is None else max(reached, min(epochs, 2 * max(reached, 2.5)))
    layout = _layout(curve)
    # Not a `range`: Plotly forgets the viewer's zoom when a range that we set has changed.
    layout["xaxis"] |= {"autorangeoptions": {"include": [0, right]}, "rangemode": "nonnegative"}
    if best_epoch is not None:
        # Accuracy ends at the top and loss at the bottom: the words go where the curves are not.
        height = {"textposition": "end", "yanchor": "top"} if curve == "loss" else {"textposition": "start"}
        side = "right" if best_epoch > right / 2 else "left"
        kept = marked_line(best_epoch, f"kept: epoch {best_epoch}", NOW_COLOR, xanchor=side, padding=8, **height)
        layout["shapes"] = [kept]
    return {"data": [training, validation], "layout": layout}


def overlaid_figure(points_of_runs: Mapping[int, Sequence[MetricPoint]], curve: Curve) -> Figure:
    """Return the validation curves of some runs in one figure.

    A run keeps its colour, dash and marker whatever it is compared with.

    Args:
        points_of_runs: All points of each run by its number, in the order of the legend.
        curve: Which quantity.
    """
    lines = []
    for number, points in points_of_runs.items():
        place = number - 1
        dash, symbol = DASHES[place % len(DASHES)], SYMBOLS[place % len(SYMBOLS)]
        lines.append(_line(points, f"val_{curve}", f"Run {number}", class_color(place), dash=dash, symbol=symbol))
    layout = _layout(curve) | {"showlegend": True}
    layout["xaxis"]["rangemode"] = "tozero"
    return {"data": [line for line in lines if line["x"]], "layout": layout}


def curve_words(figure: Figure, title: str) -> str:
    """Return what a figure of curves shows in a sentence, for those who cannot see it.

    Args:
        figure: From `curve_figure` or `overlaid_figure`.
        title: What is drawn, such as `Accuracy`.
    """
    lines = [line for line in figure["data"] if line["x"]]
    if not lines:
        return f"{title}: no points yet."
    is_share = figure["layout"]["yaxis"].get("tickformat") is not None
    ends = [
        f"{line['name']} ends at {percent(line['y'][-1]) if is_share else round(line['y'][-1], 3)}" for line in lines
    ]
    kept = [shape["label"]["text"] for shape in figure["layout"].get("shapes", ())]
    return f"{title} over {count(math.ceil(max(line['x'][-1] for line in lines)), 'epoch')}: {', '.join(ends + kept)}."


def _layout(curve: Curve) -> Figure:
    return {
        "uirevision": "keep",
        "margin": {"l": 8, "r": 12, "t": 40, "b": 8},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hovermode": "x unified",
        "xaxis": {"title": {"text": "Epoch"}},
        "yaxis": {"range": [0, 1.02], "tickformat": ".0%"} if curve == "accuracy" else {"rangemode": "tozero"},
    }


def _line(points: Sequence[MetricPoint], name: str, title: str, color: str, *, dash: str, symbol: str | None) -> Figure:
    chosen = thinned([point for point in points if point.name == name])
    return {
        "type": "scatter",
        "name": title,
        "x": [round(point.epoch, 3) for point in chosen],
        "y": [round(point.value, 5) for point in chosen],
        # A first, single point has no line yet and would be invisible without a marker.
        "mode": "lines+markers" if symbol or len(chosen) < 3 else "lines",
        "line": {"color": color, "width": 3, "dash": dash},
        "marker": {"color": color, "size": 9, "symbol": symbol or "circle", "maxdisplayed": MAX_MARKERS},
        "hovertemplate": "%{y:.1%}" if name.endswith("accuracy") else "%{y:.3f}",
    }


def thinned(points: Sequence[MetricPoint], limit: int = MAX_POINTS) -> list[MetricPoint]:
    """Return at most about `limit` points, evenly chosen, always with the last one."""
    if len(points) <= limit:
        return list(points)
    step = -(-len(points) // limit)
    kept = list(points[::step])
    return kept if kept[-1] is points[-1] else [*kept, points[-1]]


def marked_line(x: float, text: str, color: str, **label: Any) -> Figure:
    """Return an upright dashed line with words at one of its ends; `label` as of Plotly's shapes."""
    place = {"x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1}
    line = {"color": color, "width": 2, "dash": "dash"}
    return {"type": "line", **place, "line": line, "label": {"text": text, "textangle": 0, **label}}
