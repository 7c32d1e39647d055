"""Cover parts of a picture and ask again: how far a class falls says how much that part spoke for it.

This needs nothing of a model but its answers, so it is the same for every backbone, every head and every group.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tlcore.explaining.heat_map import HeatMap, log_odds
from tlcore.explaining.places import falls_of_places
from tlcore.images.resizing import as_pixels
from tlcore.results.prediction import Predictor

COVERS = ((1 / 5, 7), (1 / 7, 9))
"""Sides of the covers, as parts of the picture's, and along how many places each is moved. One size alone misses what
is much larger or smaller."""
TWO_SIZES_FROM = 0.3
"""With fewer places than this part of them, one size of cover does more."""
OVERLAP = 1.5
"""Side of that cover, in steps from one place to the next."""
LEAST_PER_SIDE = 3
BUDGET_SECONDS = 0.8
"""A slow model is asked about fewer places, so that nobody waits longer."""
COVERS_SHARE = 0.5
"""What the covers get of that time at least, however long the places of the features took."""
TIMINGS = 3
"""How often one answer is timed at most, to take the quickest: one is slow now and then as the computer is busy."""
CELLS = 18
"""Cells of the map on each side."""
PLACES_SHARE = 0.5
"""What the places of the features count beside the covers."""
BLUR_SHARE = 1 / 4


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a picture, in parts of its width and height from the top left corner, each in `[0, 1]`."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, eq=False)
class Coverings:
    """A model's answers to a picture and to the same picture with a part covered, one after the other.

    Attributes:
        whole: Probabilities for the whole picture, float32 of shape `(classes,)`.
        covered: Probabilities with a part covered, float32 of shape `(parts, classes)`.
        shares: How much of each cell a part covers, float32 of shape `(parts, rows, columns)` in `[0, 1]`.
        places: What each place of the features says, float32 of shape `(rows, columns, classes)` as the fall of the
            score of each class; `None` for a model without such places.
        finer: Probabilities for the whole picture and with each part covered, from `Predictor.predict_finely`, float32
            of shape `(1 + parts, classes)`; `None` of a model whose answers are fine enough.
    """

    whole: NDArray[np.float32]
    covered: NDArray[np.float32]
    shares: NDArray[np.float32]
    places: NDArray[np.float32] | None = None
    finer: NDArray[np.float32] | None = None

    def middle_of(self, part: int) -> tuple[float, float]:
        """Return where the middle of a covered part lies, in parts of the picture's width and height from top left."""
        share = self.shares[part]
        x, y = (
            float(np.average((np.arange(len(along)) + 0.5) / len(along), weights=along))
            for along in (share.sum(axis=0), share.sum(axis=1))
        )
        return x, y

    def heat_map(self, class_index: int) -> HeatMap:
        """Return what speaks for a class: in each cell the mean fall of its score when the cell is covered.

        The score is the logarithm of the odds, by which a sure answer that stays sure still shows what shook it. Where
        the features have places, what these say is mixed in, on the same scale: the two err in different ways.
        """
        asked = np.concatenate([self.whole[None], self.covered]) if self.finer is None else self.finer
        odds = log_odds(asked, class_index)
        falls = odds[0] - odds[1:]
        sums = np.tensordot(falls, self.shares, 1)
        values = np.asarray(sums / np.maximum(self.shares.sum(axis=0), 1e-6), np.float32)
        if self.places is not None:
            said = self.places[..., class_index]
            scale = PLACES_SHARE * np.abs(values).max() / max(float(np.abs(said).max()), 1e-6)
            values = np.asarray((values + scale * said) / (1 + PLACES_SHARE), np.float32)
        return HeatMap(values, float(self.whole[class_index]))


def cover_all(
    predictor: Predictor, pixels: NDArray[np.uint8], *, detail: float | None = None, at_most: float = 1.0
) -> Coverings:
    """Cover a picture part by part, and ask the model each time.

    Args:
        predictor: Any model.
        pixels: uint8 RGB of shape `(height, width, 3)`.
        detail: In how many places, as a part of those of `COVERS`; as many as there is time for when not given.
        at_most: The largest detail, where it is not given.

    Source:
        Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks",
        https://arxiv.org/abs/1311.2901, section 4.2 (occlusion sensitivity). Of the places of the features see
        `tlcore.explaining.places`.
    """
    started = time.perf_counter()
    small = shrunk(pixels, predictor.image_size)
    height, width = small.shape[:2]
    fill = filling(small)
    places = falls_of_places(predictor.places(small), width / height, CELLS)
    asked = time.perf_counter()
    whole = predictor.ask_finely([small])
    if detail is None:
        detail = _affordable_now(predictor, small, started, time.perf_counter() - asked, at_most)
    boxes = boxes_of(detail)
    covered = predictor.ask_finely([cover(small, box, fill) for box in boxes])
    shares = np.stack([_share_of_cells(box) for box in boxes])
    finer = None if predictor.predict_finely is None else np.concatenate([whole[1], covered[1]])
    return Coverings(whole[0][0], covered[0], shares, places, finer)


def _affordable_now(
    predictor: Predictor, small: NDArray[np.uint8], started: float, seconds: float, at_most: float
) -> float:
    """Return the detail for which there is time; a model that seems slow is timed again, as it may be by chance."""
    timings = 1
    while True:
        left = started + BUDGET_SECONDS - time.perf_counter()
        detail = affordable_detail(seconds, max(left, COVERS_SHARE * BUDGET_SECONDS))
        if detail >= at_most or left <= 0 or timings == TIMINGS:
            return min(detail, at_most)
        asked = time.perf_counter()
        predictor.ask_finely([small])
        seconds = min(seconds, time.perf_counter() - asked)
        timings += 1


def affordable_detail(seconds: float, budget: float) -> float:
    """Return in how many places a picture can be covered, as a part of `COVERS`, when one answer takes so long.

    Args:
        seconds: Of one answer.
        budget: Seconds for all of them.
    """
    return min(1.0, budget / max(seconds, 1e-6) / sum(places**2 for _, places in COVERS))


def boxes_of(detail: float) -> list[Box]:
    """Return the parts that are covered one after the other, so many parts of `COVERS`; together they cover all."""
    if detail < TWO_SIZES_FROM:
        per_side = max(LEAST_PER_SIDE, int(np.sqrt(detail * sum(places**2 for _, places in COVERS))))
        return _boxes(OVERLAP / (per_side - 1 + OVERLAP), per_side)
    boxes = []
    for share, places in COVERS:
        per_side = round(places * np.sqrt(detail))
        boxes += _boxes(max(share, 1 / per_side), per_side)
    return boxes


def _boxes(side: float, per_side: int) -> list[Box]:
    starts = np.linspace(0, 1 - side, per_side)
    return [Box(float(left), float(top), side, side) for top in starts for left in starts]


def shrunk(pixels: NDArray[np.uint8], image_size: int) -> NDArray[np.uint8]:
    """Return a picture whose shorter side is not longer than a model sees it: covering costs less then."""
    height, width = pixels.shape[:2]
    scale = image_size / min(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return as_pixels(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def filling(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what a part is covered with: the picture so blurred that only its large shades are left."""
    sigma = BLUR_SHARE * min(pixels.shape[:2])
    return as_pixels(cv2.GaussianBlur(pixels, (0, 0), sigma))


def cover(pixels: NDArray[np.uint8], box: Box, fill: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture with a part covered.

    Args:
        pixels: uint8 RGB of shape `(height, width, 3)`.
        box: The part.
        fill: From `filling`, of the same picture.
    """
    height, width = pixels.shape[:2]
    rows = slice(round(box.top * height), round((box.top + box.height) * height))
    columns = slice(round(box.left * width), round((box.left + box.width) * width))
    covered = pixels.copy()
    covered[rows, columns] = fill[rows, columns]
    return covered


def _share_of_cells(box: Box) -> NDArray[np.float32]:
    rows = _share_of_steps(box.top, box.height)
    columns = _share_of_steps(box.left, box.width)
    return np.asarray(np.outer(rows, columns), np.float32)


def _share_of_steps(start: float, length: float) -> NDArray[np.float64]:
    edges = np.linspace(0, 1, CELLS + 1)
    common = np.minimum(edges[1:], start + length) - np.maximum(edges[:-1], start)
    return np.asarray(np.clip(common, 0, None) * CELLS)
