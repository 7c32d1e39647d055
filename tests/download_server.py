"""A real server of the routes of downloads, for tests."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from pages.server.downloads import answers_route, download_route
from pages.server.export_files import export_route
from pages.server.identity import owner_of
from tests.finished_runs import OWNER
from tests.signing import cookie_of


@dataclass(frozen=True)
class Answered:
    status: int
    content: bytes
    disposition: str | None


Get = Callable[..., Answered]


@contextlib.contextmanager
def asking() -> Iterator[Get]:
    """Serve the routes of downloads, and yield what asks them with the address exactly as it is written."""
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[download_route(owner_of), answers_route(owner_of), export_route(owner_of)]),
            port=0,
            log_level="warning",
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]

    def get(address: str, cookie: str | None = "") -> Answered:
        cookie = cookie_of(OWNER) if cookie == "" else cookie
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", address, headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        result = Answered(answer.status, answer.read(), answer.headers["content-disposition"])
        connection.close()
        return result

    yield get
    server.should_exit = True
    thread.join(timeout=10)
