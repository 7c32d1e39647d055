"""The command that runs everything: where the tests write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import __main__ as running


def test_the_tests_write_into_memory_only_where_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/proc/meminfo").exists():
        monkeypatch.setattr(running, "MEMORY_DIR", tmp_path)
        assert running.place_for_files() is None
        return
    monkeypatch.setattr(running, "MAX_WORKERS", 0)
    monkeypatch.setattr(running, "MEMORY_GB", 0)
    monkeypatch.setattr(running, "MEMORY_DIR", tmp_path / "none")
    assert running.place_for_files() is None
    monkeypatch.setattr(running, "MEMORY_DIR", tmp_path)
    place = running.place_for_files()
    assert place is not None
    assert Path(place).parent == tmp_path
    monkeypatch.setattr(running, "MEMORY_GB", 10**9)
    assert running.place_for_files() is None
    monkeypatch.setattr(running, "MEMORY_GB", 0)
    monkeypatch.setattr(running, "MAX_WORKERS", 10**9)
    assert running.place_for_files() is None
