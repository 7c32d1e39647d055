"""One scale for all pictures with more than 8 bits of a data set: which of their values are black and white."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

GreyRange: TypeAlias = tuple[float, float]
"""The values that become black and white, kept in `Dataset.grey_range`."""

# What cameras, scanners and scans count to: 8, 10, 12, 14 and 16 bits.
_TOPS = (255, 1023, 4095, 16383, 65535)
_FLOAT_TOPS = (1, 255)
# So many of all values may lie beyond a range: single hot pixels, a burnt-in mark. The next range is four times darker.
_BEYOND = 0.005
_PERCENTILES = (0.1, 99.9)
_SAMPLED = 1 << 18


@dataclass(frozen=True, slots=True)
class GreyStatistics:
    """How far the values of one picture reach.

    Attributes:
        is_float: Whether they are floating-point numbers.
        count: Finite values.
        beyond: How many of them are larger than each usual top.
        low: One in a thousand is smaller.
        high: One in a thousand is larger.
    """

    is_float: bool
    count: int
    beyond: tuple[int, ...]
    low: float
    high: float


def grey_statistics(strips: Callable[[], Iterable[NDArray[np.number]]]) -> GreyStatistics:
    """Return how far the values of a picture reach.

    Args:
        strips: Gives the values some rows at a time, whole or floating-point numbers of any shape, at least one; asked
            twice, so that a large picture is in memory only once.
    """
    count, beyond, is_float = 0, np.zeros(0, int), False
    for strip in strips():
        is_float = strip.dtype.kind == "f"
        finite = _finite(strip)
        count += finite.size
        above = np.array([np.count_nonzero(finite > top) for top in _tops(is_float)])
        beyond = above if not beyond.size else beyond + above
    if not count:
        return GreyStatistics(is_float, 0, (0,) * len(_tops(is_float)), 0.0, 0.0)
    step, first, sampled = max(1, count // _SAMPLED), 0, []
    for strip in strips():
        finite = _finite(strip)
        sampled.append(finite[first::step])
        first = (first - finite.size) % step
    low, high = np.percentile(np.concatenate(sampled), _PERCENTILES, method="nearest")
    return GreyStatistics(is_float, count, tuple(int(number) for number in beyond), float(low), float(high))


def find_grey_range(pictures: Sequence[GreyStatistics]) -> GreyRange | None:
    """Return one range for all pictures with more than 8 bits: the smallest usual one that holds nearly all values.

    Values that fit no usual range, below zero or larger, are stretched from nearly the smallest to nearly the largest
    of all pictures.

    Args:
        pictures: From `grey_statistics`, one per picture.

    Returns:
        `None` if there are none.
    """
    seen = [picture for picture in pictures if picture.count]
    if not seen:
        return None
    low, high = min(picture.low for picture in seen), max(picture.high for picture in seen)
    is_float = any(picture.is_float for picture in seen)
    allowed = _BEYOND * sum(picture.count for picture in seen)
    if low >= 0 and all(picture.is_float == is_float for picture in seen):
        for number, top in enumerate(_tops(is_float)):
            if sum(picture.beyond[number] for picture in seen) <= allowed:
                return 0.0, float(top)
    return low, high


def _finite(values: NDArray[np.number]) -> NDArray[np.number]:
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()


def _tops(is_float: bool) -> tuple[int, ...]:
    return _FLOAT_TOPS if is_float else _TOPS
