"""What killed programs and closed browsers leave behind goes by itself."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from tlcore.home import HALF_WRITTEN, DataRoot
from tlcore.storage.staging import ABANDONED_SECONDS, remove_abandoned


def remove_leftovers(engine: sa.Engine, home: DataRoot) -> None:
    """Remove what was brought for no job, and files that nobody finished, once nothing has come into them for a day."""
    remove_abandoned(engine, home)
    since = time.time() - ABANDONED_SECONDS
    for folder, _, names in os.walk(home.path):
        for name in names:
            if name.startswith(HALF_WRITTEN):
                path = Path(folder, name)
                with suppress(OSError):  # gone meanwhile, or of another account
                    if path.lstat().st_mtime < since:
                        path.unlink()
