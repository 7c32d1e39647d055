"""What the size of a person's pictures means beside the size that the backbone sees."""

from __future__ import annotations

import statistics
from contextlib import suppress

import streamlit as st
from PIL import Image

from pages.components.state import Context
from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.status import is_random
from tlcore.config import ModelConfig
from tlcore.damage import DAMAGE_ERRORS
from tlcore.storage.images import ImageStore

LOOKED_AT = 16
ENLARGED = 1.5
"""From this many times on the enlargement is worth a word."""

# From `python3 -m tests.bench accuracy sizes_cifar10`.
MEASURED = (
    "What that does was measured with EfficientNet-Lite0, all frozen, on CIFAR-10, photos of 32 pixels: 48 % right at "
    "32 pixels, 70 % at 96, 76 % at 224; there each picture takes 12 times as long as at 32 and 4 times as long as at "
    "96. Try two and compare the runs."
)


def size_sentence(context: Context, config: ModelConfig) -> str:
    """Say what happens to pictures on the way to the backbone, and what that does to accuracy and time."""
    items = context.dataset.items
    sampled = tuple(item.image for item in items[:: max(1, len(items) // LOOKED_AT)][:LOOKED_AT])
    side = _typical_side(sampled, context.images) if sampled else None
    square = f"Every picture becomes a square of {config.image_size} × {config.image_size} pixels."
    spec = get_backbone(config.backbone)
    if side is None or spec.default_size < ENLARGED * side:
        return square
    times = config.image_size / side
    if is_random(spec, config.weights):
        grown = f"so they are enlarged {times:.0f} times: that adds time and no detail"
        return f"{square} Yours have about {side} pixels, {grown}." if times >= ENLARGED else square
    if times >= ENLARGED:
        change = f"so they are enlarged {times:.0f} times. That adds no detail, but brings things nearer to the size"
    else:
        change = "and they stay as small. Things are then far from the size"
    return f"{square} Yours have about {side} pixels, {change} at which the backbone knows them. {MEASURED}"


@st.cache_resource(max_entries=64, show_spinner=False)
def _typical_side(images: tuple[str, ...], _store: ImageStore) -> int | None:
    """Return the median of the shorter sides, in pixels; `None` when no picture can be read."""
    sides = []
    for image in images:
        # One that is missing or damaged is told where it is shown.
        with suppress(*DAMAGE_ERRORS), Image.open(_store.path(image)) as picture:
            sides.append(min(picture.size))
    return round(statistics.median(sides)) if sides else None
