"""The Plotly figure of what the files of a model are like: how they answer, how quickly, and how large they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pages.components.amounts import file_size, percent
from pages.components.colors import CLASS_COLORS, INK
from pages.components.figures.live_plot import Figure
from tlcore.export.formats import FORMATS
from tlcore.storage.requests import ExportResult, FormatReport

LARGEST_MARK = 44
SMALLEST_MARK = 10
"""Pixels across; the area tells the size of the file."""

SYMBOLS = ("circle", "square", "diamond", "pentagon", "hexagon", "triangle-up", "octagon")
"""Told apart without colours too, in the order of `FORMATS`."""

FONT_SIZE = 15
PLOT_PIXELS = 240
AXIS_PIXELS = 64
MARK_PIXELS = 26
"""Of each mark below the axis: on a narrow screen their names stand below each other."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file lies in the figure: its share of answers, in `[0, 1]`, and in words."""

    report: FormatReport
    share: float
    words: str


def export_figure(result: ExportResult, *, with_accuracy: bool, dark: bool = False) -> Figure:
    """Draw one mark for each file that was made, and one for the original.

    Args:
        result: The certificates.
        with_accuracy: Whether right answers go upward; otherwise those that are the original's, as the exam is closed.
        dark: Whether the page is dark.
    """
    ink = INK["dark" if dark else "light"]
    font = {"size": FONT_SIZE, "color": ink}
    places = _places(result, with_accuracy=with_accuracy)
    largest = max((place.report.size for place in places), default=1)
    names = list(FORMATS)
    data = []
    for place in sorted(places, key=lambda one: -one.report.size):  # small marks on top of large ones
        number = names.index(place.report.format)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": FORMATS[place.report.format].title,
                "x": [place.report.milliseconds],
                "y": [place.share],
                "hovertext": [place.words],
                "hovertemplate": "%{hovertext}<extra></extra>",
                "cliponaxis": False,
                "marker": {
                    "symbol": SYMBOLS[number % len(SYMBOLS)],
                    "color": CLASS_COLORS[number % len(CLASS_COLORS)],
                    "opacity": 0.75,
                    "size": max(SMALLEST_MARK, LARGEST_MARK * math.sqrt(place.report.size / largest)),
                    "line": {"width": 1, "color": ink},
                },
            }
        )
    original = _original_share(result, with_accuracy=with_accuracy)
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "the original, in the app",
            "x": [result.milliseconds],
            "y": [original],
            "hovertext": [_original_words(result, with_accuracy=with_accuracy)],
            "hovertemplate": "%{hovertext}<extra></extra>",
            "cliponaxis": False,
            "marker": {"symbol": "x-thin", "size": 16, "line": {"width": 3, "color": ink}},
        }
    )
    shares = [original, *(place.share for place in places)]
    low, high = min(shares), max(shares)
    room = max(0.01, 0.25 * (high - low))
    slowest = max([result.milliseconds, *(place.report.milliseconds for place in places)])
    legend_height = MARK_PIXELS * len(data)
    return {
        "data": data,
        "layout": {
            "height": PLOT_PIXELS + AXIS_PIXELS + legend_height,
            "margin": {"l": 8, "r": 24, "t": 0, "b": AXIS_PIXELS + legend_height},
            "font": font,
            "showlegend": True,
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": -AXIS_PIXELS / PLOT_PIXELS,
                "yanchor": "top",
                "font": font,
                "itemsizing": "constant",
            },
            "hovermode": "closest",
            "dragmode": False,
            "xaxis": {
                "title": {"text": "milliseconds per picture", "font": font},
                "tickfont": font,
                "range": [0, 1.15 * slowest],
                "automargin": True,
                "fixedrange": True,
            },
            "yaxis": {
                "title": {"text": _axis(with_accuracy=with_accuracy), "font": font},
                "tickfont": font,
                "range": [low - room, high + room],
                "tickformat": ".1~%",
                "nticks": 5,
                "automargin": True,
                "fixedrange": True,
            },
        },
    }


def export_words(result: ExportResult, *, with_accuracy: bool) -> str:
    """Return what the figure shows in a sentence, for those who cannot see it; arguments as of `export_figure`."""
    places = _places(result, with_accuracy=with_accuracy)
    each = [place.words.replace("<br>", ", ") for place in places]
    original = _original_words(result, with_accuracy=with_accuracy).replace("<br>", ", ")
    return (
        f"{_axis(with_accuracy=with_accuracy).capitalize()} against time per picture. {'; '.join([*each, original])}."
    )


def _axis(*, with_accuracy: bool) -> str:
    return "right answers" if with_accuracy else "answers as the original"


def _places(result: ExportResult, *, with_accuracy: bool) -> Sequence[_Place]:
    found = []
    for report in result.reports:
        if report.is_made and report.total:
            number = report.correct if with_accuracy else report.agreed
            share = number / report.total
            said = "right" if with_accuracy else "as the original"
            words = (
                f"{FORMATS[report.format].title}<br>{number:,} of {report.total:,} {said} ({percent(share, 1)})<br>"
                f"{report.milliseconds:.1f} ms per picture<br>{file_size(report.size)}"
            )
            found.append(_Place(report, share, words))
    return found


def _original_share(result: ExportResult, *, with_accuracy: bool) -> float:
    return result.correct / result.total if with_accuracy and result.total else 1.0


def _original_words(result: ExportResult, *, with_accuracy: bool) -> str:
    lines = ["The original, as the app asks it"]
    if with_accuracy and result.total:
        lines.append(f"{result.correct:,} of {result.total:,} right ({percent(result.correct / result.total, 1)})")
    return "<br>".join([*lines, f"{result.milliseconds:.1f} ms per picture"])
