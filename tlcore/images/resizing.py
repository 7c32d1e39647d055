"""Stored bytes to pixels, and pixels to the square picture that a backbone sees.

OpenCV starts threads of its own, for the whole process. A process that calls these functions from several
threads calls `cv2.setNumThreads(1)` once when it starts; nothing here changes it.
"""

from __future__ import annotations

from contextlib import suppress

import cv2
import numpy as np
from numpy.typing import NDArray

from tlcore.config import RESIZE_MODES, ResizeMode
from tlcore.errors import ImageError
from tlcore.intake.pictures.pixels import square


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Decode a stored picture.

    This is the fast way for pictures that went through intake: upright, RGB, small, whole. Bytes from
    anywhere else go through `tlcore.intake` first.

    Args:
        data: The bytes of a JPEG or PNG file.

    Returns:
        uint8 RGB pixels of shape `(height, width, 3)`, `[0, 255]`.

    Raises:
        ImageError: If the bytes are no picture.
    """
    pixels = None
    with suppress(cv2.error):  # such as for an empty buffer; for most others it returns `None`
        pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise ImageError("A stored picture cannot be read any more. Delete it on the Data page and add it again.")
    return as_pixels(pixels)


def resize_image(image: NDArray[np.uint8], size: int, mode: ResizeMode) -> NDArray[np.uint8]:
    """Make a picture square, `size` pixels on each side.

    Args:
        image: uint8 pixels of shape `(height, width, 3)`, `[0, 255]`.
        size: Side of the result in pixels.
        mode: As `tlcore.intake.pictures.pixels.square`.

    Returns:
        uint8 pixels of shape `(size, size, 3)`; `image` itself when it has this shape already.

    Raises:
        ValueError: If an argument is out of range.
    """
    check_image(image)
    if size < 1:
        raise ValueError(f"`size` must be at least 1. Received: size={size}")
    if mode not in RESIZE_MODES:
        raise ValueError(f"`mode` must be one of {', '.join(RESIZE_MODES)}. Received: mode={mode!r}")
    return square(image, size, mode)


def check_image(image: NDArray[np.uint8]) -> None:
    """Refuse an array that does not hold pixels as every function here expects them.

    Raises:
        ValueError: If the array is not uint8 of shape `(height, width, 3)`, or has no pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(
            "`image` must be a uint8 array of shape (height, width, 3). "
            f"Received: dtype={image.dtype}, shape={image.shape}"
        )


def as_pixels(array: object) -> NDArray[np.uint8]:
    """Return what an OpenCV function gave back, with its type."""
    return np.asarray(array, dtype=np.uint8)
