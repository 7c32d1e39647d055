"""A server that others use has shares and quotas, however it was started, and keeps to what held when it started."""

from __future__ import annotations

import asyncio
import os

import pytest
from streamlit import config

from pages.server import asgi, shared
from pages.server.shared import is_shared_server, share_machine
from tlcore.jobs.slots import SLOTS_VARIABLE, THREADS_VARIABLE
from tlcore.network import HOSTS_VARIABLE, is_shared
from tlcore.storage.quotas import PERSON_GB, PERSON_RUNS, QUOTAS


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Settings of Streamlit for this test, and an environment in which nothing is set."""
    chosen: dict[str, object] = {"server.address": "127.0.0.1", "server.allowedHosts": ["localhost", "127.0.0.1"]}
    monkeypatch.setattr(config, "get_option", chosen.get)
    monkeypatch.setattr(shared, "_known", {})
    environment = dict(os.environ)
    for name in (HOSTS_VARIABLE, SLOTS_VARIABLE, THREADS_VARIABLE, *(quota.setting for quota in QUOTAS)):
        environment.pop(name, None)
    monkeypatch.setattr(os, "environ", environment)
    return chosen


def test_who_uses_it_is_told_from_where_it_listens_and_what_it_is_called() -> None:
    assert not is_shared("127.0.0.1", ["localhost", "127.0.0.1", "[::1]"])
    assert all(is_shared(address) for address in (None, "", "0.0.0.0", "::", "10.0.0.7"))
    assert all(is_shared("127.0.0.1", ["localhost", host]) for host in ("lab.local", "*.lab.local", "*", "10.0.0.7"))


def test_a_server_that_streamlit_starts_by_itself_has_them(settings: dict[str, object]) -> None:
    share_machine()
    assert (os.environ[SLOTS_VARIABLE], PERSON_GB.is_set) == ("1", False)
    settings["server.allowedHosts"] = ["*"]  # as Streamlit is told once the server runs
    assert not is_shared_server()
    shared._known.clear()
    os.environ[PERSON_RUNS.setting] = "7"
    share_machine()
    assert is_shared_server()
    assert (PERSON_GB.value, PERSON_RUNS.value) == (5, 7)


def test_a_wrong_setting_is_said_and_takes_nothing_else_away(
    settings: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    settings["server.address"] = "0.0.0.0"
    os.environ[SLOTS_VARIABLE] = "many"
    share_machine()
    assert "must be a whole number" in capsys.readouterr().err
    assert PERSON_GB.is_set


def test_the_server_does_so_before_anything_works(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for place, name in ((asgi.private_streamlit, "check"), (asgi, "warm_up"), (asgi.private_asyncio, "patch")):
        monkeypatch.setattr(place, name, lambda *_: None)
    monkeypatch.setattr(asgi, "share_machine", lambda: done.append("share_machine"))

    def see(_home: object) -> None:
        done.append("jobs")
        raise InterruptedError

    monkeypatch.setattr(asgi, "see_to_waiting_jobs", see)

    async def begin() -> None:
        async with asgi.lifespan(None):
            raise AssertionError

    with pytest.raises(InterruptedError):
        asyncio.run(begin())
    assert done == ["share_machine", "jobs"]
