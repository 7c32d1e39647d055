"""How large a picture is that the app may have stored, told by its first bytes alone."""

from __future__ import annotations

import struct

_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_JPEG = b"\xff\xd8"
_FRAMES = frozenset({0xC0, 0xC2})
"""Markers of a plain and of a progressive JPEG picture."""


def stored_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a JPEG or PNG picture; `None` of anything else."""
    if data.startswith(_PNG) and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        return width, height
    if not data.startswith(_JPEG):
        return None
    place = len(_JPEG)
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], struct.unpack_from(">H", data, place + 2)[0]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        place += 2 + length
    return None
