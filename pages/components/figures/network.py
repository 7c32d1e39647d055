"""The model as a stack of named blocks: what stays frozen is cold, what learns is warm, and a line between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pages.components.amounts import amount
from pages.components.colors import FROZEN_COLOR, TRAINABLE_COLOR
from pages.components.figures.live_plot import Figure
from tlcore.model.architecture import ModelSummary

ROW_PIXELS = 25
PICTURE_COLOR = "#8a8f98"
BARS_END = 0.46
"""Where the bars end and the numbers begin, as a fraction of the figure's width."""


SIZES_END = 0.8
"""Where the column of output sizes ends."""

HEADER_PLACE = -1.0


@dataclass(frozen=True, slots=True)
class _Row:
    """One bar of the drawing."""

    name: str
    size: str
    side: int
    parameters: int | None
    color: str
    hover: str
    block: str | None = None


def network_words(summary: ModelSummary, title: str, image_size: int) -> str:
    """Return what the figure shows in a sentence, for those who cannot see it; `title` names the backbone."""
    learning = [block.name for block in summary.blocks if block.trainable]
    what = f"the blocks {', '.join(learning)} and the head learn" if learning else "only the head learns"
    return (
        f"{title} at {image_size} pixels as a stack of {len(summary.blocks)} blocks, "
        f"{len(summary.blocks) - len(learning)} of them frozen: {what}, with "
        f"{amount(summary.trainable_parameters)} of {amount(summary.trainable_parameters + summary.frozen_parameters)} "
        "weights."
    )


def network_figure(summary: ModelSummary, image_size: int) -> Figure:
    """Draw the model from the picture (top) to the probabilities (bottom).

    A bar's width follows the height and width of the block's output, on a logarithmic scale: the
    network gives up place for meaning. Clicking a block's bar tells its name.

    Args:
        summary: From `describe_model`.
        image_size: Side of the picture in pixels.
    """
    rows = _rows(summary, image_size)
    # The line takes a row of its own, above the first block that is trained.
    states = [*(block.trainable for block in summary.blocks), True]
    line_at = 1 + states.index(True)
    places = [index if index < line_at else index + 1.3 for index in range(len(rows))]
    line_place = line_at + 0.15
    widths = [math.log2(row.side + 1) for row in rows]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": widths,
        "base": [-width / 2 for width in widths],
        "y": places,
        "width": 0.78,
        "marker": {"color": [row.color for row in rows], "cornerradius": 4},
        "customdata": [row.block for row in rows],
        "hovertext": [row.hover for row in rows],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "showlegend": False,
    }
    widest = max(widths)
    layout = {
        "margin": {"l": 8, "r": 8, "t": 4, "b": 4},
        "bargap": 0,
        "dragmode": False,
        "hovermode": "closest",
        "xaxis": {"visible": False, "fixedrange": True, "domain": [0, BARS_END], "range": [-widest / 2, widest / 2]},
        "yaxis": {
            "range": [places[-1] + 0.6, HEADER_PLACE - 0.6],
            "tickvals": places,
            "ticktext": [row.name for row in rows],
            "tickfont": {"size": 13},
            "showgrid": False,
            "showline": False,
            "zeroline": False,
            "fixedrange": True,
        },
        "annotations": [*_texts(rows, places), *_line_texts(line_place, summary)],
        "shapes": [_line(line_place)],
    }
    return {"data": [bars], "layout": layout}


def network_height(summary: ModelSummary) -> int:
    """Return the height of the drawing in pixels."""
    return round(ROW_PIXELS * (len(summary.blocks) + len(summary.head) + 4.5))


def _rows(summary: ModelSummary, image_size: int) -> list[_Row]:
    picture = f"{image_size} × {image_size} × 3"
    rows = [_Row("picture", picture, image_size, None, PICTURE_COLOR, "Your picture: height × width × colours")]
    for block in summary.blocks:
        height, width, channels = block.output_shape
        state = "learns from your pictures" if block.trainable else "frozen: keeps what it knows"
        rows.append(
            _Row(
                name=block.name,
                size=f"{height} × {width} × {channels}",
                side=height,
                parameters=block.parameters,
                color=TRAINABLE_COLOR if block.trainable else FROZEN_COLOR,
                hover=f"<b>{block.name}</b>, {state}<br>typically sees {block.note}<br>{block.parameters:,} parameters",
                block=block.name,
            )
        )
    for layer in summary.head:
        size = " × ".join(f"{length:,}" for length in layer.output_shape)
        hover = f"<b>{layer.name}</b>, new: learns from your pictures<br>{layer.parameters:,} parameters"
        if not layer.parameters:
            hover = f"<b>{layer.name}</b>, has nothing to learn"
        color = TRAINABLE_COLOR if layer.parameters else PICTURE_COLOR
        rows.append(_Row(layer.name.replace("_", " "), size, 1, layer.parameters, color, hover))
    return rows


def _texts(rows: Sequence[_Row], places: Sequence[float]) -> list[Figure]:
    """Return output size and parameters of each row, right of its bar."""
    texts = [_text("output size, <b>parameters</b>", 1, HEADER_PLACE)]
    for row, place in zip(rows, places, strict=True):
        texts.append(_text(row.size, SIZES_END, place))
        if row.parameters:
            texts.append(_text(f"<b>{amount(row.parameters)}</b>", 1, place))
    return texts


def _line_texts(place: float, summary: ModelSummary) -> list[Figure]:
    """Return what stands at both ends of the line; nothing is frozen when it lies above the first block."""
    learns = _text("<b>▼ learns</b>", 1, place, size=16, color=TRAINABLE_COLOR)
    frozen = _text("<b>▲ frozen</b>", 0, place, "left", size=16, color=FROZEN_COLOR)
    return [learns] if summary.blocks[0].trainable else [learns, frozen]


def _text(text: str, x: float, y: float, anchor: str = "right", size: int = 13, color: str | None = None) -> Figure:
    font = {"size": size, "color": color} if color else {"size": size}
    place = {"x": x, "xref": "paper", "xanchor": anchor, "y": y, "yanchor": "middle"}
    return place | {"text": text, "font": font, "showarrow": False}


def _line(place: float) -> Figure:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0.3,
        "x1": 0.74,
        "y0": place,
        "y1": place,
        "line": {"color": PICTURE_COLOR, "width": 3, "dash": "dot"},
    }
