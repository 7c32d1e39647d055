"""How a picture file becomes the pixels that a model sees.

This very file leaves with every exported model, so that its answers cannot differ from the app's. It needs NumPy,
Pillow and OpenCV, tifffile for a TIFF with many bands, and nothing else of this project.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    ExifTags,
    Image,
    ImageOps,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

MAX_SIDE = 512
WHITE = (255, 255, 255)
GREY = (128, 128, 128)

# Pillow's PSD, FITS, EPS, ICO and other plugins never see the bytes: they had bombs or start other programs.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "PPM")  # an MPO file opens as JPEG
# Pillow loads these plugins only when asked for any format; importing them makes them known to `Image.open`.
_PLUGINS = (AvifImagePlugin, PpmImagePlugin, TiffImagePlugin, WebPImagePlugin)
NUM_BANDS = "num_bands"
GROUND = "ground"
_DEEP_BANDS = "deep_bands"
# What is read here and not by Pillow may have so many bytes when it is unpacked.
_MAX_BYTES = 100_000_000
# So many pixels are worked on at once: a large picture is in memory once, and never a second time in another form.
_STRIP_PIXELS = 1 << 18
_REDUCING_GAP = 3.0
# Deflate shrinks a thousand times at most, so that a packed strip of this size stays below a gigabyte.
_MAX_PACKED_STRIP_BYTES = 1_000_000
_UNPACKED, _DEFLATES = 1, (8, 32946)
RAW = "This is a raw camera file. Export it as JPEG in a photo program: the small preview in it is not used."
_UNREAD_TIFF = (
    "This TIFF has {}, stored in a way that cannot be read. Save it without compression and smaller than 100 MB, or "
    "export what can be seen as PNG."
)
# Less than this part of what can be seen differs clearly from white: on white it would be a blank picture.
_CLEAR_PART, _CLEAR_DIFFERENCE = 0.02, 24


Number = TypeVar("Number", bound=np.generic)


class UnusableKindError(UnidentifiedImageError):
    """A picture of a known kind that cannot be used; its text says what to do."""


def read_square(
    path: str | Path, size: int, mode: str, grey_range: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Return the pixels that a model sees of the picture in a file.

    Args:
        path: The file; its content decides about the format, never its name.
        size: As `square`.
        mode: As `square`.
        grey_range: As `upright_rgb`.

    Returns:
        uint8 RGB pixels of shape `(size, size, 3)`, `[0, 255]`.
    """
    with open_picture(path) as image:
        return square(np.array(upright_rgb(image, grey_range)), size, mode)


def open_picture(file: str | Path | IO[bytes]) -> Image.Image:
    """Open a picture of a kind that is taken; its pixels are not decoded yet.

    Raises:
        UnusableKindError: If it is a raw file of a camera, or has many bands in a way that cannot be read.
        UnidentifiedImageError: If it is no picture, or of another kind.
    """
    try:
        image = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError:
        data = _content(file)
        if _is_raw(data):
            raise UnusableKindError(RAW) from None
        opened = _open_pam(data) if data.startswith(b"P7\n") else _open_other_tiff(data)
        if opened is None:
            raise
        return opened
    if image.format != "TIFF":
        return image
    data = _content(file)
    if _is_raw(data):
        image.close()
        raise UnusableKindError(RAW)
    bands = getattr(image, "tag_v2", {}).get(277, 1)
    if bands > 3 and len(image.getbands()) == 1:  # of layers one after another Pillow takes the first
        return _open_other_tiff(data) or image
    if bands > max(3, len(image.getbands())):
        image.info[NUM_BANDS] = bands
    return image


def upright_rgb(image: Image.Image, grey_range: tuple[float, float] | None = None) -> Image.Image:
    """Decode a picture: its first frame upright, in RGB, no side longer than 512 pixels.

    What is transparent becomes white, or grey where nearly all that can be seen is white itself.

    Args:
        image: From `open_picture`.
        grey_range: Which values of a picture with more than 8 bits are black and white, as found over the whole data
            set; `None` finds it for this picture alone.
    """
    box = (MAX_SIDE, MAX_SIDE)
    if image.mode in ("RGB", "L", "CMYK") and not image.has_transparency_data:
        image.thumbnail(box, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    image.load()
    orientation = 1
    with suppress(Exception):  # broken EXIF data, whatever Pillow raises over it, says nothing about the pixels
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    rgb = _small_rgb(image, grey_range)
    rgb.info = {}  # comments and colour profiles found here would be written into a new file
    rgb.getexif()[ExifTags.Base.Orientation] = orientation
    ImageOps.exif_transpose(rgb, in_place=True)
    return rgb


def is_deep(image: Image.Image) -> bool:
    """Whether a picture has more than 8 bits."""
    return isinstance(image.info.get(_DEEP_BANDS), np.ndarray) or image.mode in ("F", "I") or image.mode[:2] == "I;"


def deep_strips(image: Image.Image) -> Iterator[NDArray[np.number]]:
    """Yield the values of a picture with more than 8 bits, some rows at a time.

    Args:
        image: From `open_picture`; `is_deep` of it must be true.

    Yields:
        Whole or floating-point numbers of shape `(rows, width)`, or `(rows, width, 3)` of a TIFF with many bands.
    """
    for top, bottom in _strips(image, 1):
        yield _deep_rows(image, top, bottom)


def _strips(image: Image.Image, step: int) -> list[tuple[int, int]]:
    """Return the first row of each strip and the one behind its last; strips begin at a multiple of `step` rows."""
    rows = max(1, _STRIP_PIXELS // image.width // step) * step
    return [(top, min(top + rows, image.height)) for top in range(0, image.height, rows)]


def _deep_rows(image: Image.Image, top: int, bottom: int) -> NDArray[np.number]:
    bands = image.info.get(_DEEP_BANDS)
    if isinstance(bands, np.ndarray):
        return bands[top:bottom]
    return np.asarray(image.crop((0, top, image.width, bottom)))


def _small_rgb(image: Image.Image, grey_range: tuple[float, float] | None) -> Image.Image:
    """Return a new picture in RGB, no side longer than 512 pixels, with nothing transparent.

    Made strip by strip, and the same as if all of it were converted and then made smaller: it is first reduced by a
    whole number, which Pillow does too when it is told of a gap.
    """
    size = _fitted(image.size)
    step_x, step_y = (max(1, int(whole / part / _REDUCING_GAP)) for whole, part in zip(image.size, size, strict=True))
    strips = _strips(image, step_y)
    own_range = _own_range(image) if is_deep(image) and grey_range is None else grey_range
    colour = _ground(image, strips, own_range) if _is_transparent(image) else WHITE
    small = Image.new("RGB", (-(-image.width // step_x), -(-image.height // step_y)))
    for top, bottom in strips:
        part = _converted(image, top, bottom, own_range, is_given=grey_range is not None)
        if part.mode == "RGBA":
            part = Image.alpha_composite(Image.new("RGBA", part.size, colour), part).convert("RGB")
        small.paste(part.reduce((step_x, step_y)), (0, top // step_y))
    if small.size == size:
        return small
    return small.resize(size, Image.Resampling.LANCZOS, (0, 0, image.width / step_x, image.height / step_y))


def _fitted(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size whose longer side is 512 pixels at most, as near to the proportions as whole pixels allow."""
    width, height = size
    if max(size) <= MAX_SIDE:
        return size
    proportion, exact = width / height, min(size) * MAX_SIDE / max(size)
    near = sorted({max(1, math.floor(exact)), max(1, math.ceil(exact))})
    if width >= height:
        return MAX_SIDE, min(near, key=lambda short: abs(proportion - MAX_SIDE / short))
    return min(near, key=lambda short: abs(proportion - short / MAX_SIDE)), MAX_SIDE


def _is_transparent(image: Image.Image) -> bool:
    if is_deep(image):
        return isinstance(image.info.get("transparency"), int)
    return bool(image.has_transparency_data)


def _converted(
    image: Image.Image, top: int, bottom: int, grey_range: tuple[float, float] | None, *, is_given: bool
) -> Image.Image:
    """Return some rows in RGB, or in RGBA where a picture has transparent parts."""
    if is_deep(image):
        values = _deep_rows(image, top, bottom)
        eight_bit = Image.fromarray(_eight_bit(values, image, grey_range or (0.0, 1.0), is_given)).convert("RGB")
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            eight_bit.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
        return eight_bit
    return image.crop((0, top, image.width, bottom)).convert("RGBA" if image.has_transparency_data else "RGB")


def _ground(
    image: Image.Image, strips: list[tuple[int, int]], grey_range: tuple[float, float] | None
) -> tuple[int, int, int]:
    """Return what a transparent picture is laid on: white, or grey where white would leave it blank.

    Colours count by how much of them can be seen, so those hidden behind full transparency do not. What was found
    is also kept in the picture, for a note: the colour, or `None` where nothing at all can be seen.
    """
    clear = seen = 0.0
    for top, bottom in strips:
        pixels = np.asarray(_converted(image, top, bottom, grey_range, is_given=False))
        alpha = pixels[..., 3]
        darkest = np.minimum(np.minimum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
        clear += alpha[255 - darkest > _CLEAR_DIFFERENCE].sum(dtype=np.float64)
        seen += alpha.sum(dtype=np.float64)
    colour = GREY if clear < _CLEAR_PART * seen else WHITE
    image.info[GROUND] = colour if seen else None
    return colour


def _eight_bit(
    values: NDArray[np.number], image: Image.Image, grey_range: tuple[float, float], is_given: bool
) -> NDArray[np.uint8]:
    """Scale values of more than 8 bits to `[0, 255]`, where a plain conversion would clip them."""
    numbers = values.astype(np.float32)
    finite = np.isfinite(numbers)
    numbers = np.where(finite, numbers, 0)
    darkest, brightest = grey_range
    if is_given and getattr(image, "tag_v2", {}).get(262) == 0:  # a TIFF in which 0 is white, as of X-rays
        darkest, brightest = brightest, darkest
    scaled = (numbers - np.float32(darkest)) * np.float32(255.0 / ((brightest - darkest) or 1e-12))
    scaled[~finite] = 0
    return np.clip(np.round(scaled), 0, 255).astype(np.uint8)


def _own_range(image: Image.Image) -> tuple[float, float]:
    """Return what is black and white in one picture, of which the data set says nothing.

    PNG says that its 16 bits are all used. A TIFF of a microscope or scanner often holds 10 or 12 bits in
    16, so the smallest usual range that holds the brightest pixel is taken. Numbers that fit no range
    (below zero, or huge) are stretched from the smallest to the largest.
    """
    low, high = float("inf"), float("-inf")
    for strip in deep_strips(image):
        values = strip.astype(np.float32)
        values = np.where(np.isfinite(values), values, 0)
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    ranges = [65535] if image.format == "PNG" else [1, 255] if image.mode == "F" else [255, 1023, 4095, 65535]
    fitting = next((top for top in ranges if low >= 0 and high <= top), None)
    return (low, high) if fitting is None else (0.0, float(fitting))


def _content(file: str | Path | IO[bytes]) -> bytes:
    if isinstance(file, str | Path):
        return Path(file).read_bytes()
    place = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(place)
    return data


def _is_raw(data: bytes) -> bool:
    """Return whether a TIFF is a raw file of a camera: its first picture is a small preview, or a mosaic of colours.

    NEF, ARW, DNG, CR2, PEF, SRW and others put the real picture into a directory below that of the preview.
    """
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return False
    if data[8:11] == b"CR\x02":
        return True
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
    with suppress(Exception):  # whatever Pillow raises over a broken directory: it is then no raw file that works
        stream = io.BytesIO(data)
        stream.seek(tags.next)
        tags.load(stream)
        is_preview = tags.get(254) == 1 and 330 in tags  # of reduced resolution, with further directories
        return is_preview or 50706 in tags or tags.get(262) in (32803, 34892)  # DNG's version, mosaic, linear raw
    return False


def _open_pam(data: bytes) -> Image.Image | None:
    """Open a PAM file, which Pillow does not know: grey or RGB, with or without transparency, of 8 or 16 bits."""
    head, found, _ = data[:4096].partition(b"ENDHDR\n")
    fields = dict(line.split(maxsplit=1) for line in head.splitlines()[1:] if line[:1] != b"#" and b" " in line)
    try:
        width, height, depth, top = (int(fields[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    except (KeyError, ValueError):
        return None
    kind = np.dtype(np.uint8 if top < 256 else ">u2")
    count = width * height * depth
    fits = min(width, height) > 0 and depth in (1, 2, 3, 4) and 0 < top < 65536
    if not (found and fits and count * kind.itemsize <= _MAX_BYTES):
        return None
    values = np.frombuffer(data, kind, count, len(head) + len(found)).reshape(height, width, depth)
    every = np.arange(65536 if top > 255 else 256)
    if top > 255 and depth == 1:
        return Image.fromarray(_looked_up((every * 65535 // top).astype(np.uint16), values[..., 0]))
    eight_bit = values
    if top != 255:
        scaled = np.minimum(np.round(every.astype(np.float32) * np.float32(255 / top)), 255).astype(np.uint8)
        eight_bit = _looked_up(scaled, values)
    return Image.fromarray(eight_bit[..., 0] if depth == 1 else eight_bit)


def _looked_up(table: NDArray[Number], values: NDArray[np.generic]) -> NDArray[Number]:
    """Return what stands in a table for each value; row by row, since looking up takes eight bytes for each."""
    found = np.empty(values.shape, table.dtype)
    for row, of_row in zip(found, values, strict=True):
        row[...] = table[of_row]
    return found


def _open_other_tiff(data: bytes) -> Image.Image | None:
    """Open a TIFF that Pillow does not: the first three of many bands, as satellites have, or grey of 64 bits."""
    if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    try:
        import tifffile
    except ImportError as error:
        raise UnidentifiedImageError("perhaps a TIFF with many bands: `pip install tifffile` opens it") from error
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages.first
        is_deep_grey = page.samplesperpixel == 1 and page.dtype is not None and page.dtype.itemsize == 8
        if page.samplesperpixel < 3 and not is_deep_grey:
            return None
        safely_packed = page.compression in _DEFLATES and max(page.databytecounts) <= _MAX_PACKED_STRIP_BYTES
        if page.nbytes > _MAX_BYTES or not (page.compression == _UNPACKED or safely_packed):
            what = "64 bits" if is_deep_grey else f"{page.samplesperpixel} bands"
            raise UnusableKindError(_UNREAD_TIFF.format(what))
        values = page.asarray()
    if is_deep_grey:
        return Image.fromarray(values.astype(np.float32)) if values.ndim == 2 else None
    bands = np.moveaxis(values, 0, -1) if page.planarconfig == 2 else values
    if bands.ndim != 3 or bands.dtype.kind not in "uif":
        return None
    num_bands, first = bands.shape[2], np.ascontiguousarray(bands[..., :3])
    del values, bands  # before the pixels are there once more
    if first.dtype == np.uint8:
        image = Image.fromarray(first)
    else:
        image = Image.new("F" if first.dtype.kind == "f" else "I", (first.shape[1], first.shape[0]))
        image.info[_DEEP_BANDS] = first
    image.info[NUM_BANDS] = num_bands
    return image


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
    import cv2  # only a model needs it: what decodes pictures starts sooner and stays smaller without

    shrunk_height, shrunk_width = min(height, image.shape[0]), min(width, image.shape[1])
    if (shrunk_height, shrunk_width) != image.shape[:2]:
        image = np.asarray(
            cv2.resize(image, (shrunk_width, shrunk_height), interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
    if (height, width) != image.shape[:2]:
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    return np.ascontiguousarray(image)
