"""The app's own way from a picture of any size to the square that a model sees, as part of a Keras model.

It is made of plain operations that every format knows: the square is two matrix products, one along each side, and the
matrices follow from the picture's height and width alone. Keras's own `Resizing` layer and the resizing of other tools
use other filters, which moves undecided answers by up to 15 points.
"""

from __future__ import annotations

from typing import Literal

import keras
import numpy as np
from keras import ops

from tlcore.config import ResizeMode

Axis = Literal[1, 2]


def square_of(pixels: keras.KerasTensor, size: int, mode: ResizeMode) -> keras.KerasTensor:
    """Return the square picture, as `tlcore.intake.pictures.pixels.square` makes it; some values differ by 1 of 255.

    Args:
        pixels: Values in `[0, 255]` of shape `(batch, height, width, 3)`; height and width may be unknown.
        size: Side of the square in pixels.
        mode: As of that function.

    Returns:
        Whole values in `[0, 255]` of shape `(batch, size, size, 3)`.
    """
    rows, columns = _positions(pixels, 1), _positions(pixels, 2)
    height, width = _count(rows), _count(columns)
    if mode != "crop":
        raise NotImplementedError(mode)
    side = ops.minimum(height, width)
    top, left = ops.floor((height - side) / 2), ops.floor((width - side) / 2)
    x = ops.einsum("ih,bhwc->biwc", _averaging(rows, top, side, size), pixels)
    x = ops.einsum("jw,biwc->bijc", _averaging(columns, left, side, size), x)
    return ops.floor(x + 0.5)


def _positions(pixels: keras.KerasTensor, axis: Axis) -> keras.KerasTensor:
    """Return the numbers of the rows or columns, from 0, of shape `(1, count)`.

    A Keras model knows no shapes before it gets a picture, and a `.keras` file may hold no code of ours that asks for
    them: so a row of ones is summed up.
    """
    line = pixels[:1, :, :1, :1] if axis == 1 else pixels[:1, :1, :, :1]
    return ops.cumsum(ops.reshape(ops.ones_like(line), (1, -1)), axis=1) - 1.0


def _count(positions: keras.KerasTensor) -> keras.KerasTensor:
    return ops.max(positions, axis=1, keepdims=True) + 1.0


def _averaging(
    positions: keras.KerasTensor, start: keras.KerasTensor, length: keras.KerasTensor, size: int
) -> keras.KerasTensor:
    """Return how much of each position lies in each of `size` equal cells of a stretch, of shape `(size, count)`."""
    cells = np.arange(size, dtype=np.float32)[:, np.newaxis]
    step = length / float(size)
    low, high = ops.multiply(step, cells) + start, ops.multiply(step, cells + 1) + start
    return ops.relu(ops.minimum(high, positions + 1.0) - ops.maximum(low, positions)) / step
