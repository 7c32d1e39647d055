"""The Plotly figure of the data set: how many pictures each class has, per split."""

from __future__ import annotations

import plotly.graph_objects as go

from pages.components.colors import INK, SPLIT_PATTERNS, class_color
from pages.components.text import first_of, plain, plot_label
from tlcore.dataset import SPLITS, Dataset, Split

ROW_PIXELS = 34
FONT_SIZE = 15
NEUTRAL_COLOR = "#84868C"
MAX_NAMED = 20
"""Classes that the figure's sentence names; a longer one would be no help."""


def class_counts_words(dataset: Dataset) -> str:
    """Return what the figure shows in a sentence, for those who cannot see it."""
    counts = dataset.counts()
    each = [f"{plain(label.name)} {sum(counts[label.id, split] for split in SPLITS):,}" for label in dataset.classes]
    parts = ", ".join(f"{len(dataset.subset(split)):,} for {split}" for split in SPLITS)
    return f"Pictures of each class: {first_of(each, MAX_NAMED)}; {parts}."


def class_counts_figure(dataset: Dataset, *, dark: bool = False) -> go.Figure:
    """Draw one bar per class, in its colour, divided by fill pattern into train, validation and test."""
    counts = dataset.counts()
    totals = [sum(counts[label.id, split] for split in SPLITS) for label in dataset.classes]
    rows = list(range(dataset.num_classes))
    colors = [class_color(label.color) for label in dataset.classes]
    font = {"size": FONT_SIZE, "color": INK["dark" if dark else "light"]}
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
        textfont=font,
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
            "font": font,
        },
        dragmode=False,
    )
    figure.update_xaxes(
        title={"text": "pictures", "font": font},
        tickfont=font,
        rangemode="tozero",
        fixedrange=True,
        nticks=6,
        tickformat=",d",
    )
    figure.update_yaxes(
        tickfont=font, tickvals=rows, ticktext=names, autorange="reversed", fixedrange=True, automargin=True
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
