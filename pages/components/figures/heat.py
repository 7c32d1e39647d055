"""A heat map over its picture, as a file to look at; in colours that every kind of colour-blindness keeps apart."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

WARM, COOL = (255, 145, 0), (0, 120, 255)
"""What speaks for the class, and what speaks against it."""

LEAST_FALL = 0.5
"""What makes the logarithm of the odds fall by less is drawn paler: nothing in the picture says much."""

SHOWN_SIDE = 720
LAYER_SIDE = 96
STRONGEST = 0.85
"""So much of the picture is hidden where it is warmest and the map is not see-through at all."""


def heat_picture(pixels: NDArray[np.uint8], values: NDArray[np.float32], opacity: float) -> bytes:
    """Return a picture with a heat map over it as the bytes of a JPEG file.

    Where the map lies, the picture loses its own colours: an orange flower shall not look like an orange map.

    Args:
        pixels: uint8 RGB of shape `(height, width, 3)`.
        values: `HeatMap.values`.
        opacity: How strong the map is, from 0 (the picture alone) to 1.
    """
    from PIL import Image

    shown = _shown(pixels)
    size = shown.size
    picture = np.asarray(shown, np.float32)
    if opacity > 0:
        warmth = _warmth(values, size)[..., None]
        grey = picture @ np.array([0.299, 0.587, 0.114], np.float32)
        picture += opacity * (grey[..., None] - picture)
        strength = opacity * STRONGEST * np.abs(warmth)
        colour = np.where(warmth > 0, np.array(WARM, np.float32), np.array(COOL, np.float32))
        picture += strength * (colour - picture)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def heat_layer(values: NDArray[np.float32], width: int, height: int, opacity: float = 0.75) -> bytes:
    """Return a heat map alone, see-through where it says nothing, as the bytes of a small PNG file.

    Args:
        values: `HeatMap.values`.
        width: Of the picture, in pixels; the map has the same shape.
        height: Of the picture.
        opacity: How strong the map is, from 0 to 1.
    """
    from PIL import Image

    scale = LAYER_SIDE / max(width, height)
    warmth = _warmth(values, (max(1, round(scale * width)), max(1, round(scale * height))))
    layer = np.zeros((*warmth.shape, 4), np.uint8)
    layer[..., :3] = np.where(warmth[..., None] > 0, WARM, COOL)
    layer[..., 3] = 255 * opacity * np.abs(warmth)
    buffer = io.BytesIO()
    Image.fromarray(layer).save(buffer, "PNG")
    return buffer.getvalue()


def _shown(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return a picture large enough to look at: on a small one the map would be all steps."""
    from PIL import Image

    image = Image.fromarray(pixels)
    scale = SHOWN_SIDE / max(image.size)
    width, height = (max(1, round(scale * side)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _warmth(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the map in the size of the picture, from -1 (coolest) to 1 (warmest)."""
    from PIL import Image

    scaled = values / max(float(np.abs(values).max()), LEAST_FALL)
    smooth = Image.fromarray(scaled.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(smooth, np.float32), -1, 1)
