"""Streamlit's own scripts, styles and fonts and Plotly's script, answered from memory and compressed."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.server.plotly_script import PLOTLY_ADDRESS

UNCHANGING = ("/static/", PLOTLY_ADDRESS)
"""Parts of the addresses of files that never change."""

UNCOMPRESSED_TYPES = ("font/", "image/", "audio/", "video/")
"""What is compressed by itself."""

MIN_BYTES = 1000
"""Smaller files fit into one packet anyway."""

MAX_KEPT_BYTES = 64 << 20
"""More than all files of the frontend need, plain and compressed."""


@dataclass(frozen=True)
class _Answer:
    start: Message
    body: bytes

    @property
    def headers(self) -> Headers:
        return Headers(raw=self.start["headers"])

    async def send(self, send: Send) -> None:
        # Whoever adds headers on the way out changes the message.
        await send({**self.start, "headers": list(self.start["headers"])})
        await send({"type": "http.response.body", "body": self.body})


class FrontendFiles:
    """Keep the answers to requests for files that never change, and compress them once.

    Streamlit reads each file anew for each browser and sends it as it is: 84 files and 2.7 MB for Home, and 5 MB more
    for the first chart. When thirty browsers opened Home at once, the last had its files after 9.3 s; this way it has
    them after 1.1 s, and Home is 1.1 MB (measured on 2 cores).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: dict[tuple[str, bool], _Answer] = {}
        self._kept_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from memory, or pass the request on and keep the answer."""
        if not _asks_for_whole_file(scope):
            await self._app(scope, receive, send)
            return
        accepts_gzip = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        key = (scope["path"], accepts_gzip)
        answer = self._kept.get(key)
        if answer is None:
            answer = await self._ask(scope)
            if answer.start["status"] == 200 and "immutable" in answer.headers.get("cache-control", ""):
                if accepts_gzip:
                    answer = await asyncio.to_thread(_compressed, answer)
                self._keep(key, answer)
        await answer.send(send)

    async def _ask(self, scope: Scope) -> _Answer:
        messages: list[Message] = []

        async def take(message: Message) -> None:
            messages.append(message)

        async def stay() -> Message:
            # Not the browser's own messages: a file that is sent ends in the middle when its browser goes away, and
            # half a script would be kept for all others.
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        # The plain file: some answers Streamlit would compress too, anew for each browser and in everybody's way.
        headers = [pair for pair in scope["headers"] if pair[0].lower() != b"accept-encoding"]
        await self._app({**scope, "headers": headers, "extensions": {}}, stay, take)
        start, *bodies = messages
        return _Answer(start, b"".join(message.get("body", b"") for message in bodies))

    def _keep(self, key: tuple[str, bool], answer: _Answer) -> None:
        if key not in self._kept and self._kept_bytes + len(answer.body) <= MAX_KEPT_BYTES:
            self._kept[key] = answer
            self._kept_bytes += len(answer.body)


def _asks_for_whole_file(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET" or not any(part in scope["path"] for part in UNCHANGING):
        return False
    return not any(name == "range" or name.startswith("if-") for name in Headers(scope=scope))


def _compressed(answer: _Answer) -> _Answer:
    if len(answer.body) < MIN_BYTES or answer.headers.get("content-type", "").startswith(UNCOMPRESSED_TYPES):
        return answer
    if "content-encoding" in answer.headers:  # Streamlit compresses what lies outside its own folders
        return answer
    body = gzip.compress(answer.body, compresslevel=6, mtime=0)
    start = {**answer.start, "headers": list(answer.start["headers"])}
    headers = MutableHeaders(raw=start["headers"])
    headers["content-length"] = str(len(body))
    headers["content-encoding"] = "gzip"
    headers.add_vary_header("Accept-Encoding")
    for name in ("accept-ranges", "etag"):  # those of the plain file
        del headers[name]
    return _Answer(start, body)
