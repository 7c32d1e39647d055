"""What the server does by itself goes on, whatever of it fails."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from pages.server import keeper
from tests.test_full_disk import fill, small_disk  # noqa: F401 - a fixture
from tlcore.errors import StorageError
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.storage.database import open_database, read_rows, server_days
from tlcore.storage.reserve import keep_reserve
from tlcore.storage.server_days import today

STEPS = ("clean", "note_day", "see_to_waiting_jobs", "mend_reserve", "silent_runner")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The keeper's own clock, which nobody sets."""
    clock = SimpleNamespace(time=1000.0)
    monkeypatch.setattr(keeper, "time", SimpleNamespace(monotonic=lambda: clock.time))
    return clock


def keep(home: DataRoot, monkeypatch: pytest.MonkeyPatch, looks: int, between: Callable[[], None]) -> None:
    """Let the keeper look so often, and do something after each look."""
    rounds = itertools.count(1)

    async def until_the_last(_seconds: float) -> None:
        between()
        if next(rounds) == looks:
            raise asyncio.CancelledError

    monkeypatch.setattr(keeper, "asyncio", SimpleNamespace(to_thread=asyncio.to_thread, sleep=until_the_last))
    with suppress(asyncio.CancelledError):
        asyncio.run(keeper.keep(home))


@pytest.mark.parametrize("error", [StorageError("full"), TypeError("which nobody foresaw"), OSError(5, "I/O error")])
@pytest.mark.parametrize("failing", STEPS)
def test_a_step_that_fails_hinders_no_other_and_is_tried_again(
    failing: str,
    error: Exception,
    home: DataRoot,
    clock: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    open_database(home).dispose()
    calls = []

    def step(name: str) -> Callable[..., None]:
        def take(*_: object) -> None:
            calls.append(name)
            if name == failing and calls.count(name) < 3:
                raise error

        return take

    def pass_time() -> None:
        clock.time += keeper.RETRY_SECONDS

    for name in STEPS:
        monkeypatch.setattr(keeper, name, step(name))
    with caplog.at_level(logging.WARNING):
        keep(home, monkeypatch, 5, pass_time)
    daily = {"clean", "note_day"}
    expected = {name: 1 if name in daily else 5 for name in STEPS} | {failing: 3 if failing in daily else 5}
    assert {name: calls.count(name) for name in STEPS} == expected
    assert calls[0] == "clean"
    assert len(caplog.records) == (failing != "silent_runner")


def test_a_full_disk_is_cleaned_and_the_day_noted(
    small_disk: Path,  # noqa: F811 - the fixture
    clock: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = DataRoot(small_disk / "home")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(home.path))
    engine = open_database(home)
    keep_reserve(home)
    stray = home.versions_dir / f"{'0' * 64}.json"
    stray.parent.mkdir()
    stray.write_bytes(bytes(100_000))
    filler = fill(small_disk)
    try:
        with engine.connect():  # as pages do, so that the journal stays
            keep(home, monkeypatch, 1, lambda: None)
    finally:
        filler.unlink()
    assert not stray.exists()
    assert [row.number for row in read_rows(engine, sa.select(server_days.c.number))] == [today()]
    engine.dispose()
