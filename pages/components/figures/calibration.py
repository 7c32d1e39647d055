"""Plotly figures of honest probabilities: the calibration curve, and how right the answers above a threshold are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pages.components.amounts import percent
from pages.components.colors import INK
from pages.components.figures.results import REST_COLOR, RIGHT
from pages.components.text import count
from tlcore.results.calibration import CalibrationBin, Coverage

if TYPE_CHECKING:
    import plotly.graph_objects as go

HEIGHT = 340
SMALLEST_DOT, LARGEST_DOT = 7, 18
LEAST_ROOM = 0.05
"""Room below the lowest accuracy of a coverage curve."""


def calibration_figure(
    used: Sequence[CalibrationBin], others: Sequence[CalibrationBin], other_name: str, *, dark: bool = False
) -> go.Figure:
    """Draw how often answers are right against how probable the model called them; the diagonal is as it should be.

    Args:
        used: The answers as the model gives them now, in ranges of their probability, at least one.
        others: The same answers with the other probabilities, calibrated or original; empty for none.
        other_name: What those are called.
        dark: Whether the page is dark.

    Returns:
        A dot with its 95 % interval for each range of `used`, larger for more pictures; a ring for each of `others`.
    """
    import plotly.graph_objects as go

    theme = "dark" if dark else "light"
    ink, color = INK[theme], RIGHT[theme]
    low = 100 * min(one.low for one in (*used, *others))
    figure = go.Figure()
    figure.add_scatter(
        x=[low, 100],
        y=[low, 100],
        mode="lines",
        line={"color": REST_COLOR, "width": 2, "dash": "dash"},
        name="as it should be",
        hoverinfo="skip",
    )
    if others:
        figure.add_scatter(
            x=[100 * one.confidence for one in others],
            y=[100 * one.accuracy for one in others],
            mode="markers",
            marker={"symbol": "circle-open", "size": 10, "color": REST_COLOR, "line": {"width": 2}},
            name=other_name,
            customdata=[_bin_words(one) for one in others],
            hovertemplate="%{customdata}<extra></extra>",
        )
    ends, most = [one.accuracy_interval for one in used], max(one.total for one in used)
    figure.add_scatter(
        x=[100 * one.confidence for one in used],
        y=[100 * one.accuracy for one in used],
        mode="markers+lines",
        line={"color": color, "width": 1},
        marker={"size": [_dot_size(one.total / most) for one in used], "color": color, "opacity": 1},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [100 * (high - one.accuracy) for one, (_, high) in zip(used, ends, strict=True)],
            "arrayminus": [100 * (one.accuracy - low_end) for one, (low_end, _) in zip(used, ends, strict=True)],
            "color": color,
            "thickness": 1.5,
            "width": 4,
        },
        name="as it answers now",
        customdata=[_bin_words(one) for one in used],
        hovertemplate="%{customdata}<extra></extra>",
    )
    _lay_out(figure, ink, "so sure it says it is", "so often it is right")
    figure.update_xaxes(range=[low - 2, 103])
    figure.update_yaxes(range=[-5, 105])
    figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 14, "color": ink}},
    )
    return figure


def _dot_size(share: float) -> float:
    return SMALLEST_DOT + (LARGEST_DOT - SMALLEST_DOT) * math.sqrt(share)


def _bin_words(one: CalibrationBin) -> str:
    return (
        f"{count(one.total, 'picture')} between {percent(one.low)} and {percent(one.high)}:<br>"
        f"says {percent(one.confidence)}, right in {percent(one.accuracy)}"
    )


def calibration_description(used: Sequence[CalibrationBin]) -> str:
    """Return what the calibration curve shows in a sentence, for those who cannot see it."""
    each = [
        f"says {percent(one.confidence)}, right in {percent(one.accuracy)} of {count(one.total, 'picture')}"
        for one in used
    ]
    return f"Calibration curve: {'; '.join(each)}."


def coverage_figure(curve: Sequence[Coverage], chosen: Coverage, *, dark: bool = False) -> go.Figure:
    """Draw how often the given answers are right against the share of pictures that are answered, for all thresholds.

    Args:
        curve: One point for each threshold, the lowest first.
        chosen: The threshold of now, which gets the large dot.
        dark: Whether the page is dark.

    Returns:
        A line in the band of its 95 % interval.
    """
    import plotly.graph_objects as go

    theme = "dark" if dark else "light"
    ink, color = INK[theme], RIGHT[theme]
    # Several thresholds that answer the same pictures are one point.
    shown = list({one.answered: one for one in reversed(curve) if one.answered}.values())[::-1]
    x = [100 * (one.coverage or 0) for one in shown]
    lows, highs = ([100 * one.accuracy_interval[end] for one in shown] for end in (0, 1))
    figure = go.Figure()
    figure.add_scatter(
        x=[*x, *x[::-1]],
        y=[*highs, *lows[::-1]],
        mode="lines",
        fill="toself",
        line={"width": 0},
        fillcolor=color,
        opacity=0.22,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=x,
        y=[100 * (one.accuracy or 0) for one in shown],
        mode="lines",
        line={"color": color, "width": 3},
        customdata=[f"from {percent(one.threshold)} on" for one in shown],
        hovertemplate="%{customdata}: answers %{x:.0f} %, right in %{y:.1f} %<extra></extra>",
    )
    if chosen.accuracy is not None and chosen.coverage is not None:
        low, high = chosen.accuracy_interval
        figure.add_scatter(
            x=[100 * chosen.coverage],
            y=[100 * chosen.accuracy],
            mode="markers",
            marker={"size": 16, "color": color, "line": {"color": ink, "width": 2}},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [100 * (high - chosen.accuracy)],
                "arrayminus": [100 * (chosen.accuracy - low)],
                "color": ink,
                "thickness": 2,
                "width": 6,
            },
            hovertemplate="chosen: answers %{x:.0f} %, right in %{y:.1f} %<extra></extra>",
        )
    _lay_out(figure, ink, "it answers so many of the pictures", "right in so many of those")
    figure.update_xaxes(range=[-2, 103])
    # No room for a tick above 100 %.
    figure.update_yaxes(range=[max(-2, min([*lows, 100 * (1 - LEAST_ROOM)]) - 2), 100.9])
    figure.update_layout(showlegend=False)
    return figure


def _lay_out(figure: go.Figure, ink: str, x_title: str, y_title: str) -> None:
    axis = {
        "ticksuffix": " %",
        "nticks": 6,
        "tickfont": {"size": 14, "color": ink},
        "title_font": {"size": 14, "color": ink},
        "zeroline": False,
        "fixedrange": True,
    }
    figure.update_xaxes(title_text=x_title, title_standoff=8, **axis)
    figure.update_yaxes(title_text=y_title, title_standoff=8, automargin=True, **axis)
    figure.update_layout(height=HEIGHT, margin={"l": 8, "r": 16, "t": 34, "b": 8})
