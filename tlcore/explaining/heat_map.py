"""A heat map: how much each part of a picture speaks for a class, and the score by which that is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The logarithm of nothing is none, but every number above it counts: a model with a flattened head is often so sure
# that no cover leaves the other classes 1 in 10 million, and only how far below they are tells where it looks.
SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """How much each part of a picture speaks for a class.

    Attributes:
        values: float32 of shape `(rows, columns)`, spread evenly over the picture; above 0 where a part speaks for the
            class, below 0 where it speaks against it.
        probability: Of the class, for the whole picture, in `[0, 1]`.
    """

    values: NDArray[np.float32]
    probability: float


def log_odds(probabilities: NDArray[np.float32], class_index: int) -> NDArray[np.float64]:
    """Return how sure a class is, without an end: 0 for one half, above for more.

    Args:
        probabilities: Of shape `(pictures, classes)`; each row adds up to 1.
        class_index: The class.

    Returns:
        Logarithms of the odds, float64 of shape `(pictures,)`.
    """
    rows = np.asarray(probabilities, np.float64)
    # Not one less the probability, of which nothing is left when a class is sure.
    others = np.delete(rows, class_index, axis=1).sum(axis=1)
    low = SMALLEST_PROBABILITY
    return np.asarray(np.log(np.maximum(rows[:, class_index], low)) - np.log(np.maximum(others, low)))
