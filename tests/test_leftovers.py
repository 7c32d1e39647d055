"""Leftovers of killed programs: they go after a day, and nothing else does."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tlcore.home import DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.leftovers import remove_leftovers
from tlcore.storage.staging import ABANDONED_SECONDS


def made(path: Path, *, old: bool) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    if old:
        then = time.time() - ABANDONED_SECONDS - 60
        os.utime(path, (then, then))
    return path


def test_files_that_nobody_finished_go_after_a_day(home: DataRoot) -> None:
    engine = open_database(home)
    gone = [
        made(home.run_dir("r") / ".writing-ab.keras", old=True),
        made(home.images_dir / "ab" / ".writing-cd", old=True),
        made(home.predictions_dir / "j" / ".writing-1.sqlite", old=True),
    ]
    stays = [
        made(home.run_dir("r") / ".writing-now.keras", old=False),
        made(home.run_dir("r") / "model.keras", old=True),
        made(home.images_dir / "ab" / "abcd", old=True),
        made(home.run_dir("r") / "writing-.txt", old=True),
    ]
    remove_leftovers(engine, home)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in stays)
