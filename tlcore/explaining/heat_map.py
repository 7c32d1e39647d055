"""A heat map: how much each part of a picture speaks for a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
