"""What is known of each backbone, and the Plotly figure of accuracy against speed or size."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from pages.components.amounts import amount
from pages.components.colors import FROZEN_COLOR, TRAINABLE_COLOR
from pages.components.figures.live_plot import Figure
from pages.components.text import count
from tlcore.backbones.registry import BackboneSpec
from tlcore.backbones.weights.status import weights_status
from tlcore.home import DataRoot
from tlcore.pricing.backbone_speeds import backbone_milliseconds

Axis = Literal["speed", "size"]

FEW = 8
"""Up to so many points all have their names beside them; more names would cover each other."""

# Round numbers in steps that look alike on a logarithmic axis; Plotly's own labels leave out the zeros.
TICKS = [digit * 10**power for power in range(-2, 5) for digit in (1, 2, 5)]


@dataclass(frozen=True, slots=True)
class BackboneFacts:
    """A backbone on this computer.

    Attributes:
        spec: Its row of the registry.
        milliseconds: Time for one picture through the whole backbone at its own size, on all cores; `None` where
            nobody has measured it.
        is_ready: Whether a run can start without a network.
    """

    spec: BackboneSpec
    milliseconds: float | None
    is_ready: bool


def read_facts(spec: BackboneSpec, home: DataRoot) -> BackboneFacts:
    """Return what is known of a backbone; nothing is measured and nothing guessed."""
    return BackboneFacts(spec, backbone_milliseconds(spec, home), weights_status(spec, home).ready_offline)


def scatter_figure(facts: Sequence[BackboneFacts], axis: Axis, chosen: str, named: Collection[str]) -> Figure:
    """Draw accuracy on ImageNet against speed or size; a click on a point tells the backbone's name.

    Args:
        facts: The backbones; one without a published accuracy is left out, and of the axis `speed` also one
            without a measured speed.
        axis: What goes to the right: `speed` in milliseconds per picture, `size` in parameters.
        chosen: Name of the backbone that is marked.
        named: Further backbones whose names stand beside their points when there are many.
    """
    shown = _drawn(facts, axis)
    names = {one.spec.name for one in shown} if len(shown) <= FEW else {chosen, *named}
    others = [one for one in shown if one.spec.name != chosen]
    groups = (
        ("ready", "circle", FROZEN_COLOR, [one for one in others if one.is_ready]),
        ("needs a download", "circle-open", FROZEN_COLOR, [one for one in others if not one.is_ready]),
        ("chosen", "star", TRAINABLE_COLOR, [one for one in shown if one.spec.name == chosen]),
    )
    unit = "milliseconds per picture" if axis == "speed" else "million parameters"
    return {
        "data": [
            {
                "type": "scatter",
                "name": name,
                "mode": "markers+text",
                "x": [place(one, axis) for one in group],
                "y": [one.spec.imagenet_top1 for one in group],
                "text": [one.spec.title if one.spec.name in names else "" for one in group],
                "textposition": "top center",
                "cliponaxis": False,
                "customdata": [one.spec.name for one in group],
                "hovertext": [hover_text(one) for one in group],
                "hovertemplate": "%{hovertext}<extra></extra>",
                "marker": {
                    "symbol": symbol,
                    "color": color,
                    "size": 18 if name == "chosen" else 13,
                    "line": {"width": 2},
                },
            }
            for name, symbol, color, group in groups
            if group
        ],
        "layout": {
            "margin": {"l": 8, "r": 24, "t": 40, "b": 8},
            "showlegend": True,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "hovermode": "closest",
            "dragmode": False,
            "xaxis": {
                "type": "log",
                "title": {"text": unit},
                "tickvals": TICKS,
                "ticktext": [f"{tick:g}" for tick in TICKS],
                "fixedrange": True,
            },
            "yaxis": {"title": {"text": "ImageNet, named right"}, "tickformat": ".1~%", "fixedrange": True},
        },
    }


def scatter_words(facts: Sequence[BackboneFacts], axis: Axis, chosen: str) -> str:
    """Return what the figure shows in a sentence, for those who cannot see it; arguments as of `scatter_figure`."""
    shown = sorted(_drawn(facts, axis), key=lambda one: place(one, axis) or 0)
    against = "time per picture on this computer" if axis == "speed" else "parameters"
    if not shown:
        return f"Accuracy on ImageNet against {against}: no backbone is known yet."
    ends = ("quickest", "slowest") if axis == "speed" else ("smallest", "largest")
    best = max(shown, key=lambda one: one.spec.imagenet_top1 or 0)
    named = [(ends[0], shown[0]), (ends[1], shown[-1]), ("most accurate", best)]
    named += [("chosen", one) for one in shown if one.spec.name == chosen]
    unit = "ms" if axis == "speed" else "million parameters"
    each = [
        f"{what} {one.spec.title}, {100 * (one.spec.imagenet_top1 or 0):.1f} % at {place(one, axis):g} {unit}"
        for what, one in named
    ]
    return f"Accuracy on ImageNet of {count(len(shown), 'backbone')} against {against}: {'; '.join(each)}."


def _drawn(facts: Sequence[BackboneFacts], axis: Axis) -> list[BackboneFacts]:
    return [one for one in facts if one.spec.imagenet_top1 is not None and place(one, axis) is not None]


def place(one: BackboneFacts, axis: Axis) -> float | None:
    """Return where a backbone lies on an axis; `None` when that was not measured."""
    if axis == "size":
        return round(one.spec.parameters / 1e6, 3)
    return None if one.milliseconds is None else round(one.milliseconds, 2)


def hover_text(one: BackboneFacts) -> str:
    """Return all figures of a backbone, for the pointer."""
    speed = f"{one.milliseconds:.1f} ms per picture here" if one.milliseconds is not None else "not measured here"
    weights = "ready" if one.is_ready else "needs a download"
    return (
        f"<b>{one.spec.title}</b><br>{100 * (one.spec.imagenet_top1 or 0):.1f} % of ImageNet right<br>"
        f"{amount(one.spec.parameters)} parameters, {speed}<br>{weights}"
    )
