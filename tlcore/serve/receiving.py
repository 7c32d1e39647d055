"""One picture out of a request: nothing of it is read before its length is known to be allowed, or beyond that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

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
HANG_UP = {"Connection": "close"}
"""Otherwise the rest of the picture may still come on this line, for ever."""

ONE_PICTURE = f"Send one picture in a request, in the form field `{FIELD}`. For several, send several requests."


@dataclass(frozen=True, slots=True)
class Limits:
    """What the service takes.

    Attributes:
        megabytes: Of one picture's file.
        at_once: Requests with a picture that are received or answered at the same time; further ones are told to wait.
        seconds: How long sending a picture may take.
    """

    megabytes: float = 16.0
    at_once: int = 32
    seconds: float = 30.0

    @property
    def bytes(self) -> int:
        """The most bytes of a picture's file."""
        return int(self.megabytes * 1e6)


class Places:
    """The places for requests with a picture: who finds none is told so at once, instead of waiting in a long line."""

    def __init__(self, number: int) -> None:
        self._free = number

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a place for a while; only the thread of the event loop may call it.

        Raises:
            HTTPException: If all are taken.
        """
        if not self._free:
            raise HTTPException(
                503, "Too many pictures at once. Send this one again in a second.", headers={"Retry-After": "1"}
            )
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


async def receive_picture(request: Request, limits: Limits) -> bytes:
    """Return the bytes of the picture in a request: its whole body, or the one file of its form.

    Raises:
        HTTPException: If there is none, or more than one, or it is too large, or comes too slowly.
    """
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
        async with asyncio.timeout(limits.seconds):
            body = await _receive(request, most)
    except TimeoutError as error:
        raise HTTPException(
            408,
            f"The picture took longer than {limits.seconds:g} seconds to arrive. Send a smaller copy of it.",
            headers=HANG_UP,
        ) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "The picture did not arrive whole. Send it again.") from error
    picture = await _of_form(request, body) if is_form and body is not None else body
    if picture is None or len(picture) > limits.bytes:
        await _throw_away(request, limits)
        raise HTTPException(
            413,
            f"The picture has more than {limits.megabytes:g} MB, which is the limit here. Send a smaller copy of it.",
            headers=HANG_UP,
        )
    if not picture:
        raise HTTPException(422, "The picture is empty: there is no byte in it. Choose a picture and send it again.")
    return picture


async def _receive(request: Request, most: int) -> bytes | None:
    """Return the body; `None` if it is longer than allowed, of which as little as possible is read."""
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > most:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


async def _throw_away(request: Request, limits: Limits) -> None:
    """Let somebody who is sending send on for a moment, and keep nothing: many read no answer before they are done."""
    left = THROWN_AWAY * limits.bytes
    with suppress(TimeoutError):
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
