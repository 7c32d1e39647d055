"""Whether stored arrays (`.npz`) from anybody hold nothing but arrays, told without making room for them."""

from __future__ import annotations

import io
import math
import zipfile

from tlcore.damage import DAMAGE_ERRORS
from tlcore.errors import UnreadableError
from tlcore.intake.limits import RATIO

MAX_BYTES = 500_000_000
"""Of all arrays of a file: the answers to half a million pictures of 200 classes have less."""

MAX_ARRAYS = 20
MAX_DIMENSIONS = 4
HEADER_BYTES = 10_000

RATIO_FLOOR_BYTES = 8_000_000
"""What is smaller than this may have been packed however well, as in the archives of pictures."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What NumPy writes. The readers of others unpack a whole block at once, however large."""


def check_arrays(data: bytes) -> None:
    """Check the bytes of an `.npz` file: names, headers and sizes; no value is looked at and nothing is executed.

    Raises:
        UnreadableError: If it holds anything but arrays of numbers and text, or an array is not of the size that it
            says to have.
    """
    from numpy.lib import format as npy

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if len(infos) > MAX_ARRAYS or len({info.filename for info in infos}) != len(infos):
                raise ValueError("too many arrays")
            total = sum(info.file_size for info in infos)
            if total > MAX_BYTES or (total > RATIO_FLOOR_BYTES and total > RATIO.value * len(data)):
                raise ValueError("too large arrays")
            for info in infos:
                if not info.filename.endswith(".npy") or info.compress_type not in _METHODS:
                    raise ValueError("no array, or packed in another way")
                with archive.open(info) as source:
                    head = io.BytesIO(source.read(HEADER_BYTES))
                read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(head)]
                shape, _, dtype = read(head)
                if dtype.hasobject or dtype.kind not in "biufUS" or not dtype.itemsize or len(shape) > MAX_DIMENSIONS:
                    raise ValueError("no numbers")
                # Sizes of which one is 0 say nothing of the others, and negative ones cancel each other out.
                if any(size < 0 or size > MAX_BYTES for size in shape):
                    raise ValueError("no shape")
                if head.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
                    raise ValueError("another size")
    except DAMAGE_ERRORS as error:
        raise UnreadableError("It holds results that are damaged, or no arrays of numbers.") from error
