"""Pictures of two classes that only a small bright patch at some place tells apart: a heat map must find it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tests.collecting import collect
from tests.drawn_scenes import jpeg
from tlcore.dataset import Dataset
from tlcore.explaining.heat_map import HeatMap
from tlcore.home import DataRoot
from tlcore.images.resizing import decode_image
from tlcore.intake.sources import FileSource
from tlcore.results.prediction import Predictor
from tlcore.storage.images import ImageStore

Pixels = NDArray[np.uint8]

WITH_PATCH, WITHOUT = "patch", "plain"
PATCH_SHARE = 5
"""The picture's shorter side is so many patches long."""
COLOURS = ((255, 20, 220), (255, 240, 60))
QUALITY = 92
FIELDS = 4
"""The patch is a chess board of two bright colours with so many fields on each side."""


def with_patch(ground: Pixels, rng: np.random.Generator) -> tuple[Pixels, tuple[int, int, int]]:
    """Return a picture with the patch in it, and the patch's left, top and side in pixels.

    It lies in the middle square, which is what a model sees of a picture.
    """
    height, width = ground.shape[:2]
    inner = min(height, width)
    side = inner // PATCH_SHARE
    left, top = ((whole - inner) // 2 + int(rng.integers(0, inner - side + 1)) for whole in (width, height))
    picture = ground.copy()
    steps = np.arange(side) * FIELDS // side
    picture[top : top + side, left : left + side] = np.array(COLOURS, np.uint8)[(steps[:, None] + steps) % 2]
    return picture, (left, top, side)


def as_brought(picture: Pixels) -> Pixels:
    """Return a picture with the traces of a JPEG file, as those have that a model learned from."""
    return decode_image(jpeg(picture, QUALITY))


def patched_dataset(grounds: Sequence[Pixels], home: DataRoot, seed: int = 0) -> Dataset:
    """Bring pictures into the data root, each once with the patch and once without, so that nothing else decides."""
    rng = np.random.default_rng(seed)
    files = []
    for number, ground in enumerate(grounds):
        for name, picture in ((WITHOUT, ground), (WITH_PATCH, with_patch(ground, rng)[0])):
            files.append((f"{name}/{number}.jpg", jpeg(picture, QUALITY)))
    return collect([FileSource(tuple(files))], Dataset(), ImageStore(home)).dataset


def share_found(
    predictor: Predictor, explain: Callable[[Pixels], HeatMap], grounds: Sequence[Pixels], seed: int = 1
) -> tuple[float, float]:
    """Return how often a map finds the patch in new pictures, of those in which the model sees it.

    Args:
        predictor: A model that learned from `patched_dataset`.
        explain: Returns the heat map of the class with the patch.
        grounds: New pictures without the patch.
        seed: Decides where it is planted.

    Returns:
        In what share of the pictures that the model takes for those with the patch the largest value of the map lies
        in the patch or in a cell beside it; and how large a share of all pictures these are.
    """
    rng = np.random.default_rng(seed)
    class_index = predictor.class_names.index(WITH_PATCH)
    seen, found = 0, 0
    for ground in grounds:
        picture, (left, top, side) = with_patch(ground, rng)
        brought = as_brought(picture)
        if predictor.predict([brought])[0].argmax() != class_index:
            continue
        seen += 1
        values = explain(brought).values
        rows, columns = values.shape
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        # The middle of the cell may lie outside of the patch by the side of a cell.
        height, width = picture.shape[:2]
        x, y = (column + 0.5) * width / columns, (row + 0.5) * height / rows
        found += (
            left - width / columns <= x <= left + side + width / columns
            and top - height / rows <= y <= top + side + height / rows
        )
    return float(found) / max(1, seen), seen / len(grounds)
