"""One request to an ASGI application, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from anyio import sleep_forever
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message


def request(
    app: ASGIApp,
    path: str,
    headers: Sequence[tuple[bytes, bytes]] = (),
    scheme: str = "http",
    *,
    method: str = "GET",
    body: bytes = b"",
    query: bytes = b"",
    goes_away: bool = False,
) -> tuple[int, Headers, bytes]:
    """Send one request and return status, headers and body of the answer; or go away before it comes.

    As every browser does, it says whom it calls: `localhost`, unless the headers say another one.
    """
    called = [] if any(name == b"host" for name, _ in headers) else [(b"host", b"localhost:8501")]
    sent: list[Message] = []
    told: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    if goes_away:
        told.append({"type": "http.disconnect"})

    async def receive() -> Message:
        return told.pop(0) if told else await sleep_forever()

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [*called, *headers],
        "scheme": scheme,
        "server": ("testserver", 80),
    }
    asyncio.run(app(scope, receive, send))
    start, *bodies = sent
    return start["status"], Headers(raw=start["headers"]), b"".join(message.get("body", b"") for message in bodies)
