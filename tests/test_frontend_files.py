"""Files of the frontend: read once, compressed once, and the same as before."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from pages.server import frontend_files
from pages.server.frontend_files import FrontendFiles
from tests.asgi_request import request

SCRIPT = b"let answer = 42;\n" * 200
NOISE = random.Random(0).randbytes(3000)
FOREVER = {"cache-control": "public, immutable, max-age=31536000", "etag": '"1"', "accept-ranges": "bytes"}


class Server:
    """Streamlit's part, which counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        routes = [Route("/static/{name:path}", self.answer), Route("/page", self.answer)]
        self.app = FrontendFiles(Starlette(routes=routes))

    async def answer(self, asked: Request) -> Response:
        """Answer as Streamlit does."""
        name = asked.url.path.rpartition("/")[2]
        self.asked[name] += 1
        kinds = {"a.js": "application/javascript", "tiny.js": "application/javascript", "font.woff2": "font/woff2"}
        if name not in kinds:
            return PlainTextResponse("not here", status_code=404)
        body = b"1" if name == "tiny.js" else SCRIPT
        if "packed" in asked.url.path:
            return Response(
                gzip.compress(NOISE), media_type=kinds[name], headers={**FOREVER, "content-encoding": "gzip"}
            )
        return Response(body, media_type=kinds[name], headers=FOREVER)

    def get(self, path: str, **headers: str) -> tuple[int, Headers, bytes]:
        """Send one request and return status, headers and body."""
        pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return request(self.app, path, pairs)


@pytest.fixture
def server() -> Server:
    return Server()


def test_what_comes_compressed_is_not_compressed_again(server: Server) -> None:
    for _ in range(2):
        _, headers, body = server.get("/static/packed/a.js", accept_encoding="gzip")
        assert headers["content-encoding"] == "gzip"
        assert gzip.decompress(body) == NOISE
    assert server.asked["a.js"] == 1


def test_a_script_is_read_once_and_comes_compressed(server: Server) -> None:
    for _ in range(3):
        status, headers, body = server.get("/static/js/a.js", accept_encoding="gzip, br")
        assert (status, gzip.decompress(body)) == (200, SCRIPT)
        assert headers["content-encoding"] == "gzip"
        assert int(headers["content-length"]) == len(body) < len(SCRIPT) / 10
        assert headers["vary"] == "Accept-Encoding"
        assert headers["content-type"] == "application/javascript"
        assert headers["cache-control"] == FOREVER["cache-control"]
        assert "etag" not in headers
    assert server.asked["a.js"] == 1


def test_whoever_cannot_unpack_gets_it_as_it_is(server: Server) -> None:
    server.get("/static/js/a.js", accept_encoding="gzip")
    for _ in range(2):
        _, headers, body = server.get("/static/js/a.js")
        assert body == SCRIPT
        assert "content-encoding" not in headers
        assert headers["etag"] == FOREVER["etag"]
    assert server.asked["a.js"] == 2


@pytest.mark.parametrize("name", ["font.woff2", "tiny.js"])
def test_what_gains_nothing_is_kept_but_not_compressed(server: Server, name: str) -> None:
    for _ in range(2):
        _, headers, _ = server.get(f"/static/{name}", accept_encoding="gzip")
        assert "content-encoding" not in headers
    assert server.asked[name] == 1


def test_what_streamlit_would_compress_is_compressed_once() -> None:
    script = b"".join(b"let answer_%d = %d;\n" % (number, number**5) for number in range(2000))
    app = Starlette(routes=[Route("/static/b.js", lambda _request: Response(script, headers=FOREVER))])
    _, headers, body = request(FrontendFiles(GZipMiddleware(app)), "/static/b.js", [(b"accept-encoding", b"gzip")])
    assert headers.getlist("content-encoding") == ["gzip"]
    assert gzip.decompress(body) == script


def test_only_whole_files_that_never_change_are_kept(server: Server) -> None:
    for _ in range(2):
        assert server.get("/static/missing.js", accept_encoding="gzip")[0] == 404
        assert server.get("/static/a.js", range="bytes=0-5")[0] == 200
        assert server.get("/static/a.js", if_none_match='"1"')[0] == 200
        assert server.get("/page")[0] == 404
    assert server.asked == {"missing.js": 2, "a.js": 4, "page": 2}


def test_memory_is_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontend_files, "MAX_KEPT_BYTES", len(SCRIPT) + 10)
    for path in ("/static/a.js", "/static/x/a.js", "/static/a.js", "/static/x/a.js"):
        assert server.get(path)[2] == SCRIPT
    assert server.asked["a.js"] == 3


def test_a_browser_that_goes_away_leaves_no_half_file_for_others(tmp_path: Path) -> None:
    script = tmp_path / "static" / "a.js"
    script.parent.mkdir()
    script.write_bytes(SCRIPT)

    async def answer(_asked: Request) -> Response:
        return FileResponse(script, media_type="application/javascript", headers=FOREVER)

    app = FrontendFiles(Starlette(routes=[Route("/static/a.js", answer)]))
    request(app, "/static/a.js", goes_away=True)
    script.unlink()
    assert request(app, "/static/a.js")[2] == SCRIPT
