"""A runner outlives its server: the next server's settings hold for it all the same."""

import time
from collections.abc import Callable

import psutil
import pytest
import sqlalchemy as sa

from pages.server import keeper
from tests.stepped_runner import wait_until
from tests.test_runner import is_locked, runner_processes
from tlcore.features.store import SIZE_LIMIT_VARIABLE
from tlcore.home import DataRoot
from tlcore.intake.limits import FILES
from tlcore.jobs import environment
from tlcore.jobs.control import ensure_runner
from tlcore.jobs.environment import NAMES, own_settings, tell_settings, told_settings
from tlcore.jobs.runner import Runner
from tlcore.jobs.slots import SLOTS_VARIABLE
from tlcore.storage.database import open_database
from tlcore.storage.jobs import get_job, request_stop
from tlcore.storage.quotas import PERSON_PICTURES

pytestmark = pytest.mark.usefixtures("sleepers")


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without any; what a test or its runner changes is undone."""
    for name in NAMES:
        monkeypatch.setenv(name, "1")
        monkeypatch.delenv(name)


def test_a_raised_limit_holds_for_what_begins_later_while_the_runner_works(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PERSON_PICTURES.setting, "10")
    monkeypatch.setenv(FILES.setting, "5")
    first, second = new_run(), new_run()
    ensure_runner(home)
    wait_until(lambda: get_job(engine, first).state == "running")
    assert variable_of(engine, first, PERSON_PICTURES.setting) == "10"
    (runner,) = runner_processes()
    # The server is started anew with a higher limit, more slots, and one setting less.
    monkeypatch.setenv(PERSON_PICTURES.setting, "50000")
    monkeypatch.setenv(SLOTS_VARIABLE, "2")
    monkeypatch.delenv(FILES.setting)
    ensure_runner(home)
    wait_until(lambda: get_job(engine, second).state == "running")
    assert get_job(engine, first).state == "running"
    assert variable_of(engine, second, PERSON_PICTURES.setting) == "50000"
    assert variable_of(engine, second, FILES.setting) is None
    assert [process.pid for process in runner_processes()] == [runner.pid]
    said = home.runner_log_path.read_text("utf-8")
    assert said.count("A server began with other settings") == 1
    for name in (PERSON_PICTURES.setting, SLOTS_VARIABLE, FILES.setting):
        assert name in said
    for job_id in (first, second):
        request_stop(engine, job_id)


def variable_of(engine: sa.Engine, job_id: str, name: str) -> str | None:
    """Return a variable of the environment of a job's worker."""
    wait_until(lambda: get_job(engine, job_id).pid)
    return psutil.Process(get_job(engine, job_id).pid).environ().get(name)


def test_a_runner_with_earlier_settings_leaves_as_soon_as_nothing_works(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tell_settings(home)
    working = Runner(engine, home)
    monkeypatch.setenv(SLOTS_VARIABLE, "3")
    tell_settings(home)
    monkeypatch.delenv(SLOTS_VARIABLE)  # as the runner has it
    began = time.monotonic()
    working.work(linger_seconds=60.0)
    assert time.monotonic() - began < 30
    assert "takes over" in capfd.readouterr().err
    assert own_settings() == {SLOTS_VARIABLE: "3"}
    assert not is_locked(home)


def test_each_server_says_once_what_it_has(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_settings(home) is None
    monkeypatch.setenv(SLOTS_VARIABLE, "2")
    tell_settings(home)
    assert told_settings(home) == {SLOTS_VARIABLE: "2"}
    with monkeypatch.context() as another:
        another.setattr(environment, "_told", {})
        another.setenv(SLOTS_VARIABLE, "4")
        tell_settings(home)
    tell_settings(home)
    assert told_settings(home) == {SLOTS_VARIABLE: "4"}
    for damaged in ("", "[1]", '{"TRANSFER_LAB_SLOTS": 4}', "\0"):
        home.runner_settings_path.write_text(damaged)
        assert told_settings(home) is None


def test_a_server_says_what_it_has_before_anybody_asks_for_work(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PERSON_PICTURES.setting, "50000")
    keeper.see_to_waiting_jobs(home)
    assert told_settings(home) == {PERSON_PICTURES.setting: "50000"}
    assert not runner_processes()


def test_no_secret_is_among_what_is_written_down() -> None:
    assert SIZE_LIMIT_VARIABLE in NAMES
    assert not [name for name in NAMES if "TEACHER" in name or "HOME" in name]
