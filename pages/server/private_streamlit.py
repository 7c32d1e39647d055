"""Every patch of Streamlit and every call into its private parts, seen to work with Streamlit 1.67.

| what | why | how it is seen to work |
|---|---|---|
| `MemoryMediaFileStorage` replaced | pictures of an interrupted run would be gone for the browser | `check` at start |
| `ForwardMsgQueue` replaced | charts of a fragment vanish when it runs right after the page | `check` at start |
| `MemoryUploadedFileManager` replaced | a file that no page asked for would be read into memory | `check` at start |
| `_session_mgr.list_sessions`, `close_session` | parts of an open page go on for whoever is out | `check` at start |
| `uploaded_file_mgr.remove_file` | uploads stay in memory until the session ends | `check` at start |
| `config.set_option("server.allowedHosts")` | addresses change while the app runs; `Door` decides | a browser test |

`check` is asked when the server starts, so that a newer Streamlit that takes another way is noticed at once and not by
a person whose pictures are broken. A test asks a running server the same about its sessions.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence, Set
from contextlib import suppress
from inspect import isfunction, signature
from typing import Any

import streamlit as st
from streamlit import config
from streamlit.runtime import (
    Runtime,
    app_session,
    exists,
    get_instance,
    memory_media_file_storage,
    memory_uploaded_file_manager,
)
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.media_file_storage import MediaFileKind
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext
from streamlit.runtime.uploaded_file_manager import UploadedFileRec, UploadFileUrlInfo
from streamlit.typing import UploadedFile
from streamlit.web.server.starlette.starlette_websocket import StarletteSessionClient

from tlcore.home import DataRoot
from tlcore.storage.identities import read_identities

USER_COOKIE = "lab_user"
PERSON = "session-person"
"""In the state of a session: whose pages it has drawn, and since when."""

COMES_AGAIN = 1012
"""Says to a browser that the connection ends and may be made anew at once."""

GUEST_OF = "session-guest-of"
"""In the state of a session: the project of somebody else that it has drawn last."""

GONE = ""
"""A browser whose connection is lost; it gets the page drawn anew when it comes back."""

OWN_METHODS = ("owners_of", "has_asked")
"""Methods of our classes that Streamlit never calls."""

LINGER_SECONDS = 60
"""How long a browser may take to ask for a picture; a page that is drawn again and again needs it no longer."""


class LingeringMediaStorage(MemoryMediaFileStorage):
    """Streamlit's store of pictures, which deletes a picture a while after it is told to.

    Streamlit lets go of all pictures that an interrupted run of a page has not drawn yet, though the next run draws
    the same ones a moment later. A browser that asks in between would show a broken picture from then on, since the
    address stays the same (Streamlit issue 1294).

    It also knows for whose browsers each was drawn; Streamlit gives it to whoever has its address.
    """

    def __init__(self, media_endpoint: str) -> None:
        super().__init__(media_endpoint)
        self._unused_since: dict[str, float] = {}
        self._owners: dict[str, set[str | None]] = {}
        self._lock = threading.Lock()

    def load_and_get_id(
        self, path_or_data: str | bytes, mimetype: str, kind: MediaFileKind, filename: str | None = None
    ) -> str:
        """Store a picture, or keep one that was to be deleted, and return its id."""
        with self._lock:
            file_id = super().load_and_get_id(path_or_data, mimetype, kind, filename)
            self._unused_since.pop(file_id, None)
            self._owners.setdefault(file_id, set()).add(_session_owner())
        return file_id

    def owners_of(self, file_id: str) -> Set[str | None]:
        """Return for whose browsers a picture was drawn."""
        return self._owners.get(file_id, frozenset())

    def delete_file(self, file_id: str) -> None:
        """Note that a picture is unused, and delete those that have been so for `LINGER_SECONDS`."""
        with self._lock:
            now = time.monotonic()
            self._unused_since.setdefault(file_id, now)
            for old in [x for x, since in self._unused_since.items() if now - since >= LINGER_SECONDS]:
                del self._unused_since[old]
                self._owners.pop(old, None)
                super().delete_file(old)


class AskedUploads(MemoryUploadedFileManager):
    """Streamlit's store of uploaded files, which knows for which ones a page has asked.

    Streamlit takes whatever is sent to the address of a session that lives, and keeps it until that session ends.
    """

    def __init__(self, upload_endpoint: str) -> None:
        super().__init__(upload_endpoint)
        self._asked: dict[str, set[str]] = {}
        self._asking = threading.Lock()

    def get_upload_urls(self, session_id: str, file_names: Sequence[str]) -> list[UploadFileUrlInfo]:
        """Return where files of a page are sent, and note it."""
        places = super().get_upload_urls(session_id, file_names)
        with self._asking:
            self._asked.setdefault(session_id, set()).update(place.file_id for place in places)
        return places

    def has_asked(self, session_id: str, file_id: str) -> bool:
        """Whether a page of this session has asked for this file."""
        return file_id in self._asked.get(session_id, ())

    def remove_session_files(self, session_id: str) -> None:
        """Forget the files of a session that has ended, and for which ones it asked."""
        with self._asking:
            self._asked.pop(session_id, None)
        super().remove_session_files(session_id)


class CompleteMessages(ForwardMsgQueue):
    """Streamlit's queue of messages to a browser, which drops none because a fragment begins.

    A fragment that runs every second often begins right after a run of the whole page. If the page's messages still
    wait then, Streamlit drops those about the fragment, but keeps the one that the page is complete: the browser takes
    away the fragment's charts, which it holds for gone, and draws them anew a moment later, with all zoom lost.
    """

    def clear(self, retain_lifecycle_msgs: bool = False, fragment_ids_this_run: list[str] | None = None) -> None:
        """Drop the messages of the run before a new one begins, but for a run of fragments alone."""
        if fragment_ids_this_run is None:
            super().clear(retain_lifecycle_msgs)
        else:
            # From here on, a message follows an older one about the same place instead of replacing it: what comes
            # before the message that a run begins counts as drawn by the run before.
            self._delta_index_map = {}


def _session_owner() -> str | None:
    """Return whose browser the page is drawn for that runs in this thread; `GONE` where it is not there just now."""
    if get_script_run_ctx(suppress_warning=True) is None:
        return None
    if not st.context.headers:
        return GONE
    value = st.context.cookies.get(USER_COOKIE)
    return read_identities(DataRoot.configured()).owner_of(value) if isinstance(value, str) else None


def may_see(name: str, owner: str | None) -> bool:
    """Whether a browser may have a file of Streamlit's store, named as in its address.

    Args:
        name: The last part of the address.
        owner: Who asks, `None` without an identity.

    Returns:
        Whether the file was drawn for this browser, or for one without an identity, which sees nobody's pictures.
    """
    storage = getattr(getattr(get_instance(), "_media_file_mgr", None), "_storage", None) if exists() else None
    owners = storage.owners_of(name.partition(".")[0]) if isinstance(storage, LingeringMediaStorage) else {None}
    return owner in owners or None in owners


def may_bring(session_id: str, file_id: str, owner: str) -> bool:
    """Whether a page that a browser has open asked for a file.

    Args:
        session_id: The session of the page, as in the address to which the file is sent.
        file_id: The file, as in the address.
        owner: The browser that sends it.
    """
    if not exists():
        return False
    runtime = get_instance()
    client, manager = runtime.get_client(session_id), getattr(runtime, "_uploaded_file_mgr", None)
    if client is None or not (isinstance(manager, AskedUploads) and manager.has_asked(session_id, file_id)):
        return False
    context = client.client_context
    cookie = "" if context is None else context.cookies.get(USER_COOKIE, "")
    return read_identities(DataRoot.configured()).owner_of(cookie) == owner


def most_upload_bytes() -> int:
    """Return how long what Streamlit takes at once may be."""
    return int(config.get_option("server.maxUploadSize")) << 20


def patch() -> None:
    """Make Streamlit use our classes for servers and sessions that begin after this; it has no setting for that."""
    memory_media_file_storage.MemoryMediaFileStorage = LingeringMediaStorage  # type: ignore[misc]
    memory_uploaded_file_manager.MemoryUploadedFileManager = AskedUploads  # type: ignore[misc]
    app_session.ForwardMsgQueue = CompleteMessages  # type: ignore[attr-defined]


def lost_effects(runtime: Runtime) -> list[str]:
    """Return what no longer takes effect in a server that has started, in words; empty when all does."""
    effects = {
        "pictures of interrupted pages are kept a while (MemoryMediaFileStorage)": _keeps_pictures(runtime),
        "messages of a page outlive the start of its fragments (ForwardMsgQueue)": _keeps_messages(),
        "only files are taken for which a page asked (MemoryUploadedFileManager)": _takes_asked_files(runtime),
        "sessions of others can be ended (Runtime.close_session)": _ends_sessions(runtime),
        "uploaded files are freed once they are on disk (uploaded_file_mgr.remove_file)": _frees_uploads(runtime),
    }
    return [effect for effect, is_there in effects.items() if not is_there]


def _keeps_pictures(runtime: Runtime) -> bool:
    storage = getattr(getattr(runtime, "_media_file_mgr", None), "_storage", None)
    return isinstance(storage, LingeringMediaStorage) and _overrides(LingeringMediaStorage)


def _keeps_messages() -> bool:
    # A session looks the name up when it begins; setting a name that nobody reads would have no effect.
    is_read = "ForwardMsgQueue" in app_session.AppSession.__init__.__code__.co_names
    is_ours = getattr(app_session, "ForwardMsgQueue", None) is CompleteMessages
    return is_read and is_ours and _overrides(CompleteMessages) and hasattr(ForwardMsgQueue(), "_delta_index_map")


def _takes_asked_files(runtime: Runtime) -> bool:
    manager = getattr(runtime, "_uploaded_file_mgr", None)
    if not (isinstance(manager, AskedUploads) and _overrides(AskedUploads) and hasattr(runtime, "get_client")):
        return False
    places = manager.get_upload_urls("check", ["name"])
    is_noted = all(manager.has_asked("check", place.file_id) for place in places)
    manager.remove_session_files("check")
    return is_noted and not manager.has_asked("check", places[0].file_id)


def _ends_sessions(runtime: Runtime) -> bool:
    finds = hasattr(getattr(runtime, "_session_mgr", None), "list_sessions") and hasattr(runtime, "_get_async_objs")
    hangs_up = "_websocket" in StarletteSessionClient.__init__.__code__.co_names
    return finds and hangs_up and hasattr(runtime, "close_session")


def _frees_uploads(runtime: Runtime) -> bool:
    session, file = "check", UploadedFileRec("file", "name", "type", b"content")
    try:
        manager: Any = runtime._uploaded_file_mgr
        manager.add_file(session, file)
        manager.remove_file(session, file.file_id)
        is_gone = not manager.get_files(session, [file.file_id])
        manager.remove_session_files(session)
    except (AttributeError, TypeError):
        return False
    return is_gone and {"session_id", "uploaded_file_mgr"} <= ScriptRunContext.__dataclass_fields__.keys()


def _overrides(ours: type) -> bool:
    """Whether every method of one of our classes replaces one that Streamlit calls in the same way."""
    theirs = ours.__mro__[1]
    return all(
        hasattr(theirs, name) and [*signature(method).parameters] == [*signature(getattr(theirs, name)).parameters]
        for name, method in vars(ours).items()
        if isfunction(method) and name not in OWN_METHODS
    )


def leave_hosts_to_the_door() -> None:
    """Let Streamlit answer by every name: `Door` stands before it and knows this machine's addresses of this moment."""
    config.set_option("server.allowedHosts", ["*"])


def check() -> None:
    """Check that all of it takes effect in the server that has just started.

    Raises:
        RuntimeError: If something does not.
    """
    lost = lost_effects(get_instance())
    if lost:
        raise RuntimeError(f"This Streamlit works otherwise than 1.67; lost: {'; '.join(lost)}.")


def end_sessions(ends: Callable[[str, str | None], bool]) -> None:
    """End sessions of people who may see their pages no more; their browsers come again with new ones.

    A session draws parts of its last page for as long as its browser asks, and nobody stands at the door of a part. So
    it goes, also the one of a browser that is not connected just now: it could come back to it.

    Args:
        ends: Says which: whose pages a session has drawn, and at which project of somebody else it looked last.
    """
    runtime: Any = get_instance() if exists() else None
    manager = getattr(runtime, "_session_mgr", None)
    if manager is None:  # a page that a test runs without a server
        return
    ended = []
    for info in manager.list_sessions():
        owner, _ = _remembered(info.session, PERSON) or (None, 0.0)
        if owner is not None and ends(owner, _remembered(info.session, GUEST_OF)):
            ended.append(info)
    if ended:
        asyncio.run_coroutine_threadsafe(_end(runtime, ended), runtime._get_async_objs().eventloop)


async def _end(runtime: Any, ended: Sequence[Any]) -> None:
    """End sessions, in the thread of the server, and hang up; a browser that is not told goes on with nobody."""
    clients = [getattr(info, "client", None) for info in ended]
    for info in ended:
        runtime.close_session(info.session.id)
    for client in clients:
        if client is not None:
            await client.aclose()
            with suppress(RuntimeError):  # it has hung up itself
                await client._websocket.close(COMES_AGAIN)


def _remembered(session: Any, key: str) -> Any:
    try:
        return session.session_state[key]
    except KeyError:
        return None


def remove_uploaded(files: Iterable[UploadedFile]) -> None:
    """Free the memory of uploaded files that are safe on disk; give their widget a new key afterwards.

    Streamlit keeps the bytes until the session ends, also when the widget is gone.
    """
    context = get_script_run_ctx()
    manager = getattr(context, "uploaded_file_mgr", None)
    if context is None or manager is None:  # a page that a test runs without a server
        return
    for file in files:
        manager.remove_file(context.session_id, file.file_id)
