"""Whether the file of a model that people take away is whole, told without loading it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tlcore.damage import DAMAGE_ERRORS

PARTS = frozenset({"config.json", "model.weights.h5"})
"""What a `.keras` file holds, whichever version of Keras 3 has written it."""


def is_whole_model(path: Path) -> bool:
    """Whether a `.keras` file is there with all of its parts.

    It is a ZIP file, whose table of contents is written last: a file that was cut has none. So this takes no longer
    for a large model than for a small one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist()) >= PARTS
    except DAMAGE_ERRORS:
        return False
