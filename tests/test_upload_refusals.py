"""What is sent to Streamlit's upload address is refused before its body is read, unless a page of the sender asked."""

from __future__ import annotations

import secrets
import socket
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass

import psutil
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

from tests.server import AppServer, serving
from tests.signing import cookie_of
from tlcore.home import DataRoot
from tlcore.storage.class_settings import ClassSettings, change_class_settings
from tlcore.storage.database import open_database
from tlcore.storage.people import admit

pytestmark = pytest.mark.slow

OWNER, OTHER = "o" * 24, "p" * 24
UPLOAD = "/_stcore/upload_file"
XSRF = "_streamlit_xsrf"
MEGABYTE = 1 << 20
LARGE = 390 * MEGABYTE
MOST_GROWTH = 24 * MEGABYTE


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    with serving(DataRoot(tmp_path_factory.mktemp("refusals") / "home")) as server:
        yield server


@dataclass(frozen=True)
class OpenPage:
    """A page that a browser has open.

    Attributes:
        session: Its session.
        file: A file for which it has asked.
    """

    session: str
    file: str


@pytest.fixture(scope="module")
def page(app: AppServer) -> Iterator[OpenPage]:
    """Home, as `OWNER` has it open, which has asked for a file as a widget of it does."""
    stream = app.address.replace("http", "ws") + "/_stcore/stream"
    headers = {"Cookie": cookie_of(OWNER, app.home)}
    with connect(
        stream,
        subprotocols=["streamlit"],  # type: ignore[list-item]
        origin=app.address,  # type: ignore[arg-type]
        additional_headers=headers,
        proxy=None,
        max_size=None,
        max_queue=None,  # what the page says meanwhile is heard by nobody
    ) as connection:
        connection.send(BackMsg(rerun_script={"query_string": ""}).SerializeToString())
        session = hear(connection, "new_session").new_session.initialize.session_id
        asked = {"request_id": "1", "file_names": ["model.keras"], "session_id": session}
        connection.send(BackMsg(file_urls_request=asked).SerializeToString())
        yield OpenPage(session, hear(connection, "file_urls_response").file_urls_response.file_urls[0].file_id)


def hear(connection: ClientConnection, kind: str) -> ForwardMsg:
    """Wait for a message of a kind."""
    while True:
        message = ForwardMsg()
        message.ParseFromString(connection.recv(timeout=60))  # type: ignore[arg-type]
        if message.WhichOneof("type") == kind:
            return message


def head(app: AppServer, place: str, headers: Mapping[str, str], owner: str | None = OWNER) -> bytes:
    token = secrets.token_hex(16)
    cookies = [f"{XSRF}={token}", *([] if owner is None else [cookie_of(owner, app.home)])]
    lines = {"Host": f"127.0.0.1:{app.port}", "Cookie": "; ".join(cookies), "X-Xsrftoken": token, **headers}
    lines.setdefault("Content-Type", "multipart/form-data; boundary=b")
    return "\r\n".join([f"PUT {UPLOAD}/{place} HTTP/1.1", *(f"{k}: {v}" for k, v in lines.items()), "", ""]).encode()


def answer(app: AppServer, sent: bytes) -> int:
    """Send the head of a request alone, and return the status of the answer; 100 where the server wants the body."""
    with closing(socket.create_connection(("127.0.0.1", app.port), timeout=10)) as connection:
        connection.sendall(sent)
        return int(connection.recv(4096).split()[1])


def statuses(app: AppServer, place: str, headers: Mapping[str, str], owner: str | None = OWNER) -> set[int]:
    """Ask for the body to be wanted first, as curl does, and without asking."""
    plain = {} if "Transfer-Encoding" in headers else {"Content-Length": str(LARGE)}
    sent = [{**plain, **headers}, {**plain, **headers, "Expect": "100-continue"}]
    return {answer(app, head(app, place, one, owner)) for one in sent}


def test_only_what_a_page_of_the_sender_asked_for_is_wanted(app: AppServer, page: OpenPage) -> None:
    place = f"{page.session}/{page.file}"
    assert answer(app, head(app, place, {"Content-Length": str(LARGE), "Expect": "100-continue"})) == 100
    assert statuses(app, place, {}, owner=None) == {403}
    assert statuses(app, place, {}, owner=OTHER) == {403}
    for invented in (f"{page.session}/{uuid.uuid4()}", f"{uuid.uuid4()}/{page.file}", f"{page.session}/", "a/b/c", "a"):
        assert statuses(app, invented, {}) == {403}, invented
    assert statuses(app, place, {"Content-Length": str(401 * MEGABYTE)}) == {413}
    assert statuses(app, place, {"Transfer-Encoding": "chunked"}) == {411}
    assert statuses(app, place, {"X-Xsrftoken": "none"}) == {403}


def test_whoever_has_not_said_the_class_code_sends_nothing(app: AppServer, page: OpenPage) -> None:
    engine, place = open_database(app.home), f"{page.session}/{page.file}"
    wanted = head(app, place, {"Content-Length": str(LARGE), "Expect": "100-continue"})
    change_class_settings(engine, lambda _before: ClassSettings(code="Room 7b"))
    try:
        assert answer(app, wanted) == 403
        admit(engine, OWNER)
        assert answer(app, wanted) == 100
    finally:
        change_class_settings(engine, lambda _before: ClassSettings())
        engine.dispose()


def push(app: AppServer, sent: bytes) -> int:
    """Send a request with its large body, however it is answered; return how many bytes of it the server took."""
    block, taken = bytes(MEGABYTE), 0
    with closing(socket.create_connection(("127.0.0.1", app.port), timeout=10)) as connection, suppress(OSError):
        connection.sendall(sent)
        while taken < LARGE:
            taken += connection.send(block)
    return taken


def test_four_large_bodies_at_once_leave_the_memory_as_it_is(app: AppServer, page: OpenPage) -> None:
    process, place = psutil.Process(app.pid), f"{page.session}/{page.file}"
    large = {"Content-Length": str(LARGE)}
    refused = {
        "no cookie": head(app, place, large, owner=None),
        "invented": head(app, f"{page.session}/{uuid.uuid4()}", large),
        "too long": head(app, place, {"Content-Length": str(401 * MEGABYTE)}),
        "chunked": head(app, place, {"Transfer-Encoding": "chunked"}) + f"{LARGE:x}\r\n".encode(),
    }
    for name, sent in refused.items():
        before, highest = process.memory_info().rss, 0
        with ThreadPoolExecutor(4) as pool:
            pushing = [pool.submit(push, app, sent) for _ in range(4)]
            while not all(one.done() for one in pushing):
                highest = max(highest, process.memory_info().rss)
            taken = sum(one.result() for one in pushing)
        growth = max(highest, process.memory_info().rss) - before
        print(f"{name}: {taken / MEGABYTE:.0f} MB went out, {growth / MEGABYTE:.1f} MB more memory")
        assert growth < MOST_GROWTH, name
