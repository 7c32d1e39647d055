"""What uvicorn 0.54 leaves open: how many may connect, and for how long without asking or reading anything.

Everything else of a connection is uvicorn's own.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from tlcore.serve.receiving import Limits

_WORDS = json.dumps({"problem": "Too many have connected to this service. Try it again in a second."})
TOO_MANY = (
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n"
    f"Content-Length: {len(_WORDS)}\r\n\r\n{_WORDS}"
).encode()


def connections_with(limits: Limits) -> type[H11Protocol]:
    """Return the protocol of the connections.

    Args:
        limits: How many there may be, and how long one may take to ask, or to read what it has asked for.
    """

    class Connection(H11Protocol):
        """A connection that is closed when nothing comes of it."""

        _closing: asyncio.TimerHandle | None = None
        _aborting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            is_one_too_many = len(self.connections) >= limits.connections
            super().connection_made(transport)
            # Every byte that is not read is known of, not only what is beyond a buffer.
            transport.set_write_buffer_limits(0)
            if is_one_too_many:
                transport.write(TOO_MANY)
                transport.close()
            else:
                self._wait_for_request()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._is_asked:
                self._rest()
            else:
                self._wait_for_request()

        def pause_writing(self) -> None:
            super().pause_writing()
            if self._aborting is None:
                self._aborting = self.loop.call_later(limits.seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._aborting is not None:
                self._aborting.cancel()
            self._aborting = None

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)  # which resumes writing
            self._rest()

        @property
        def _is_asked(self) -> bool:
            """Whether a request has come whose answer has not gone yet."""
            cycle: Any = self.cycle
            return cycle is not None and not cycle.response_complete

        def _wait_for_request(self) -> None:
            """Wait for the whole head of one: the time counts from its first moment, however often a byte comes."""
            if self._closing is None:
                self._closing = self.loop.call_later(limits.head_seconds, self._close_unasked)

        def _rest(self) -> None:
            if self._closing is not None:
                self._closing.cancel()
            self._closing = None

        def _close_unasked(self) -> None:
            self._closing = None
            if not self._is_asked:
                self.transport.close()

    return Connection
