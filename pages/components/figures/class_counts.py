"""The Plotly figure of the data set: how many pictures each class has, per split."""

from __future__ import annotations

import plotly.graph_objects as go

from pages.components.colors import SPLIT_PATTERNS, class_color
from pages.components.text import plot_label
from tlcore.dataset import SPLITS, Dataset, Split

ROW_PIXELS = 34
FONT_SIZE = 15
NEUTRAL_COLOR = "#84868C"


def class_counts_figure(dataset: Dataset) -> go.Figure:
    """Draw one bar per class, in its colour, divided by fill pattern into train, validation and test."""
    counts = dataset.counts()
    totals = [sum(counts[label.id, split] for split in SPLITS) for label in dataset.classes]
    rows = list(range(dataset.num_classes))
    colors = [class_color(label.color) for label in dataset.classes]
    figure = go.Figure()
    for split in SPLITS:
        amounts = [counts[label.id, split] for label in dataset.classes]
        # One trace for the bars and one for the legend, whose sign would else have the first class's colour.
        figure.add_bar(
            orientation="h",
            y=rows,
            x=amounts,
            customdata=[plot_label(label.name) for label in dataset.classes],
            hovertemplate="%{customdata}<br>" + split + ": %{x} pictures<extra></extra>",
            marker={"color": colors, "pattern": _pattern(split), "line": {"width": 0}},
            showlegend=False,
            legendgroup=split,
        )
        figure.add_bar(
            orientation="h",
            y=[None],
            x=[None],
            name=split,
            marker={"color": NEUTRAL_COLOR, "pattern": _pattern(split)},
            legendgroup=split,
        )
    figure.add_scatter(
        y=rows,
        x=totals,
        mode="text",
        text=[f"  {total:,}" for total in totals],
        textposition="middle right",
        textfont={"size": FONT_SIZE},
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )
    names = [f"{plot_label(label.name, 22)}  " for label in dataset.classes]
    figure.update_layout(
        barmode="stack",
        bargap=0.3,
        height=90 + ROW_PIXELS * max(2, dataset.num_classes),
        margin={"l": 8, "r": 48, "t": 36, "b": 32},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1,
            "yanchor": "bottom",
            "traceorder": "normal",
            "font": {"size": FONT_SIZE},
        },
        dragmode=False,
    )
    size = {"size": FONT_SIZE}
    figure.update_xaxes(
        title={"text": "pictures", "font": size},
        tickfont=size,
        rangemode="tozero",
        fixedrange=True,
        nticks=6,
        tickformat=",d",
    )
    figure.update_yaxes(
        tickfont=size, tickvals=rows, ticktext=names, autorange="reversed", fixedrange=True, automargin=True
    )
    return figure


def _pattern(split: Split) -> dict[str, object]:
    """Return the fill of a split: plain, striped or dotted, in the class's own colour."""
    return {
        "shape": SPLIT_PATTERNS[split],
        "fillmode": "overlay",
        "fgcolor": "white",
        "fgopacity": 0.8,
        "solidity": 0.35,
        "size": 7,
    }
