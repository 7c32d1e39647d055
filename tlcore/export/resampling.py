"""The app's own way from a picture of any size to the square that a model sees, as part of a Keras model.

It is made of plain operations that every format knows: the square is a product of matrices, one along each side, and
the matrices follow from the picture's height and width alone. Keras's own `Resizing` layer and the resizing of other
tools use other filters, which moves undecided answers by up to 15 points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np
from keras import ops

from tlcore.config import ResizeMode

Axis = Literal[1, 2]
# A cubic curve through a place sees two pixels on each side of it.
CUBIC_REACH = 2


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
    if mode == "crop":
        side = ops.minimum(height, width)
        along_rows = _along(rows, size, start=ops.floor((height - side) / 2), length=side)
        along_columns = _along(columns, size, start=ops.floor((width - side) / 2), length=side)
    elif mode == "stretch":
        along_rows, along_columns = _along(rows, size, length=height), _along(columns, size, length=width)
    else:
        longest = ops.maximum(height, width)
        along_rows = _along(rows, size, length=height, longest=longest)
        along_columns = _along(columns, size, length=width, longest=longest)
    x = ops.transpose(pixels, (0, 3, 1, 2))  # with the sides last, each product is one multiplication of matrices
    half = _half_of(along_rows, along_columns)
    if mode == "stretch":
        # One side may shrink while the other grows: the app rounds in between.
        x = ops.round(_product(along_rows.shrink, x, along_columns.shrink) + half)
        x = ops.round(_product(along_rows.grow, x, along_columns.grow))
    else:
        rows_matrix, columns_matrix = (ops.matmul(one.grow, one.shrink) for one in (along_rows, along_columns))
        x = ops.round(_product(rows_matrix, x, columns_matrix) + half)
    return ops.transpose(ops.clip(x, 0.0, 255.0), (0, 2, 3, 1))


@dataclass(frozen=True, slots=True)
class _Along:
    """What happens along one side; at least one of the two matrices changes nothing.

    Attributes:
        shrink: Averages, of shape `(size + 4, count)`; the pixels at the edges are repeated twice.
        grow: Follows cubic curves and adds borders, of shape `(size, size + 4)`.
        step: How many pixels are averaged, at least 1, of shape `(1, 1)`.
    """

    shrink: keras.KerasTensor
    grow: keras.KerasTensor
    step: keras.KerasTensor


def _positions(pixels: keras.KerasTensor, axis: Axis) -> keras.KerasTensor:
    """Return the numbers of the rows or columns, from 0, of shape `(1, count)`.

    A Keras model knows no shapes before it gets a picture, and a `.keras` file may hold no code of ours that asks for
    them: so a row of ones is summed up. It is made by arithmetic, since LiteRT plans nothing ahead of what follows
    from a shape, and is slower then.
    """
    line = pixels[:1, :, :1, :1] if axis == 1 else pixels[:1, :1, :, :1]
    return ops.cumsum(ops.reshape(line * 0.0 + 1.0, (1, -1)), axis=1) - 1.0


def _count(positions: keras.KerasTensor) -> keras.KerasTensor:
    return ops.max(positions, axis=1, keepdims=True) + 1.0


def _along(
    positions: keras.KerasTensor,
    size: int,
    *,
    length: keras.KerasTensor,
    start: keras.KerasTensor | float = 0.0,
    longest: keras.KerasTensor | None = None,
) -> _Along:
    """Return what happens along one side.

    Args:
        positions: From `_positions`.
        size: Side of the square.
        length: Pixels of the stretch that is seen.
        start: The first of them.
        longest: Pixels of the longer side where the picture gets borders; otherwise the stretch fills the square.
    """
    inner: keras.KerasTensor | float = float(size)
    if longest is not None:
        inner = ops.maximum(ops.round(length * float(size) / longest), 1.0)  # to the even one of two, as Python does
    shrunk = ops.minimum(length, inner)
    step = length / shrunk
    cells = np.arange(-CUBIC_REACH, size + CUBIC_REACH, dtype=np.float32)
    low = ops.minimum(np.maximum(cells[:, np.newaxis], 0.0), shrunk - 1.0) * step + start
    shrink = ops.relu(ops.minimum(low + step, positions + 1.0) - ops.maximum(low, positions)) / step

    targets = np.arange(size, dtype=np.float32)[:, np.newaxis]
    if longest is not None:
        targets = ops.subtract(targets, ops.floor((size - inner) / 2))
    places = (shrunk / inner) * (targets + 0.5) - 0.5
    grow = _cubic(ops.absolute(places - cells[np.newaxis]))
    if longest is not None:
        grow = grow * ops.clip(ops.minimum(targets + 1.0, inner - targets), 0.0, 1.0)  # 0 in the borders
    return _Along(shrink, grow, step)


def _cubic(distance: keras.KerasTensor) -> keras.KerasTensor:
    """Return how much a pixel counts at some distance, in pixels: the curve of OpenCV's `INTER_CUBIC`, a = -0.75.

    Its two branches, up to 1 and up to 2, are one formula: what the first adds to the second is `-2 * near ** 3`.

    Source:
        Keys 1981, "Cubic convolution interpolation for digital image processing",
        https://doi.org/10.1109/TASSP.1981.1163711.
    """
    far, near = ops.relu(2.0 - distance), ops.relu(1.0 - distance)
    return 0.75 * far * far * (far - 1.0) - 2.0 * near * near * near


def _product(rows: keras.KerasTensor, pictures: keras.KerasTensor, columns: keras.KerasTensor) -> keras.KerasTensor:
    """Return pictures of shape `(batch, 3, height, width)`, multiplied with one matrix along each side."""
    return ops.matmul(
        ops.matmul(rows[np.newaxis, np.newaxis], pictures), ops.transpose(columns)[np.newaxis, np.newaxis]
    )


def _half_of(rows: _Along, columns: _Along) -> keras.KerasTensor:
    """Return what makes a half go up, of shape `(1, 1, 1, 1)`.

    OpenCV rounds a half to the even one of two, but where it averages two times two pixels, it goes up.
    """
    is_double = ops.logical_and(ops.equal(rows.step, 2.0), ops.equal(columns.step, 2.0))
    return ops.cast(is_double, "float32")[np.newaxis, np.newaxis] * 0.125  # less than the quarters of such averages
