"""A file of a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a bundle.

    Attributes:
        name: Its path in the ZIP.
        content: Its bytes, or where they lie.
    """

    name: str
    content: Path | bytes
