"""The one change to asyncio, seen to work with Python 3.11 to 3.13, Streamlit 1.67 and uvicorn 0.54.

| what | why | how it is seen to work |
|---|---|---|
| `loop.create_server` wrapped | TCP waits 40 ms before most small answers | a look after the start |

A reverse proxy in front would answer promptly too, but the app must start with one command.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

CHECK_SECONDS = 5.0
"""When a server that starts listens for certain."""


def patch(loop: asyncio.AbstractEventLoop) -> None:
    """Switch off the wait of TCP for more to send, about 40 ms for most scripts and pictures of a page.

    asyncio does so by itself, but not for sockets like the one that Streamlit binds, which do not name their
    protocol (uvicorn issue 3149). Accepted connections have the setting of the socket that listens.
    """
    if not isinstance(loop, asyncio.BaseEventLoop):
        return  # other loops, such as uvloop's, cannot be changed and need not be
    create_server = loop.create_server
    prompt: list[socket.socket] = []

    async def create_prompt_server(*arguments: Any, sock: socket.socket | None = None, **options: Any) -> Any:
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            prompt.append(sock)
        return await create_server(*arguments, sock=sock, **options)

    def check() -> None:
        if not prompt:
            logging.getLogger(__name__).error("Small answers wait: this Streamlit or uvicorn listens another way.")

    loop.create_server = create_prompt_server  # type: ignore[method-assign]
    loop.call_later(CHECK_SECONDS, check)
