"""What each place of a model's features says: taken out of them, how far does a class fall?

The features at the end of a frozen backbone are a small grid over the picture, and most heads see their average. Where
the head is linear, this is the class activation map; of other heads on the average the same is asked. A head that sees
the grid itself is asked with the average in place of what it would see there.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tlcore.config import ResizeMode
from tlcore.explaining.heat_map import log_odds
from tlcore.results.prediction import PlaceAnswers


def falls_of_places(answers: Sequence[PlaceAnswers], aspect: float, cells: int) -> NDArray[np.float32] | None:
    """Return how far each class falls without a place, on a grid over the picture; of a group the weighted sum.

    Args:
        answers: From `Predictor.places`.
        aspect: The picture's width divided by its height.
        cells: Rows and columns of the grid.

    Returns:
        float32 of shape `(cells, cells, classes)`, 0 where the model does not look; `None` without answers.

    Source:
        Zhou, Khosla, Lapedriza, Oliva and Torralba 2016, "Learning deep features for discriminative localization",
        https://arxiv.org/abs/1512.04150 (class activation mapping).
    """
    if not answers:
        return None
    total = np.zeros((cells, cells, len(answers[0].whole)), np.float32)
    for one in answers:
        rows = one.without.reshape(-1, one.without.shape[-1])
        for class_index in range(len(one.whole)):
            falls = log_odds(one.whole[None], class_index) - log_odds(rows, class_index)
            square = falls.reshape(one.without.shape[:2]).astype(np.float32)
            total[..., class_index] += one.weight * over_picture(square, one.resize_mode, aspect, cells)
    return total


def over_picture(square: NDArray[np.float32], mode: ResizeMode, aspect: float, cells: int) -> NDArray[np.float32]:
    """Return a grid over the square that a model sees as a grid over the whole picture, 0 beside the square.

    Args:
        square: float32 of shape `(rows, columns)`.
        mode: How the picture became square.
        aspect: The picture's width divided by its height.
        cells: Rows and columns of the result.
    """
    middles = (np.arange(cells) + 0.5) / cells - 0.5
    side = {"crop": min(aspect, 1.0), "pad": max(aspect, 1.0), "stretch": None}[mode]  # in heights of the picture
    x = middles if side is None else middles * aspect / side
    y = middles if side is None else middles / side
    columns, rows = np.meshgrid(
        ((x + 0.5) * square.shape[1] - 0.5).astype(np.float32), ((y + 0.5) * square.shape[0] - 0.5).astype(np.float32)
    )
    # Not linear: between two places that say the same it would be as warm as at them, and the warmest place anywhere.
    values = np.asarray(cv2.remap(square, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32)
    seen = np.outer(np.abs(y) <= 0.5, np.abs(x) <= 0.5)
    return np.asarray(np.where(seen, values, 0), np.float32)
