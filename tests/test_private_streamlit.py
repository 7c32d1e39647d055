"""Private parts of Streamlit: pictures stay a while, messages of a page arrive whole, and a loss is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime import app_session
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.media_file_storage import MediaFileKind, MediaFileStorageError

import app
from pages.server import private_streamlit
from pages.server.private_streamlit import (
    COMES_AGAIN,
    GUEST_OF,
    LINGER_SECONDS,
    PERSON,
    AskedUploads,
    CompleteMessages,
    LingeringMediaStorage,
    end_sessions,
    lost_effects,
    may_see,
)


@pytest.fixture
def storage() -> LingeringMediaStorage:
    return LingeringMediaStorage("/media")


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass only when the test says so."""
    now = [0.0]
    monkeypatch.setattr(private_streamlit.time, "monotonic", lambda: now[0])

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


def test_a_picture_is_seen_by_the_browsers_for_which_it_was_drawn(
    storage: LingeringMediaStorage, monkeypatch: pytest.MonkeyPatch, wait: Callable[[float], None]
) -> None:
    drawing = iter(["a", "b", None])
    monkeypatch.setattr(private_streamlit, "_session_owner", lambda: next(drawing))
    monkeypatch.setattr(private_streamlit, "exists", lambda: True)
    monkeypatch.setattr(private_streamlit, "get_instance", lambda: runtime(storage, None))
    cat = add(storage, b"cat")
    assert [may_see(f"{cat}.jpg", who) for who in ("a", "b", None)] == [True, False, False]
    assert add(storage, b"cat") == cat
    assert [may_see(f"{cat}.jpg", who) for who in ("a", "b", None)] == [True, True, False]
    storage.delete_file(cat)
    wait(LINGER_SECONDS)
    storage.delete_file("another")
    storage.delete_file(cat)
    assert not may_see(f"{cat}.jpg", "a")
    icon = add(storage, b"icon")  # for a browser that keeps no cookies, which sees nobody's pictures
    assert may_see(f"{icon}.png", None)


def test_a_page_that_is_drawn_while_its_browser_is_away_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_streamlit, "get_script_run_ctx", lambda suppress_warning: object())
    monkeypatch.setattr(private_streamlit, "st", SimpleNamespace(context=SimpleNamespace(headers={}, cookies={})))
    assert private_streamlit._session_owner() == private_streamlit.GONE


FRAGMENT = "curves"


def drawn(text: str, place: int, fragment: str = "") -> ForwardMsg:
    message = ForwardMsg()
    message.metadata.delta_path[:] = [0, place]
    message.delta.new_element.markdown.body = text
    message.delta.fragment_id = fragment
    return message


def finished() -> ForwardMsg:
    message = ForwardMsg()
    message.script_finished = ForwardMsg.FINISHED_SUCCESSFULLY
    return message


def told(queue: CompleteMessages) -> list[str]:
    """What the browser would get, in order."""
    return [
        message.delta.new_element.markdown.body if message.HasField("delta") else "finished"
        for message in queue.flush()
    ]


def a_page_with_a_fragment() -> CompleteMessages:
    queue = CompleteMessages()
    for message in (drawn("title", 0), drawn("chart", 1, FRAGMENT), finished()):
        queue.enqueue(message)
    return queue


def test_a_page_arrives_whole_before_its_fragment_runs_again() -> None:
    queue = a_page_with_a_fragment()
    queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=[FRAGMENT])
    queue.enqueue(drawn("newer chart", 1, FRAGMENT))
    assert told(queue) == ["title", "chart", "finished", "newer chart"]


def test_a_new_run_of_the_whole_page_replaces_what_still_waits() -> None:
    queue = a_page_with_a_fragment()
    queue.clear(retain_lifecycle_msgs=True)
    queue.enqueue(drawn("new title", 0))
    assert told(queue) == ["finished", "new title"]


def runtime(storage: object, uploads: object) -> SimpleNamespace:
    places = SimpleNamespace(_storage=storage)
    nothing = SimpleNamespace(list_sessions=list)
    return SimpleNamespace(
        _media_file_mgr=places,
        _uploaded_file_mgr=uploads,
        _session_mgr=nothing,
        _get_async_objs=None,
        get_client=lambda _session: None,
        close_session=lambda _session: None,
    )


def test_a_newer_streamlit_that_takes_another_way_is_noticed(
    storage: LingeringMediaStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert app.app is not None  # importing it patches
    uploads = AskedUploads("/upload")
    assert lost_effects(runtime(storage, uploads)) == []
    assert "MemoryMediaFileStorage" in lost_effects(runtime(object(), uploads))[0]
    plain = AskedUploads.__bases__[0]("/upload")  # its own name may be patched by now
    assert "for which a page asked" in lost_effects(runtime(storage, plain))[0]
    assert "remove_file" in lost_effects(runtime(storage, object()))[1]
    with monkeypatch.context() as changed:
        changed.setattr(uploads, "remove_file", lambda *_: None)
        assert "remove_file" in lost_effects(runtime(storage, uploads))[0]
    other = runtime(storage, uploads)
    del other._session_mgr.list_sessions
    assert "close_session" in lost_effects(other)[0]
    with monkeypatch.context() as changed:
        changed.setattr(app_session, "ForwardMsgQueue", ForwardMsgQueue)
        assert "ForwardMsgQueue" in lost_effects(runtime(storage, uploads))[0]
    with monkeypatch.context() as changed:
        changed.setattr(app_session.AppSession, "__init__", lambda *_: None)
        assert "ForwardMsgQueue" in lost_effects(runtime(storage, uploads))[0]
    with monkeypatch.context() as changed:
        changed.setattr(ForwardMsgQueue, "clear", lambda _, retain_messages=False: None)
        assert "ForwardMsgQueue" in lost_effects(runtime(storage, uploads))[0]


class Session:
    """A session as far as it is asked for here, with a browser that is connected or not."""

    def __init__(self, name: str, owner: str | None, guest_of: str | None = None, *, connected: bool = True) -> None:
        state = {PERSON: (owner, 0.0)} if owner else {}
        self.session = SimpleNamespace(id=name, session_state={**state, **({GUEST_OF: guest_of} if guest_of else {})})
        self.said: list[object] = []
        if connected:
            self.client = SimpleNamespace(aclose=self._stop, _websocket=SimpleNamespace(close=self._say))

    async def _stop(self) -> None:
        self.said.append("stop")

    async def _say(self, code: int) -> None:
        self.said.append(code)


def test_sessions_of_whoever_is_out_are_ended_and_hung_up(monkeypatch: pytest.MonkeyPatch) -> None:
    mia, away, ben = Session("1", "mia"), Session("2", "mia", connected=False), Session("3", "ben", "project")
    sessions, closed = [mia, away, ben, Session("4", None)], []
    server = SimpleNamespace(
        _session_mgr=SimpleNamespace(list_sessions=lambda: sessions),
        _get_async_objs=lambda: SimpleNamespace(eventloop=None),
        close_session=closed.append,
    )
    monkeypatch.setattr(private_streamlit, "exists", lambda: True)
    monkeypatch.setattr(private_streamlit, "get_instance", lambda: server)
    monkeypatch.setattr(private_streamlit.asyncio, "run_coroutine_threadsafe", lambda work, _loop: asyncio.run(work))
    end_sessions(lambda owner, _project: owner == "mia")
    assert closed == ["1", "2"]
    assert (mia.said, away.said, ben.said) == (["stop", COMES_AGAIN], [], [])
    closed.clear()
    end_sessions(lambda _owner, project: project == "project")
    assert closed == ["3"]
    end_sessions(lambda _owner, _project: False)
    assert closed == ["3"]
