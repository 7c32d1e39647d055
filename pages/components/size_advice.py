"""What the size of a person's pictures means beside the size that the backbone sees."""

from __future__ import annotations

import statistics

import streamlit as st
from PIL import Image

from pages.components.state import Context
from tlcore.config import ModelConfig
from tlcore.storage.images import ImageStore

LOOKED_AT = 16
ENLARGED = 1.5
"""From this many times on the enlargement is worth a word."""


def size_sentence(context: Context, config: ModelConfig) -> str:
    """Say what happens to pictures on the way to the backbone, and what that does to accuracy and time."""
    items = context.dataset.items
    sampled = tuple(item.image for item in items[:: max(1, len(items) // LOOKED_AT)][:LOOKED_AT])
    side = _typical_side(sampled, context.images) if sampled else None
    square = f"Every picture becomes a square of {config.image_size} × {config.image_size} pixels."
    if side is None or config.image_size < ENLARGED * side:
        return square
    return (
        f"{square} Yours have about {side} pixels, so they are enlarged {config.image_size / side:.0f} times. "
        "The backbone knows things at its own size and is usually right more often then, though no detail is added; "
        "each picture takes as long as a large one. A smaller size is faster: try both and compare the runs."
    )


@st.cache_resource(max_entries=64, show_spinner=False)
def _typical_side(images: tuple[str, ...], _store: ImageStore) -> int | None:
    """Return the median of the shorter sides, in pixels; `None` when no picture can be read."""
    sides = []
    for image in images:
        path = _store.path(image)
        if path.exists():
            with Image.open(path) as picture:
                sides.append(min(picture.size))
    return round(statistics.median(sides)) if sides else None
