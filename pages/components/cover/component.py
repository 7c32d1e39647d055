"""The picture with a cover in the browser: what it is told, and which part a person has covered."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.components.styles import styles_of
from pages.components.text import plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tlcore.explaining.covering import Box

FILL_SIDE = 96
"""The blurred picture has no detail, so a small one is enough to show it."""

PARTS = ("left", "top", "width", "height")

_FILES = Path(__file__).parent
_component = st.components.v2.component(
    "transfer_lab_cover",
    html=(_FILES / "cover.html").read_text(encoding="utf-8"),
    css=styles_of(_FILES / "cover.css"),
    js=(_FILES / "cover.js").read_text(encoding="utf-8"),
)


def covered_box(key: str) -> Box | None:
    """Return which part of the picture under this key is covered now; `None` when nothing is."""
    return read_box(st.session_state.get(key, {}).get("box"))


def draw_cover(key: str, pixels: NDArray[np.uint8], fill: NDArray[np.uint8], words: str) -> None:
    """Draw a picture of which a part can be covered.

    Args:
        key: Tells it from others; `covered_box` knows it by this.
        pixels: uint8 RGB of shape `(height, width, 3)`.
        fill: What it is covered with: the same picture blurred, in any size.
        words: What the model says to the covered picture.
    """
    box = covered_box(key)
    data = {
        "picture": _data_url(pixels),
        "fill": _data_url(fill, FILL_SIDE),
        "alt": "The picture that the model is asked about",
        "label": "Cover a part: drag over the picture. Arrow keys move the cover, plus and minus change its size.",
        "box": None if box is None else {name: getattr(box, name) for name in PARTS},
        "words": plain(words),
    }
    _component(key=key, data=data, default={"box": None}, on_box_change=lambda: None)


def read_box(sent: Any) -> Box | None:
    """Return the part that the browser sent; `None` if there is none, or our script cannot have sent it."""
    from tlcore.explaining.covering import Box

    if not isinstance(sent, dict):
        return None
    values = [sent.get(name) for name in PARTS]
    numbers = [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]
    if len(numbers) < len(PARTS):
        return None
    left, top, width, height = numbers
    slack = 1e-3  # the browser rounds
    fits = min(left, top) >= 0 and min(width, height) > 0 and max(left + width, top + height) <= 1 + slack
    return Box(left, top, width, height) if fits else None


def _data_url(pixels: NDArray[np.uint8], longest_side: int | None = None) -> str:
    from PIL import Image

    image, buffer = Image.fromarray(pixels), io.BytesIO()
    if longest_side is not None:
        image.thumbnail((longest_side, longest_side))
    image.save(buffer, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
