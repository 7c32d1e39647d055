"""One vector for each picture: features averaged over the places of a map, and scaled to length 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pooled(features: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return features without their places, float32 of shape `(pictures, channels)`.

    Args:
        features: Of shape `(pictures, channels)`, which stay as they are, or maps of shape
            `(pictures, height, width, channels)`, which are averaged over height and width.
    """
    rows = np.asarray(features, np.float32)
    return rows if rows.ndim == 2 else rows.mean(axis=tuple(range(1, rows.ndim - 1)))


def unit_length(features: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return rows of features scaled to length 1, float32; a row of zeros stays."""
    rows = np.asarray(features, np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0))
