"""The Plotly figure of what projects take on the disk, by kind."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from pages.components.amounts import file_size
from pages.components.colors import CLASS_COLORS, INK
from pages.components.text import first_of, plain, plot_label
from tlcore.storage.usage import USAGE_KINDS, ProjectUsage, UsageKind

ROW_PIXELS = 34
FONT_SIZE = 15
AXIS_PIXELS = 58
KIND_PIXELS = 24
"""Of each kind below the axis: on a narrow screen they stand below each other."""

MOST_BARS = 15
"""Projects of the figure, the largest ones; the table has them all."""

KIND_NAMES: dict[UsageKind, str] = {
    "pictures": "pictures",
    "history": "earlier versions",
    "runs": "runs",
    "simple_heads": "simple heads",
    "predictions": "answers",
    "exports": "files of models",
}

# Told apart without colours too: neighbours in a bar have different fills.
_PATTERNS: dict[UsageKind, str] = {
    "pictures": "",
    "history": "/",
    "runs": "",
    "simple_heads": ".",
    "predictions": "x",
    "exports": "-",
}


def storage_words(projects: Sequence[ProjectUsage]) -> str:
    """Return what the figure shows in a sentence, for those who cannot see it."""
    each = [f"{plain(project.name, 30)} {file_size(project.total)}" for project in projects]
    sums = ((name, sum(one.by_kind.get(kind, 0) for one in projects)) for kind, name in KIND_NAMES.items())
    kinds = ", ".join(f"{name} {file_size(total)}" for name, total in sums if total)
    return f"What each project takes: {first_of(each, MOST_BARS)}. In all: {kinds or 'nothing'}."


def storage_figure(projects: Sequence[ProjectUsage], *, dark: bool = False) -> go.Figure:
    """Draw one bar per project, the largest first, divided into what takes the room."""
    projects = projects[:MOST_BARS]
    font = {"size": FONT_SIZE, "color": INK["dark" if dark else "light"]}
    rows = list(range(len(projects)))
    bars_height = ROW_PIXELS * max(2, len(projects))
    figure = go.Figure()
    for kind, color in zip(USAGE_KINDS, CLASS_COLORS, strict=False):
        sizes = [project.by_kind.get(kind, 0) for project in projects]
        if any(sizes):
            pattern = {"shape": _PATTERNS[kind], "fgcolor": "white", "fgopacity": 0.8, "solidity": 0.35, "size": 7}
            figure.add_bar(
                orientation="h",
                y=rows,
                x=[size / 1e6 for size in sizes],
                customdata=[[plot_label(one.name), file_size(size)] for one, size in zip(projects, sizes, strict=True)],
                hovertemplate="%{customdata[0]}<br>" + KIND_NAMES[kind] + ": %{customdata[1]}<extra></extra>",
                name=KIND_NAMES[kind],
                marker={"color": color, "line": {"width": 0}, "pattern": {**pattern, "fillmode": "overlay"}},
            )
    legend_height = KIND_PIXELS * len(figure.data)
    figure.update_layout(
        barmode="stack",
        bargap=0.3,
        height=8 + bars_height + AXIS_PIXELS + legend_height,
        margin={"l": 8, "r": 24, "t": 8, "b": AXIS_PIXELS + legend_height},
        showlegend=True,
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": -AXIS_PIXELS / bars_height,
            "yanchor": "top",
            "traceorder": "normal",
            "font": font,
        },
        dragmode=False,
    )
    figure.update_xaxes(
        title={"text": "megabytes", "font": font}, tickfont=font, rangemode="tozero", fixedrange=True, nticks=6
    )
    names = [f"{plot_label(project.name, 14)}  " for project in projects]
    figure.update_yaxes(
        tickfont=font, tickvals=rows, ticktext=names, autorange="reversed", fixedrange=True, automargin=True
    )
    return figure
