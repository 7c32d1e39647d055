"""One sampled affine warp and colour step per picture, the same for the live preview and for training."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tlcore.config import AugmentationConfig, FillMode
from tlcore.images.resizing import as_pixels, check_image


@dataclass(frozen=True, slots=True)
class View:
    """What was drawn for one picture, in the terms of Keras's `ImageDataGenerator.apply_transform`.

    The warp says where a pixel of the result comes from, so a positive `tx` moves the picture to the left.

    Attributes:
        theta: Turn in degrees; positive turns the picture counter-clockwise.
        tx: Move along the width, in pixels.
        ty: Move along the height, in pixels.
        shear: Shear angle in degrees.
        zx: Scale along the width; below 1 enlarges the picture.
        zy: Scale along the height; below 1 enlarges the picture.
        flip_horizontal: Whether left and right are swapped.
        flip_vertical: Whether top and bottom are swapped.
        channel_shift: Value added to every colour channel, in pixel values.
        brightness: Factor of all pixel values; 1 changes nothing.
        contrast: Factor of the distance to the mean pixel value; 1 changes nothing.
    """

    theta: float = 0.0
    tx: float = 0.0
    ty: float = 0.0
    shear: float = 0.0
    zx: float = 1.0
    zy: float = 1.0
    flip_horizontal: bool = False
    flip_vertical: bool = False
    channel_shift: float = 0.0
    brightness: float = 1.0
    contrast: float = 1.0

    @property
    def is_warped(self) -> bool:
        """Whether pixels move anywhere else than to their mirror image."""
        return (self.theta, self.tx, self.ty, self.shear, self.zx, self.zy) != (0, 0, 0, 0, 1, 1)

    @property
    def is_recoloured(self) -> bool:
        """Whether pixel values change."""
        return (self.channel_shift, self.brightness, self.contrast) != (0, 1, 1)


def augment(
    image: NDArray[np.uint8], config: AugmentationConfig, *, image_key: str, view: int, seed: int = 0
) -> NDArray[np.uint8]:
    """Make view number `view` of a picture: always the same one for the same arguments.

    The chance comes from key, view and seed, and `config` says how far it may go. So a slider that moves
    turns the same view further instead of showing an unrelated one.

    Args:
        image: uint8 pixels of shape `(height, width, 3)`, `[0, 255]`.
        config: What may change, and how much.
        image_key: What tells this picture from all others, such as its content hash.
        view: Number of the view, from 0.
        seed: Another seed gives other views of the same picture.

    Returns:
        uint8 pixels of the same shape; `image` itself when nothing changes.
    """
    digest = hashlib.sha256(f"{image_key}/{view}/{seed}".encode()).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
    return apply_view(image, sample_view(config, (image.shape[0], image.shape[1]), rng), config)


def sample_view(config: AugmentationConfig, size: tuple[int, int], rng: np.random.Generator) -> View:
    """Draw one view.

    Every value takes one number of the generator, wanted or not, so that the draws stay independent of
    each other's settings.

    In Keras's class the two shifts have changed places. Here `width_shift_range` moves sideways and
    `height_shift_range` up and down, as their names say.

    Args:
        config: What may change, and how much.
        size: Height and width of the picture in pixels.
        rng: The source of chance.

    Returns:
        The drawn view.

    Source:
        https://github.com/keras-team/keras/issues/17398 for the exchanged shifts.
    """
    height, width = size
    chance = rng.random(11)
    turn, down, side, shear, zoom_x, zoom_y, channel, contrast = (2 * chance[:8] - 1).tolist()
    brightness, mirror, overturn = chance[8:].tolist()
    darkest, brightest = config.brightness_range
    return View(
        theta=turn * config.rotation_range,
        tx=side * config.width_shift_range * width,
        ty=down * config.height_shift_range * height,
        shear=shear * config.shear_range,
        zx=1 + zoom_x * config.zoom_range,
        zy=1 + zoom_y * config.zoom_range,
        flip_horizontal=config.horizontal_flip and mirror < 0.5,
        flip_vertical=config.vertical_flip and overturn < 0.5,
        channel_shift=channel * config.channel_shift_range,
        brightness=darkest + brightness * (brightest - darkest),
        contrast=1 + contrast * config.contrast_range,
    )


def apply_view(image: NDArray[np.uint8], view: View, config: AugmentationConfig) -> NDArray[np.uint8]:
    """Change a picture as a view says: warp, mirror, then colour; steps without effect are left out.

    Pixels agree with Keras's `ImageDataGenerator.apply_transform` for the same values, up to rounding.
    A picture that is not square turns around its own centre, which Keras's class misses.

    Args:
        image: uint8 pixels of shape `(height, width, 3)`, `[0, 255]`.
        view: What to do.
        config: Its `fill_mode` and `cval` say what fills the area that the warp uncovers.

    Returns:
        uint8 pixels of the same shape; `image` itself when nothing changes.

    Raises:
        ValueError: If the array does not hold pixels of this kind.
    """
    check_image(image)
    if view.is_warped:
        image = _warp(image, _inverse_map(view, image.shape[0], image.shape[1]), config.fill_mode, config.cval)
    if view.flip_horizontal:
        image = as_pixels(cv2.flip(image, 1))
    if view.flip_vertical:
        image = as_pixels(cv2.flip(image, 0))
    if view.is_recoloured:
        image = as_pixels(cv2.LUT(image, _colour_table(image, view)))
    return image


def _inverse_map(view: View, height: int, width: int) -> NDArray[np.float64]:
    """Return the matrix of shape `(2, 3)` that takes a result's (column, row) to the picture's.

    It is turn, move, shear and zoom in Keras's order, about the centre between the pixels.
    """
    theta, shear = math.radians(view.theta), math.radians(view.shear)
    turn = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    shear_and_zoom = np.array([[view.zx, -math.sin(shear) * view.zy], [0.0, math.cos(shear) * view.zy]])
    linear = turn @ shear_and_zoom
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = centre + turn @ np.array([view.tx, view.ty]) - linear @ centre
    return np.column_stack([linear, offset])


_REPEATED_BORDERS: Final[dict[FillMode, int]] = {"nearest": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT}
_FROM_RESULT: Final = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def _warp(
    image: NDArray[np.uint8], inverse_map: NDArray[np.float64], fill_mode: FillMode, cval: float
) -> NDArray[np.uint8]:
    """Warp with the borders of `scipy.ndimage`, which Keras's class uses."""
    height, width = image.shape[:2]
    if fill_mode == "wrap":
        columns, rows = _source_coordinates(inverse_map, height, width)
        columns, rows = _wrapped(columns, width), _wrapped(rows, height)
        places = columns.astype(np.float32), rows.astype(np.float32)
        return as_pixels(cv2.remap(image, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    border = _REPEATED_BORDERS.get(fill_mode, cv2.BORDER_REPLICATE)
    warped = as_pixels(cv2.warpAffine(image, inverse_map, (width, height), flags=_FROM_RESULT, borderMode=border))
    if fill_mode == "constant":
        # OpenCV would blend `cval` into the outermost pixels; SciPy gives each pixel the one or the other.
        columns, rows = _source_coordinates(inverse_map, height, width)
        inside = _is_within(columns, width) & _is_within(rows, height)
        warped = as_pixels(cv2.copyTo(warped, inside.view(np.uint8), np.full_like(warped, round(cval))))
    return warped


def _source_coordinates(
    inverse_map: NDArray[np.float64], height: int, width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for every pixel of the result its column and its row in the picture, each `(height, width)`."""
    across, down = np.arange(width), np.arange(height)[:, np.newaxis]
    columns, rows = (a * across + (b * down + c) for a, b, c in inverse_map)
    return columns, rows


def _is_within(coordinates: NDArray[np.float64], length: int) -> NDArray[np.bool_]:
    """Whether coordinates lie between the first and the last pixel, give or take a rounding error."""
    return (coordinates >= -1e-6) & (coordinates <= length - 1 + 1e-6)


def _wrapped(coordinates: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Bring coordinates into a picture that repeats as SciPy's `wrap`: its first and last pixel coincide.

    OpenCV's `BORDER_WRAP` would set them side by side, one pixel further with every repetition.
    """
    period = max(length - 1, 1)
    repeated = coordinates - period * np.floor(coordinates / period)  # `%` takes three times as long
    return np.where(_is_within(coordinates, length), coordinates, repeated)


def _colour_table(image: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """Return the new value of each of the 256 pixel values, uint8 of shape `(256,)`.

    Keras's class has no contrast; here it is the distance to the mean of all values, after the other steps.
    """
    table = np.arange(256, dtype=np.float64)
    if view.channel_shift:
        # Keras keeps the shifted values between the darkest and the brightest of the picture.
        table = np.clip(table + view.channel_shift, image.min(), image.max())
    if view.brightness != 1:
        table = np.clip(table * view.brightness, 0, 255)
    if view.contrast != 1:
        counts = cv2.calcHist([image.reshape(-1, 1)], [0], None, [256], [0, 256])
        mean = np.average(table, weights=counts.ravel())
        table = np.clip(mean + view.contrast * (table - mean), 0, 255)
    return np.rint(table).astype(np.uint8)
