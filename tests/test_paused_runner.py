"""A runner that does not answer is noticed, and nobody does its work beside it; on a full disk it begins nothing."""

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from pages.components import job_words
from pages.components.job_words import hindrance, trouble_words
from pages.server import keeper
from tests.stepped_runner import running, step_until, wait_until
from tests.test_runner import runner_processes
from tlcore.home import DataRoot
from tlcore.jobs import beat, runner
from tlcore.jobs.beat import Beat, silent_runner
from tlcore.jobs.control import ensure_runner
from tlcore.jobs.runner import Runner
from tlcore.storage.database import open_database
from tlcore.storage.jobs import create_job, get_job
from tlcore.storage.requests import ImportRequest

pytestmark = pytest.mark.usefixtures("sleepers")


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_paused_runner_is_noticed_and_no_second_one_is_started_beside_it(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPER", "finish")
    first, second = new_run(), new_run()
    assert silent_runner(home) is None
    ensure_runner(home)
    wait_until(lambda: get_job(engine, second).state == "finished")
    assert get_job(engine, first).state == "finished"
    assert silent_runner(home) is None
    (paused,) = runner_processes()
    paused.suspend()
    wait_until(lambda: silent_runner(home) == paused.pid)
    waiting = get_job(engine, new_run())
    for _ in range(3):
        ensure_runner(home)
    assert [process.pid for process in runner_processes()] == [paused.pid]
    assert hindrance(home) == "the program that begins it does not answer"
    assert "Nothing new begins until it goes on" in trouble_words(waiting, home)
    assert get_job(engine, waiting.id).state == "queued"
    paused.resume()
    wait_until(lambda: get_job(engine, waiting.id).state == "finished")
    assert get_job(engine, waiting.id).attempt == 1
    assert silent_runner(home) is None
    assert trouble_words(waiting, home) == ""
    paused.kill()
    paused.wait(5)
    assert silent_runner(home) is None  # there is none: the next one may come


def test_a_runner_that_looks_after_nothing_is_noticed_by_its_beat(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.path.mkdir(parents=True, exist_ok=True)
    since = time.monotonic()
    Beat(home).note()
    assert silent_runner(home) is None
    monkeypatch.setattr(time, "monotonic", lambda: since + 11.0)
    assert silent_runner(home) == os.getpid()
    Beat(home).note()
    assert silent_runner(home) is None
    assert home.runner_beat_path.stat().st_size == beat.LINE_BYTES
    home.runner_beat_path.write_text("")
    assert silent_runner(home) is None


def test_the_server_says_once_which_runner_does_not_answer(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter([None, 4321, 4321, None, 4321])
    looks = itertools.count(1)

    async def until_the_last(_seconds: float) -> None:
        if next(looks) == 5:
            raise asyncio.CancelledError

    monkeypatch.setattr(keeper, "silent_runner", lambda _home: next(answers))
    monkeypatch.setattr(keeper, "asyncio", SimpleNamespace(to_thread=asyncio.to_thread, sleep=until_the_last))
    with suppress(asyncio.CancelledError):
        asyncio.run(keeper.keep(home))
    said = capsys.readouterr().err
    assert said.count("does not answer (process 4321)") == 2
    assert "kill -CONT 4321" in said


def test_on_a_full_disk_nothing_begins_and_nobody_is_called_silent(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "SILENT_SECONDS", 0.3)
    monkeypatch.setenv("SLEEPER", "still")
    run_id = new_run()
    working = Runner(engine, home)
    job = running(working, engine, run_id)
    import_id = create_job(engine, "import", job.project_id, ImportRequest())
    with monkeypatch.context() as patched:
        for module in (runner, job_words):
            patched.setattr(module, "is_full", lambda _home: True)
        until = time.monotonic() + 1.0
        step_until(working, lambda: time.monotonic() > until)
        waiting = get_job(engine, import_id)
        assert (waiting.state, get_job(engine, run_id).silent) == ("queued", False)
        assert hindrance(home) == "the disk is full"
        assert "begins by itself as soon as there is room" in trouble_words(waiting, home)
        assert "goes on by itself as soon as there is room" in trouble_words(job, home)
        stopped = replace(job, stop_requested=1.0)
        assert "keeps its best epoch by itself as soon as there is room" in trouble_words(stopped, home)
        assert "may fail. Delete projects" in trouble_words(replace(job, kind="prediction"), home)
    step_until(working, lambda: get_job(engine, import_id).state != "queued")
    step_until(working, lambda: get_job(engine, run_id).silent)
