"""How a picture file becomes the pixels that a model sees.

This very file leaves with every exported model, so that its answers cannot differ from the app's. It needs NumPy,
Pillow and OpenCV, and nothing else of this project.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, ExifTags, Image, ImageOps, TiffImagePlugin, WebPImagePlugin

MAX_SIDE = 512

# Pillow's PSD, FITS, EPS, ICO and other plugins never see the bytes: they had bombs or start other programs.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")  # an MPO file opens as JPEG
# Pillow loads these plugins only when asked for any format; importing them makes them known to `Image.open`.
_PLUGINS = (AvifImagePlugin, TiffImagePlugin, WebPImagePlugin)


def read_square(path: str | Path, size: int, mode: str) -> NDArray[np.uint8]:
    """Return the pixels that a model sees of the picture in a file.

    Args:
        path: The file; its content decides about the format, never its name.
        size: As `square`.
        mode: As `square`.

    Returns:
        uint8 RGB pixels of shape `(size, size, 3)`, `[0, 255]`.
    """
    with open_picture(path) as image:
        return square(np.array(upright_rgb(image)), size, mode)


def open_picture(file: str | Path | IO[bytes]) -> Image.Image:
    """Open a picture of a kind that is taken; its pixels are not decoded yet."""
    return Image.open(file, formats=_FORMATS)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Decode a picture: its first frame upright, in RGB on white, no side longer than 512 pixels.

    Args:
        image: From `open_picture`.
    """
    box = (MAX_SIDE, MAX_SIDE)
    if image.mode in ("RGB", "L", "CMYK") and not image.has_transparency_data:
        image.thumbnail(box, Image.Resampling.LANCZOS, reducing_gap=3.0)
    image.load()
    orientation = 1
    with suppress(Exception):  # broken EXIF data, whatever Pillow raises over it, says nothing about the pixels
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    rgb = _rgb(image)
    rgb.thumbnail(box, Image.Resampling.LANCZOS, reducing_gap=3.0)
    rgb.info = {}  # comments and colour profiles found here would be written into a new file
    rgb.getexif()[ExifTags.Base.Orientation] = orientation
    ImageOps.exif_transpose(rgb, in_place=True)
    return rgb


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("F", "I") or image.mode.startswith("I;"):
        return Image.fromarray(_eight_bit(image)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    # Always a new picture: the one given may carry private data.
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _eight_bit(image: Image.Image) -> NDArray[np.uint8]:
    """Scale grey values of more than 8 bits to `[0, 255]`, where a plain conversion would clip them.

    PNG says that its 16 bits are all used. A TIFF of a microscope or scanner often holds 10 or 12 bits in
    16, so the smallest usual range that holds the brightest pixel is taken. Numbers that fit no range
    (below zero, or huge) are stretched from the smallest to the largest.
    """
    values = np.asarray(image).astype(np.float32)
    finite = np.isfinite(values)
    values = np.where(finite, values, 0)
    low, high = float(values.min()), float(values.max())
    ranges = [65535] if image.format == "PNG" else [1, 255] if image.mode == "F" else [255, 1023, 4095, 65535]
    fitting = next((top for top in ranges if low >= 0 and high <= top), None)
    darkest, span = (low, high - low) if fitting is None else (0.0, float(fitting))
    grey = (values - darkest) * (255.0 / max(span, 1e-12))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    grey[~finite] = 0
    return np.clip(np.round(grey), 0, 255).astype(np.uint8)


def square(image: NDArray[np.uint8], size: int, mode: str) -> NDArray[np.uint8]:
    """Make a picture square, `size` pixels on each side.

    Args:
        image: uint8 pixels of shape `(height, width, 3)`, `[0, 255]`.
        size: Side of the result in pixels.
        mode: `crop` scales the shorter side to `size` and cuts the middle out of the longer one, `stretch`
            scales each side on its own, `pad` scales the longer side and puts black borders beside the
            shorter one.

    Returns:
        uint8 pixels of shape `(size, size, 3)`; `image` itself when it has this shape already.
    """
    height, width = image.shape[:2]
    if mode == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _scale(image[top : top + side, left : left + side], size, size)
    if mode == "stretch":
        return _scale(image, size, size)
    longest = max(height, width)
    inner = _scale(image, max(1, round(height * size / longest)), max(1, round(width * size / longest)))
    missing_rows, missing_columns = size - inner.shape[0], size - inner.shape[1]
    if not (missing_rows or missing_columns):
        return inner
    padded = np.zeros((size, size, 3), dtype=np.uint8)
    top, left = missing_rows // 2, missing_columns // 2
    padded[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return padded


def _scale(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Scale each side on its own: averaging where it shrinks, smooth cubic curves where it grows.

    `INTER_AREA` averages only when neither side grows, so a picture that shrinks on one side and grows on
    the other takes two steps.
    """
    shrunk_height, shrunk_width = min(height, image.shape[0]), min(width, image.shape[1])
    if (shrunk_height, shrunk_width) != image.shape[:2]:
        image = np.asarray(
            cv2.resize(image, (shrunk_width, shrunk_height), interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
    if (height, width) != image.shape[:2]:
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    return np.ascontiguousarray(image)
