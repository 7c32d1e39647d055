"""Pictures that are blank, dark, blurred, tiny or of an odd shape, by themselves and beside the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tlcore.dataset import Item
from tlcore.doctor.findings import FindingKind

# Backbones see about so many pixels; what is sharp at that size is sharp enough.
_SIDE = 224
_SMALL = 16
_TILES = 4
# Measured on 13,950 photographs, scans and digits of five sets: none has less contrast than 59 or sharpness than 28,
# and one alone is darker than 60. Even surfaces, unevenly lit and with noise, have a contrast up to 35, most below 24;
# pictures at a fifth of their brightness are below 52; blurred by a 112th of their side, most are less sharp than 35.
_BLANK_CONTRAST = 24.0
_BLACK = 40.0
_SOFT = 35.0
# The lightest pixels decide how dark a picture is, as in CleanVision: https://github.com/cleanlab/cleanvision.
_DARK = 60.0
_NARROW = 0.35
_TINY = 1 / 4
# Iglewicz and Hoaglin 1993, "How to detect and handle outliers": modified z-scores beyond 3.5, of the median and the
# median absolute deviation.
_OUTLIER = 3.5
_MAD_TO_DEVIATION = 1.4826
# What more pictures of a class have is how it looks: digits are dark, a clear sky is blank.
_USUAL_SHARE = 0.2
_USUAL_NUMBER = 3


@dataclass(frozen=True, slots=True)
class PictureMeasures:
    """What can be measured of one picture.

    Attributes:
        width: In pixels.
        height: In pixels.
        contrast: Range of its grey and colour values without fine detail, in `[0, 255]`; low is blank.
        brightness: Its lightest parts, in `[0, 255]`; low is dark.
        sharpness: Variance of the Laplacian in the sharpest parts, from 0; low is blurred.
    """

    width: int
    height: int
    contrast: float
    brightness: float
    sharpness: float


def measure_picture(pixels: NDArray[np.uint8]) -> PictureMeasures:
    """Measure a picture, uint8 RGB of shape `(height, width, 3)`.

    Source:
        The variance of the Laplacian as a measure of focus: Pech-Pacheco et al. 2000, "Diatom autofocusing in
        brightfield microscopy", https://doi.org/10.1109/ICPR.2000.903548. In the sharpest parts, as what lies around
        a sharp thing may be out of focus.
    """
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA)
    contrast = float(np.ptp(small.reshape(-1, 3), axis=0).max())
    brightness = float(np.percentile(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), 99))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    scale = _SIDE / min(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    edges = np.asarray(cv2.Laplacian(grey, cv2.CV_32F))
    tiles = [tile for rows in np.array_split(edges, _TILES) for tile in np.array_split(rows, _TILES, axis=1)]
    sharpness = float(np.percentile([tile.var() for tile in tiles if tile.size], 90))
    return PictureMeasures(width, height, contrast, brightness, sharpness)


def odd_pictures(
    measures: Mapping[str, PictureMeasures], items: Iterable[Item]
) -> dict[FindingKind, list[tuple[str, str]]]:
    """Return the pictures that stand out, as pairs of image and class id by the kind of fault, the clearest first.

    What many pictures of a class have in common is no fault.

    Args:
        measures: By the key of the picture.
        items: The pictures of the data set; those that are not measured are left out.
    """
    places = [(item.image, item.class_id) for item in items if item.image in measures]
    if not places:
        return {}
    found = [measures[image] for image, _ in places]
    contrast = np.array([one.contrast for one in found])
    brightness = np.array([one.brightness for one in found])
    sides = np.array([min(one.width, one.height) for one in found], float)
    shapes = sides / np.array([max(one.width, one.height) for one in found])
    sharpness = np.log1p([one.sharpness for one in found])
    rules: tuple[tuple[FindingKind, NDArray[np.bool_], NDArray[np.float64]], ...] = (
        ("blank", contrast < _BLANK_CONTRAST, contrast),
        ("tiny", sides < _TINY * np.median(sides), sides),
        ("dark", (brightness < _BLACK) | ((brightness < _DARK) & _is_low(brightness)), brightness),
        # In the dark the edges of sharp pictures are weak too.
        ("blurred", (sharpness < np.log1p(_SOFT)) & _is_low(sharpness) & (brightness >= _DARK), sharpness),
        ("odd_shape", shapes < _NARROW, shapes),
    )
    sizes = Counter(class_id for _, class_id in places)
    odd: dict[FindingKind, list[tuple[str, str]]] = {}
    for kind, flags, score in rules:
        flagged = [index for index in np.argsort(score, kind="stable") if flags[index]]
        of_class = Counter(places[index][1] for index in flagged)
        usual = {one for one, number in of_class.items() if number > max(_USUAL_NUMBER, _USUAL_SHARE * sizes[one])}
        odd[kind] = [places[index] for index in flagged if places[index][1] not in usual]
    return odd


def _is_low(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each value is an outlier below the others."""
    middle = np.median(values)
    deviation = _MAD_TO_DEVIATION * np.median(np.abs(values - middle))
    return np.asarray(values < middle - _OUTLIER * max(float(deviation), 1e-6))
