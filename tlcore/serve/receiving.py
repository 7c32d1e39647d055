"""One picture out of a request: nothing of it is read before its length is known to be allowed, or beyond that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

FIELD = "picture"
MULTIPART = "multipart/form-data"
BYTES = "application/octet-stream"
AROUND_PICTURE_BYTES = 10_000
"""What a form may add to its picture: boundaries, headers, the name of the file."""
THROWN_AWAY = 4
"""So many times the most that is allowed is taken from the line before a too long picture is refused."""
THROWN_AWAY_SECONDS = 0.3
"""Nobody who sends pauses longer."""
SLOW_ONES = 4
"""So many times as many pictures may be coming as are answered."""
LEAST_CONNECTIONS = 64
HEAD_SECONDS = 10.0
"""So long may a connection take until it has asked for something."""
HANG_UP = {"Connection": "close"}
"""Otherwise the rest of the picture may still come on this line, for ever."""

ONE_PICTURE = f"Send one picture in a request, in the form field `{FIELD}`. For several, send several requests."


@dataclass(frozen=True, slots=True)
class Limits:
    """What the service takes.

    Attributes:
        megabytes: Of one picture's file.
        at_once: Pictures that are answered at the same time, and so many of the largest are kept while they come;
            further ones are told to wait.
        seconds: How long sending a picture, or reading an answer, may take.
    """

    megabytes: float = 16.0
    at_once: int = 32
    seconds: float = 30.0

    @property
    def bytes(self) -> int:
        """The most bytes of a picture's file."""
        return int(self.megabytes * 1e6)

    @property
    def receiving(self) -> int:
        """The most pictures that may be coming: more than are answered, because coming slowly costs little."""
        return SLOW_ONES * self.at_once

    @property
    def connections(self) -> int:
        """The most connections: browsers keep some that they do not use."""
        return max(LEAST_CONNECTIONS, 2 * self.receiving)

    @property
    def head_seconds(self) -> float:
        """How long a connection may take until it has asked for something."""
        return min(HEAD_SECONDS, self.seconds)


class _NoRoomError(Exception):
    """There is no room for the bytes that have come."""


class Places:
    """The places for pictures: who finds none is told so at once, instead of waiting in a long line.

    Those that come have other places than those that are answered, so that nobody who sends slowly keeps the model from
    others. Only the thread of the event loop may call it.
    """

    def __init__(self, limits: Limits) -> None:
        self._coming, self._answered = limits.receiving, limits.at_once
        self._bytes = limits.at_once * (limits.bytes + AROUND_PICTURE_BYTES)

    @contextmanager
    def coming(self) -> Iterator[Callable[[int], None]]:
        """Take a place for a picture that comes; what is yielded is told of each of its bytes that are kept.

        Raises:
            HTTPException: If all are taken.
        """
        if not self._coming:
            raise _too_many()
        kept = 0

        def keep(size: int) -> None:
            nonlocal kept
            if size > self._bytes:
                raise _NoRoomError
            self._bytes -= size
            kept += size

        self._coming -= 1
        try:
            yield keep
        finally:
            self._coming += 1
            self._bytes += kept

    @contextmanager
    def answered(self) -> Iterator[None]:
        """Take a place for a picture that is there.

        Raises:
            HTTPException: If all are taken.
        """
        if not self._answered:
            raise _too_many()
        self._answered -= 1
        try:
            yield
        finally:
            self._answered += 1


def _too_many(headers: Mapping[str, str] = MappingProxyType({})) -> HTTPException:
    return HTTPException(
        503, "Too many pictures at once. Send this one again in a second.", headers={"Retry-After": "1", **headers}
    )


async def receive_picture(request: Request, limits: Limits, places: Places) -> bytes:
    """Return the bytes of the picture in a request: its whole body, or the one file of its form.

    Raises:
        HTTPException: If there is none, or more than one, or it is too large, or comes too slowly, or too many come.
    """
    # One time for all of it: also for what is thrown away, which keeps no place.
    deadline = asyncio.get_running_loop().time() + limits.seconds
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_form = kind == MULTIPART
    if not (is_form or kind.startswith("image/") or kind == BYTES):
        raise HTTPException(
            415,
            f"Send the bytes of a picture with the header `Content-Type: image/jpeg` (or another image/...), or a form "
            f"({MULTIPART}) with the picture in the field `{FIELD}`.",
        )
    most = limits.bytes + (AROUND_PICTURE_BYTES if is_form else 0)
    try:
        with places.coming() as keep:
            async with asyncio.timeout_at(deadline):
                body = await _receive(request, most, keep)
            picture = await _of_form(request, body) if is_form and body is not None else body
    except TimeoutError as error:
        raise HTTPException(
            408,
            f"The picture took longer than {limits.seconds:g} seconds to arrive. Send a smaller copy of it.",
            headers=HANG_UP,
        ) from error
    except _NoRoomError as error:
        await _throw_away(request, limits, deadline)
        raise _too_many(HANG_UP) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "The picture did not arrive whole. Send it again.") from error
    if picture is None or len(picture) > limits.bytes:
        await _throw_away(request, limits, deadline)
        raise HTTPException(
            413,
            f"The picture has more than {limits.megabytes:g} MB, which is the limit here. Send a smaller copy of it.",
            headers=HANG_UP,
        )
    if not picture:
        raise HTTPException(422, "The picture is empty: there is no byte in it. Choose a picture and send it again.")
    return picture


async def _receive(request: Request, most: int, keep: Callable[[int], None]) -> bytes | None:
    """Return the body; `None` if it is longer than allowed, of which as little as possible is read."""
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > most:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return None
        keep(len(chunk))
    return bytes(body)


async def _throw_away(request: Request, limits: Limits, deadline: float) -> None:
    """Let somebody who is sending send on for a moment, and keep nothing: many read no answer before they are done."""
    left = THROWN_AWAY * limits.bytes
    with suppress(TimeoutError):
        async with asyncio.timeout_at(deadline):
            while left > 0:
                async with asyncio.timeout(THROWN_AWAY_SECONDS):
                    message = await request.receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
                left -= len(message.get("body", b""))


async def _of_form(request: Request, body: bytes) -> bytes:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(request.headers, stream(), max_files=1, max_fields=0, max_part_size=AROUND_PICTURE_BYTES)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(422, f"This form cannot be read. {ONE_PICTURE}") from error
    found = form.get(FIELD)
    if not isinstance(found, UploadFile):
        raise HTTPException(422, f"There is no picture in this form. {ONE_PICTURE}")
    try:
        return await found.read()
    finally:
        await form.close()
