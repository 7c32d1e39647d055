"""How much memory decoding a picture takes, told from its header before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from tlcore.intake.pictures.pixels import MAX_SIDE

EMPTY_PROGRAM_BYTES = 60_000_000
"""What a program has that only decodes pictures, before the first one, and what it needs to write a small one."""

# What Pillow keeps of each pixel; it keeps three colours as four bytes.
_BYTES_OF_MODE = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
_BYTES_OF_ANY = 4
# Besides the picture itself, in bytes of each pixel: measured, and rounded up. WebP keeps two canvases and a copy; AVIF
# three planes and what the decoder keeps to copy from; a moving GIF keeps what it draws the next frame on.
_BESIDE = {"WEBP": 12, "AVIF": 12, "GIF": 1}
# Kinds that Pillow reads in Python, value by value, and then copies.
_READ_IN_PYTHON = ("ppm", "ppm_plain", "bmp_rle")
_BESIDE_IN_PYTHON = 8
_CANVASES_OF_WEBP = 8
_UNPACKED = 1
_JPEG_IN_TIFF = (6, 7)
_START_OF_SCAN = 0xDA
# Of its frame: plain, extended, in passes, without loss; the same with arithmetic coding.
_STARTS_OF_FRAME = (0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xCB)
_PROGRESSIVE = (0xC2, 0xCA)
_BYTES_OF_COEFFICIENT = 2
_LARGEST_REDUCTION = 8
# Pillow lets the JPEG decoder make it smaller down to this many times the wanted size.
_GAP = 3


def bytes_to_open(data: bytes) -> int:
    """Return what opening a file takes: WebP makes room for all of its pixels before anyone can ask how many."""
    size = _size_of_webp(data)
    return 0 if size is None else size[0] * size[1] * _CANVASES_OF_WEBP


def bytes_to_decode(image: Image.Image, data: bytes) -> int:
    """Return what decoding a picture takes at most, besides its file.

    Args:
        image: An opened picture of which no pixel is decoded yet.
        data: Its file.
    """
    of_mode = _BYTES_OF_MODE.get(image.mode, _BYTES_OF_ANY)
    pixels = image.width * image.height
    if image.format in ("JPEG", "MPO"):
        return pixels * of_mode // _reduction(image) ** 2 + _coefficients(data)
    if image.format == "TIFF":
        return pixels * of_mode + _block_of_tiff(image)
    beside = _BESIDE.get(image.format or "", 0)
    if any(tile[0] in _READ_IN_PYTHON for tile in getattr(image, "tile", ())):
        beside = _BESIDE_IN_PYTHON
    return pixels * (of_mode + beside)


def _size_of_webp(data: bytes) -> tuple[int, int] | None:
    """Return the width and height that a WebP file says, `None` of any other file."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF


def _reduction(image: Image.Image) -> int:
    """Return how many times smaller a side of a JPEG is decoded at least, so that little of it is in memory."""
    scale = MAX_SIDE / max(image.size)
    wanted = [max(1, int(side * scale) + 1) * _GAP for side in image.size]
    most = min(side // least for side, least in zip(image.size, wanted, strict=True))
    return max((step for step in (2, 4, _LARGEST_REDUCTION) if step <= most), default=1)


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a JPEG says of itself: of each colour, how often it is sampled across and down."""

    width: int
    height: int
    is_progressive: bool
    samplings: tuple[tuple[int, int], ...]


def _coefficients(data: bytes) -> int:
    """Return the bytes that a JPEG keeps until its last pass; none if all colours come in one pass, as cameras do."""
    at, frame = 2, None
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in (0xFF, 0x00, 0x01) or 0xD0 <= marker <= 0xD8:  # filled up, or without a body
            at += 1 if marker == 0xFF else 2
            continue
        body = data[at + 4 : at + 2 + length]
        if marker in _STARTS_OF_FRAME and len(body) >= 6:
            samplings = tuple((byte >> 4, byte & 15) for byte in body[7::3][: body[5]])
            height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            frame = _Frame(width, height, marker in _PROGRESSIVE, samplings)
        if marker == _START_OF_SCAN:
            if frame is None or not body:
                return 0
            is_whole = not frame.is_progressive and body[0] >= len(frame.samplings)
            return 0 if is_whole else _all_coefficients(frame)
        at += 2 + length
    return 0


def _all_coefficients(frame: _Frame) -> int:
    most_across = max((across for across, _ in frame.samplings), default=1) or 1
    most_down = max((down for _, down in frame.samplings), default=1) or 1
    parts = sum(across * down for across, down in frame.samplings) / (most_across * most_down)
    return int(frame.width * frame.height * parts * _BYTES_OF_COEFFICIENT)


def _block_of_tiff(image: Image.Image) -> int:
    """Return the bytes of one strip or tile, which a packed TIFF is unpacked into."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(259, _UNPACKED) == _UNPACKED:
        return 0
    width, height = int(tags.get(322, image.width)), int(tags.get(323, 0))
    if not height:
        height = min(int(tags.get(278, image.height)), image.height)
    samples = 1 if tags.get(284) == 2 else int(tags.get(277, 1))
    bits = tags.get(258, (1,))
    of_sample = max(bits if isinstance(bits, tuple) else (bits,)) / 8
    of_pixel = samples * of_sample
    if tags[259] in _JPEG_IN_TIFF:
        of_pixel += _BYTES_OF_ANY  # unpacked, and as colours
    return int(width * height * of_pixel)
