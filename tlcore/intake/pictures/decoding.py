"""One picture from anywhere becomes a clean one: upright, RGB, small, whole, without hidden data."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tlcore.damage import DAMAGE_ERRORS
from tlcore.errors import ImageError
from tlcore.intake.limits import DECODING_MB, MEGAPIXELS
from tlcore.intake.pictures.grey import GreyRange, GreyStatistics, grey_statistics
from tlcore.intake.pictures.memory import EMPTY_PROGRAM_BYTES, bytes_to_decode, bytes_to_open
from tlcore.intake.pictures.pixels import (
    GROUND,
    MAX_SIDE,
    NUM_BANDS,
    WHITE,
    UnusableKindError,
    deep_strips,
    is_deep,
    open_picture,
    upright_rgb,
)
from tlcore.intake.pictures.signatures import why_not_a_picture

THUMBNAIL_SIDE = 160

# Small pictures are stored without loss, so that the strokes of a tiny digit stay as they are.
_EXACT_SIDE = 128
_JPEG_QUALITY = 95
_THUMBNAIL_QUALITY = 85
# 40 megapixels times 50 passes, some ten times what a camera writes. A file may ask for thousands.
_MAX_SCANNED_PIXELS = 2_000_000_000
# Of a portable map as text Pillow reads a megapixel in some seconds.
_MAX_PIXELS_IN_DIGITS = 1_000_000
_MOVING_FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
DAMAGED = "The picture is damaged or incomplete. Save or download it again."

Announce: TypeAlias = Callable[[int], None]
"""Told the bytes of memory that a picture needs, before it is decoded; it may wait until they are free."""


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


def no_announcement(_needed: int) -> None:
    """Let every picture be decoded at once."""


def read_image(data: bytes, grey_range: GreyRange | None = None, announce: Announce = no_announcement) -> CleanImage:
    """Decode, check and store anew the bytes of a picture, in this process; `decoders` does it in another one.

    The content decides about the format, never the name. Transparent parts become white, or grey behind white.

    Args:
        data: The bytes of the file.
        grey_range: What is black and white in pictures with more than 8 bits, from `find_grey_range` over all of the
            data set; `None` finds it for this picture alone.
        announce: Told the memory that it needs.

    Raises:
        ImageError: If this is no picture, a damaged one, or one too large; the text does not name the file.
    """
    image, note = _clean(data, grey_range, announce)
    return _stored(image, note)


def measure_grey(data: bytes, announce: Announce = no_announcement) -> GreyStatistics | None:
    """Return how far the values of a picture with more than 8 bits reach.

    A picture of 8 bits costs only a look at its header.

    Args:
        data: The bytes of a file from anywhere.
        announce: As `read_image`.

    Returns:
        `None` of a picture of 8 bits, and of a file that `read_image` refuses.
    """
    with suppress(Image.DecompressionBombError, ImageError, *DAMAGE_ERRORS), _opened(data) as image:
        if is_deep(image):
            announce(_check_size(image, data))
            image.load()
            return grey_statistics(partial(deep_strips, image))
    return None


def clean_pixels(pixels: NDArray[np.uint8]) -> CleanImage:
    """Make a stored picture from pixels that are clean already.

    Args:
        pixels: uint8 of shape `(height, width, 3)`, RGB, or `(height, width)`, grey; `[0, 255]`.
    """
    image = Image.fromarray(pixels).convert("RGB")
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return _stored(image, None)


def pixels_of(
    data: bytes, grey_range: GreyRange | None = None, announce: Announce = no_announcement
) -> NDArray[np.uint8]:
    """Return the pixels that training would see, had this file been added to a data set.

    Without the faint traces of storing them as a JPEG file once more: an exported model does not see them
    either, and answers the same to the file as the app does.

    Args:
        data: The bytes of a picture from anywhere.
        grey_range: As `read_image`; that of the data set which the model learned from.
        announce: As `read_image`.

    Returns:
        uint8 RGB pixels of shape `(height, width, 3)`, `[0, 255]`, no side longer than 512.

    Raises:
        ImageError: As `read_image`.
    """
    image, _ = _clean(data, grey_range, announce)
    return np.array(image)


def read_with_pixels(
    data: bytes, grey_range: GreyRange | None = None, announce: Announce = no_announcement
) -> tuple[CleanImage, NDArray[np.uint8]]:
    """Return what `read_image` and what `pixels_of` return, decoded once; arguments and errors as there."""
    image, note = _clean(data, grey_range, announce)
    return _stored(image, note), np.array(image)


def _stored(image: Image.Image, note: str | None) -> CleanImage:
    data = _encoded(image, "JPEG" if max(image.size) > _EXACT_SIDE else "PNG", _JPEG_QUALITY)
    small = image.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    return CleanImage(data, image.width, image.height, _encoded(small, "JPEG", _THUMBNAIL_QUALITY), note)


def _encoded(image: Image.Image, file_format: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, quality=quality)  # PNG has none
    return buffer.getvalue()


def _clean(data: bytes, grey_range: GreyRange | None, announce: Announce) -> tuple[Image.Image, str | None]:
    """Return an RGB picture without metadata, no side longer than 512 pixels, and a note."""
    if not data:
        raise ImageError("The file is empty. Save or download it again.")
    try:
        with _opened(data) as image:
            announce(_check_size(image, data))
            rgb = upright_rgb(image, grey_range)
            note = _note(image, grey_range)
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"The picture has far more than {MEGAPIXELS} megapixels, which is the limit. Save a smaller copy."
        ) from error
    except UnusableKindError as error:
        raise ImageError(str(error)) from error
    except MemoryError as error:
        raise ImageError(too_much_memory()) from error
    except (UnidentifiedImageError, *DAMAGE_ERRORS) as error:
        raise ImageError(why_not_a_picture(data) or DAMAGED) from error
    return rgb, note


def too_much_memory(num_bytes: float | None = None) -> str:
    """Return the refusal of a picture that needs more memory than one may take, with how much it is where known."""
    needs = "more memory" if num_bytes is None else f"{num_bytes / 1e6:,.0f} MB of memory"
    return (
        f"Decoding this picture takes {needs}; the limit is {DECODING_MB} MB. Save it smaller or as plain JPEG or PNG, "
        f"or raise the setting {DECODING_MB.setting}."
    )


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Open a picture of which opening alone does not take too much memory."""
    _check_memory(bytes_to_open(data), data)
    with open_picture(io.BytesIO(data)) as image:
        yield image


def _check_memory(needed: int, data: bytes) -> int:
    """Return all the memory that a program has with a picture in it; refuse the picture if it is too much."""
    total = EMPTY_PROGRAM_BYTES + len(data) + needed
    if total > DECODING_MB.value * 1e6:
        raise ImageError(too_much_memory(total))
    return total


def _check_size(image: Image.Image, data: bytes) -> int:
    """Refuse by the header, before any pixel is decoded; return the memory that decoding takes."""
    pixels = image.width * image.height
    progressive = "progressive" in image.info
    # A JPEG that is not progressive is decoded line by line and eight times smaller, without the whole in memory.
    if pixels > MEGAPIXELS.value * 1e6 and (image.format not in ("JPEG", "MPO") or progressive):
        raise ImageError(
            f"The picture has {pixels / 1e6:,.0f} megapixels ({image.width:,} x {image.height:,}); "
            f"the limit is {MEGAPIXELS}. Save a smaller copy, or raise the setting {MEGAPIXELS.setting}."
        )
    if image.format == "PPM" and data[:2] in (b"P1", b"P2", b"P3") and pixels > _MAX_PIXELS_IN_DIGITS:
        raise ImageError("The picture is written in digits, which takes too long to read. Save it as PNG.")
    if progressive and _num_scans(data) * pixels > _MAX_SCANNED_PIXELS:
        raise ImageError("The picture is stored in far too many passes. Open it in a photo program and save it again.")
    return _check_memory(bytes_to_decode(image, data), data)


def _num_scans(data: bytes) -> int:
    """Return the number of passes of a JPEG; what lies behind its end, such as the film of a moving photo, has none."""
    scans, at = 0, 2
    while (marker := _MARKER.search(data, at)) and marker[1][0] != _END_OF_IMAGE:
        scans += marker[1][0] == _START_OF_SCAN
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return scans


def _note(image: Image.Image, grey_range: GreyRange | None) -> str | None:
    notes = []
    if getattr(image, "is_animated", False) and image.format in _MOVING_FORMATS:
        notes.append("Moving picture: only the first frame is used.")
    elif getattr(image, "is_animated", False) and image.format == "TIFF":
        notes.append("Several pages: only the first one is used.")
    if NUM_BANDS in image.info:
        notes.append(f"{image.info[NUM_BANDS]} bands: the first three are used as red, green and blue.")
    if grey_range is not None and is_deep(image):
        low, high = grey_range
        notes.append(f"More than 8 bits: {low:,g} to {high:,g} are shown as black to white.")
    elif image.info.get(GROUND, WHITE) is None:
        notes.append("Transparent all over: nothing of it can be seen.")
    elif image.info.get(GROUND, WHITE) != WHITE:
        notes.append("White on a transparent ground: it is laid on grey.")
    return " ".join(notes) or None
