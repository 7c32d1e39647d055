"""What a learning-rate search found: the loss at each rate, and the rate to take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# How much of the smoothed loss comes from the steps before.
MEMORY = 0.85
# Where the loss is lowest it is about to explode; a good rate is well before that.
SAFETY = 10.0
MIN_STEPS = 10
# A loss that never falls by this part says nothing about where it falls best.
LEAST_FALL = 0.02


@dataclass(frozen=True, slots=True)
class RateSearch:
    """The losses of some steps, each with a larger learning rate than the one before.

    Attributes:
        rates: Learning rates, growing.
        losses: Training loss of the step with each rate.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def smoothed(self) -> tuple[float, ...]:
        """The losses without the ups and downs from batch to batch."""
        return tuple(smoothed(np.asarray(self.losses)).tolist())

    @property
    def suggestion(self) -> float | None:
        """The rate to take: a tenth of the one with the lowest loss; `None` when the loss never fell."""
        if len(self.losses) < MIN_STEPS:
            return None
        values = smoothed(np.asarray(self.losses))
        lowest = int(values.argmin())
        if values[lowest] > (1 - LEAST_FALL) * values[0]:
            return None
        return float(f"{self.rates[lowest] / SAFETY:.1g}")


def smoothed(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a moving average with exponential weights, corrected for its start; shape stays `(n,)`."""
    average, values = 0.0, np.empty(len(losses))
    for number, loss in enumerate(losses, start=1):
        average = MEMORY * average + (1 - MEMORY) * loss
        values[number - 1] = average / (1 - MEMORY**number)
    return values
