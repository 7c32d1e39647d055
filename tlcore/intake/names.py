"""File and folder names from anywhere: made printable, split into parts, never used as a path on disk."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MAX_NAME_LENGTH = 200
PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif", ".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".pfm"),
)
_DRIVE = re.compile(r"^[A-Za-z]:$")


def printable(name: str) -> str:
    """Return a name on one line, without control and direction characters, of at most 200 characters."""
    shown = name if name.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in name)
    return shown if len(shown) <= MAX_NAME_LENGTH else "…" + shown[1 - MAX_NAME_LENGTH :]


def some(names: Iterable[str]) -> str:
    """Return the first three names, made printable, and the number of the others."""
    listed = [printable(name) for name in names]
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3:,} more" if len(listed) > 3 else "")


def split_path(name: str) -> tuple[str, ...] | None:
    r"""Split a path of any operating system into its parts; `None` if it is absolute or climbs out.

    A backslash separates too: old Windows programs write it into ZIP files.
    """
    if "\0" in name or name.startswith(("/", "\\")):
        return None
    parts = tuple(part for part in re.split(r"[/\\]", name) if part not in ("", "."))
    if ".." in parts or (len(parts) > 1 and _DRIVE.match(parts[0])):
        return None
    return parts


def similarity_key(name: str) -> str:
    """Return what is left of a name without case, accents' spelling, space and punctuation.

    Two names with the same key look like the same class to a person.
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    kept = "".join(c for c in text if c.isalnum() or unicodedata.category(c)[0] in "SM")
    return kept or text.strip()
