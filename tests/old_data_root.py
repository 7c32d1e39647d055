"""A data root as the version before formats had numbers left it, for tests that open it with this one."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tlcore.home import DataRoot

ARCHIVE = Path(__file__).resolve().parent / "fixtures" / "data_root_1.zip"
"""Made by `tests/fixtures/make_data_root.py`; owned by `tests.page_tests.OWNER`."""


def unpack_old_data_root(home: DataRoot) -> DataRoot:
    """Fill an empty data root with the old one."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(home.path)
    return home
