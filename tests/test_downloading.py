"""Fetching a published file; `tests/test_weights.py` and `tests/test_ready_sets.py` hold what its users need of it."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.published_sets import Publisher, publishing
from tlcore.downloading import PublishedFile, fetch, has_hash, hash_of, is_reachable, keras_cache_dir
from tlcore.errors import DownloadError
from tlcore.progress import StopRequested

CONTENT = b"PK\x03\x04" + bytes(range(256)) * 100


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with publishing() as state:
        state.files["/a.zip"] = CONTENT
        yield state


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "datasets"


def published(publisher: Publisher) -> PublishedFile:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return PublishedFile("a.zip", f"{publisher.url}/a.zip", len(CONTENT), digest, b"PK", ("b.zip",))


def fetched(file: PublishedFile, **arguments: Any) -> Path:
    return fetch(file, "Pets", instead="use another", **arguments)


def test_the_length_of_a_hash_says_its_kind(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    assert hash_of(tmp_path / "a", "sha256") == hashlib.sha256(CONTENT).hexdigest()
    assert has_hash(tmp_path / "a", hashlib.sha256(CONTENT).hexdigest())
    assert has_hash(tmp_path / "a", hashlib.md5(CONTENT, usedforsecurity=False).hexdigest())
    assert not has_hash(tmp_path / "a", hashlib.sha256(CONTENT + b"x").hexdigest())


def test_a_file_comes_with_its_folder_and_only_once(publisher: Publisher) -> None:
    file = published(publisher)
    assert not file.is_here
    assert fetched(file).read_bytes() == CONTENT
    assert file.is_here
    fetched(file)
    assert publisher.asked == [("/a.zip", None)]


def test_a_copy_under_another_name_is_taken_when_it_is_sound(publisher: Publisher, cache: Path) -> None:
    file = published(publisher)
    cache.mkdir(parents=True)
    (cache / "b.zip").write_bytes(CONTENT)
    assert file.is_here
    assert fetched(file) == file.path == cache / "b.zip"
    assert publisher.asked == []
    (cache / "b.zip").write_bytes(CONTENT[:-1] + b"x")
    assert fetched(file) == cache / "a.zip"


def test_what_is_missing_is_what_did_not_come_yet(publisher: Publisher, cache: Path) -> None:
    file = published(publisher)
    assert file.missing_bytes == len(CONTENT)
    cache.mkdir(parents=True)
    file.partial_path.write_bytes(CONTENT[:1000])
    assert file.missing_bytes == len(CONTENT) - 1000
    fetched(file)
    assert file.missing_bytes == 0


def test_a_page_of_the_networks_own_is_refused_even_without_a_hash(publisher: Publisher) -> None:
    page = b"<html>Please log in</html>"
    publisher.files["/a.zip"] = page
    file = replace(published(publisher), file_hash="", size_bytes=len(page))
    with pytest.raises(DownloadError, match="not the published file"):
        fetched(file)
    assert not file.partial_path.exists()


def test_what_to_do_instead_is_said_when_nothing_came() -> None:
    nowhere = PublishedFile("a", "http://127.0.0.1:9/a", 10, "", b"")
    with pytest.raises(DownloadError, match=r"Pets could not be downloaded .* or use another\."):
        fetched(nowhere, attempts=1)


def test_a_server_that_answers_anything_is_reachable(publisher: Publisher) -> None:
    assert is_reachable(f"{publisher.url}/a.zip")
    assert is_reachable(f"{publisher.url}/not-there")


def test_no_server_and_a_silent_one_are_not_reachable_and_cost_little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    started = time.monotonic()
    assert not is_reachable("http://127.0.0.1:9/a", timeout_seconds=60)
    assert time.monotonic() - started < 10
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        assert not is_reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/a", timeout_seconds=0.3)
        assert time.monotonic() - started < 10


def test_a_name_that_is_looked_up_for_ever_costs_no_more_than_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def look_up(*_args: object, **_kwargs: object) -> list[object]:
        answered.wait(60)
        raise OSError("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    started = time.monotonic()
    assert not is_reachable("http://example.invalid/a", timeout_seconds=0.2)
    assert time.monotonic() - started < 30
    answered.set()


def test_the_cache_is_kerass_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert keras_cache_dir() == tmp_path
    monkeypatch.delenv("KERAS_HOME")
    assert keras_cache_dir() == Path.home() / ".keras"


def test_who_waits_for_another_download_of_the_file_sees_how_far_it_is(publisher: Publisher) -> None:
    file = published(publisher)
    file.path.parent.mkdir(parents=True)
    file.partial_path.write_bytes(b"x" * 7)
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        raise StopRequested

    with FileLock(f"{file.partial_path}.lock"), pytest.raises(StopRequested):
        fetched(file, progress=stop)
    assert told == [(7, file.size_bytes)]
    file.partial_path.unlink()
    assert fetched(file) == file.path
