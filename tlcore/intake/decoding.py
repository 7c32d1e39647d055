"""One picture from anywhere becomes a clean one: upright, RGB, small, whole, without hidden data."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tlcore.damage import DAMAGE_ERRORS
from tlcore.errors import ImageError
from tlcore.intake.pixels import MAX_SIDE, open_picture, upright_rgb
from tlcore.intake.signatures import why_not_a_picture

THUMBNAIL_SIDE = 160
MAX_MEGAPIXELS = 40
PICTURE_SUFFIXES = (
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .gif .bmp .dib .webp .tif .tiff .avif .heic .heif".split()  # noqa: SIM905
)

# Small pictures are stored without loss, so that the strokes of a tiny digit stay as they are.
_EXACT_SIDE = 128
_JPEG_QUALITY = 95
_THUMBNAIL_QUALITY = 85
# 40 megapixels times 50 passes, some ten times what a camera writes. A file may ask for thousands.
_MAX_SCANNED_PIXELS = 2_000_000_000
_MOVING_FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
_DAMAGED = "The picture is damaged or incomplete. Save or download it again."


@dataclass(frozen=True, slots=True)
class CleanImage:
    """A picture as it is stored.

    Attributes:
        data: A JPEG file, or a PNG file when no side is longer than 128 pixels; no metadata.
        width: Of the stored picture, in pixels, at most 512.
        height: Of the stored picture, in pixels, at most 512.
        thumbnail: A JPEG file, no side longer than 160 pixels.
        note: What the person should know, such as that only the first frame is used.
    """

    data: bytes
    width: int
    height: int
    thumbnail: bytes
    note: str | None = None


def read_image(data: bytes) -> CleanImage:
    """Decode, check and store anew the bytes of a picture from anywhere.

    The content decides about the format, never the name. Transparent parts become white.

    Args:
        data: The bytes of the file.

    Raises:
        ImageError: If this is no picture, a damaged one, or one too large; the text does not name the file.
    """
    image, note = _clean(data)
    return _stored(image, note)


def clean_pixels(pixels: NDArray[np.uint8]) -> CleanImage:
    """Make a stored picture from pixels that are clean already.

    Args:
        pixels: uint8 of shape `(height, width, 3)`, RGB, or `(height, width)`, grey; `[0, 255]`.
    """
    image = Image.fromarray(pixels).convert("RGB")
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return _stored(image, None)


def pixels_of(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels that training would see, had this file been added to a data set.

    Without the faint traces of storing them as a JPEG file once more: an exported model does not see them
    either, and answers the same to the file as the app does.

    Args:
        data: The bytes of a picture from anywhere.

    Returns:
        uint8 RGB pixels of shape `(height, width, 3)`, `[0, 255]`, no side longer than 512.

    Raises:
        ImageError: As `read_image`.
    """
    image, _ = _clean(data)
    return np.array(image)


def _stored(image: Image.Image, note: str | None) -> CleanImage:
    data = _encoded(image, "JPEG" if max(image.size) > _EXACT_SIDE else "PNG", _JPEG_QUALITY)
    small = image.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    return CleanImage(data, image.width, image.height, _encoded(small, "JPEG", _THUMBNAIL_QUALITY), note)


def _encoded(image: Image.Image, file_format: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, quality=quality)  # PNG has none
    return buffer.getvalue()


def _clean(data: bytes) -> tuple[Image.Image, str | None]:
    """Return an RGB picture without metadata, no side longer than 512 pixels, and a note."""
    if not data:
        raise ImageError("The file is empty. Save or download it again.")
    try:
        with open_picture(io.BytesIO(data)) as image:
            _check_size(image, data)
            rgb = upright_rgb(image)
            note = _note(image)
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"The picture has far more than {MAX_MEGAPIXELS} megapixels, which is the limit. Save a smaller copy."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(why_not_a_picture(data) or _DAMAGED) from error
    except DAMAGE_ERRORS as error:
        raise ImageError(_DAMAGED) from error
    return rgb, note


def _check_size(image: Image.Image, data: bytes) -> None:
    """Refuse by the header, before any pixel is decoded."""
    pixels = image.width * image.height
    progressive = "progressive" in image.info
    # A JPEG that is not progressive is decoded line by line and eight times smaller, without the whole in memory.
    if pixels > MAX_MEGAPIXELS * 1e6 and (image.format not in ("JPEG", "MPO") or progressive):
        raise ImageError(
            f"The picture has {pixels / 1e6:,.0f} megapixels ({image.width:,} x {image.height:,}); "
            f"the limit is {MAX_MEGAPIXELS}. Save a smaller copy."
        )
    if progressive and data.count(b"\xff\xda") * pixels > _MAX_SCANNED_PIXELS:
        raise ImageError("The picture is stored in far too many passes. Open it in a photo program and save it again.")


def _note(image: Image.Image) -> str | None:
    if not getattr(image, "is_animated", False):
        return None
    if image.format in _MOVING_FORMATS:
        return "Moving picture: only the first frame is used."
    if image.format == "TIFF":
        return "Several pages: only the first one is used."
    return None
