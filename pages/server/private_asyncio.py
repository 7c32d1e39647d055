"""The one change to asyncio, seen to work with Python 3.11 to 3.13, Streamlit 1.67 and uvicorn 0.51.

| what | why | how it is seen to work |
|---|---|---|
| `loop.create_server` wrapped | TCP waits 40 ms before most small answers | a test asks a running server |
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any


def patch(loop: asyncio.AbstractEventLoop) -> None:
    """Switch off the wait of TCP for more to send, about 40 ms for most scripts and pictures of a page.

    asyncio does so by itself, but not for sockets like the one that Streamlit binds, which do not name their
    protocol (uvicorn issue 3149). Accepted connections have the setting of the socket that listens.
    """
    create_server = loop.create_server

    async def create_prompt_server(*arguments: Any, sock: socket.socket | None = None, **options: Any) -> Any:
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return await create_server(*arguments, sock=sock, **options)

    with suppress(AttributeError):  # other loops, such as uvloop's, cannot be changed and need not be
        loop.create_server = create_prompt_server  # type: ignore[method-assign]
