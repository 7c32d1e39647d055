"""Pictures that a page has let go of: still there for a slow browser, gone in the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.runtime.media_file_storage import MediaFileKind, MediaFileStorageError

from pages.server import media
from pages.server.media import LINGER_SECONDS, LingeringMediaStorage


@pytest.fixture
def storage() -> LingeringMediaStorage:
    return LingeringMediaStorage("/media")


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass only when the test says so."""
    now = [0.0]
    monkeypatch.setattr(media.time, "monotonic", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


def add(storage: LingeringMediaStorage, content: bytes) -> str:
    return storage.load_and_get_id(content, "image/jpeg", MediaFileKind.MEDIA)


def test_a_picture_that_no_page_shows_is_there_until_its_time_is_over(
    storage: LingeringMediaStorage, wait: Callable[[float], None]
) -> None:
    cat, dog = add(storage, b"cat"), add(storage, b"dog")
    storage.delete_file(cat)
    wait(LINGER_SECONDS - 1)
    storage.delete_file(dog)
    assert storage.get_file(f"{cat}.jpg").content == b"cat"
    wait(1)
    storage.delete_file(dog)
    with pytest.raises(MediaFileStorageError):
        storage.get_file(f"{cat}.jpg")
    assert storage.get_file(f"{dog}.jpg").content == b"dog"


def test_a_picture_that_is_drawn_again_stays(storage: LingeringMediaStorage, wait: Callable[[float], None]) -> None:
    cat, dog = add(storage, b"cat"), add(storage, b"dog")
    storage.delete_file(cat)
    assert add(storage, b"cat") == cat
    wait(LINGER_SECONDS)
    storage.delete_file(dog)
    assert storage.get_file(f"{cat}.jpg").content == b"cat"
