"""The edges of a picture alone, and its middle alone; the rest is covered in grey."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EDGE = 1 / 8
"""What counts as the edges: so much of a picture's side at each of its four sides."""

GREY = 128


def only_edges(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a square picture whose middle is covered in grey, uint8 of shape `(side, side, 3)`."""
    margin = _margin(picture)
    covered = picture.copy()
    covered[margin:-margin, margin:-margin] = GREY
    return covered


def only_middle(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a square picture whose edges are covered in grey, uint8 of shape `(side, side, 3)`."""
    margin = _margin(picture)
    covered = np.full_like(picture, GREY)
    covered[margin:-margin, margin:-margin] = picture[margin:-margin, margin:-margin]
    return covered


def _margin(picture: NDArray[np.uint8]) -> int:
    return max(1, round(EDGE * len(picture)))
