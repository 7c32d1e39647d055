"""What surrounds every answer of the service: by which names it may be called, and headers that keep browsers safe."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tlcore.network import host_of

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""The pages have no script, and load nothing from anywhere."""


class Door:
    """Answer by the right names only, so that no foreign website takes the place of the service in a browser.

    Args:
        app: What answers.
        hosts: The names and addresses by which it may be called; `None` for any.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it, and add the headers to the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        called = host_of(Headers(scope=scope).get("host", ""))
        if self._hosts is None or called in self._hosts:
            await self._app(scope, receive, send_with_headers)
            return
        words = "This service does not answer by that name. Whoever runs it can add it to TRANSFER_LAB_HOSTS."
        await JSONResponse({"problem": words}, 421)(scope, receive, send_with_headers)
