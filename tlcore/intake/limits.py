"""How much can be brought: every limit, its default, and the setting that changes it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from tlcore.errors import DatasetError


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, read from the environment whenever it is asked for.

    Attributes:
        setting: The environment variable that changes it.
        default: What holds without it.
        sentence: What it limits, for the README.
        highest: What it can be set to; `None` for any number.
        lowest_whole: Where only whole numbers make sense, the lowest one that it can be set to.
    """

    setting: str
    default: float
    sentence: str
    highest: float | None = None
    lowest_whole: int | None = None

    @property
    def value(self) -> float:
        """What holds now.

        Raises:
            DatasetError: If the setting is no number above 0, or too large, or not as whole as it must be.
        """
        text = os.environ.get(self.setting)
        if not text:
            return self.default
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        highest = float("inf") if self.highest is None else self.highest
        is_whole = self.lowest_whole is None or (value >= self.lowest_whole and value.is_integer())
        if not (0 < value <= highest and is_whole):
            raise DatasetError(f"The setting {self.setting} must be a {self._allowed}. It is now {text}.")
        return value

    @property
    def _allowed(self) -> str:
        if self.lowest_whole is not None:
            return f"whole number from {self.lowest_whole} on"
        return "number above 0" if self.highest is None else f"number from 1 to {self.highest:g}"

    @property
    def way_out(self) -> str:
        """What to do with an archive beyond it."""
        return (
            f"Send several smaller archives. Or raise the setting {self.setting}, or give the unpacked folder to "
            "`read_dataset` in Python, which needs no archive."
        )

    def __str__(self) -> str:
        """Return what holds now, for messages."""
        return f"{self.value:,g}" if self.value < 1e6 else f"{self.value:,.0f}"


FILES: Final = Limit("TRANSFER_LAB_MAX_FILES", 50_000, "files in one archive, or brought at once")
ARCHIVE_GB: Final = Limit("TRANSFER_LAB_MAX_ARCHIVE_GB", 2, "gigabytes that an archive may have when it is unpacked")
FILE_MB: Final = Limit("TRANSFER_LAB_MAX_FILE_MB", 128, "megabytes of one file")
# Pillow itself refuses what is larger.
MEGAPIXELS: Final = Limit(
    "TRANSFER_LAB_MAX_MEGAPIXELS", 40, "megapixels of a picture (at most 170; plain JPEG may have more)", highest=170
)
# A program in which pictures are decoded has some 50 MB before the first one.
DECODING_MB: Final = Limit(
    "TRANSFER_LAB_MAX_DECODING_MB", 400, "megabytes of memory that a program may take to decode one picture"
)
# Of a processor and not of a clock: a busy computer refuses no picture.
DECODING_SECONDS: Final = Limit(
    "TRANSFER_LAB_MAX_DECODING_SECONDS", 4, "seconds of a processor that decoding one picture may take"
)
# A plain picture without noise shrinks a thousand times and is honest; a bomb needs both, ratio and size.
RATIO: Final = Limit("TRANSFER_LAB_MAX_RATIO", 200, "how often larger than packed a file of more than 8 MB may become")
DEPTH: Final = Limit("TRANSFER_LAB_MAX_DEPTH", 32, "folders inside each other")
# A label file is read as a whole; 100,000 rows of ten columns have about 10 MB.
LABEL_MB: Final = Limit("TRANSFER_LAB_MAX_LABEL_MB", 50, "megabytes of a label file (CSV, Excel, JSON)")
LABEL_ROWS: Final = Limit("TRANSFER_LAB_MAX_LABEL_ROWS", 500_000, "rows of a label file")
# What is longer is no value of a table but a quotation mark that is not closed, or a trap.
CELL_LENGTH: Final = Limit("TRANSFER_LAB_MAX_CELL_LENGTH", 100_000, "characters in one cell of a label file")

UPLOAD_GB: Final = Limit("TRANSFER_LAB_UPLOAD_GB", 4, "gigabytes that a person may bring at once through the browser")
# Each one keeps a file open.
INNER_ARCHIVES: Final = Limit("TRANSFER_LAB_MAX_INNER_ARCHIVES", 100, "archives in one archive")

LIMITS: Final = (
    FILES,
    UPLOAD_GB,
    ARCHIVE_GB,
    FILE_MB,
    MEGAPIXELS,
    DECODING_MB,
    DECODING_SECONDS,
    RATIO,
    DEPTH,
    LABEL_MB,
    LABEL_ROWS,
    CELL_LENGTH,
    INNER_ARCHIVES,
)


def why_too_large(num_bytes: int) -> str | None:
    """Return why a file is too large to be read, `None` if it is not."""
    if num_bytes <= FILE_MB.value * 1e6:
        return None
    return (
        f"It has {num_bytes / 1e6:,.0f} MB; the limit is {FILE_MB} MB. "
        f"Save a smaller copy, or raise the setting {FILE_MB.setting}."
    )
