"""A program that does nothing but decode: `python -m tlcore.intake.pictures.decoder`.

What it reads may be made to do harm, so it has little memory, little time, and nothing to lose: it is given bytes, and
gives back pixels. It asks before it takes much memory, and ends when whoever started it is gone.
"""

from __future__ import annotations

import json
import signal
import struct
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

import psutil
from PIL import AvifImagePlugin

from tlcore.damage import DAMAGE_ERRORS
from tlcore.errors import TransferLabError
from tlcore.intake.limits import DECODING_MB, DECODING_SECONDS
from tlcore.intake.pictures import decoding
from tlcore.intake.pictures.memory import EMPTY_PROGRAM_BYTES

LENGTH = struct.Struct("<I")
"""Goes before each message: how many bytes of JSON it has. These say the lengths of what follows."""

SMALL_BYTES = EMPTY_PROGRAM_BYTES + 16_000_000
"""A picture for which a program has no more than this altogether is decoded without asking."""

# Of address space, which the limit of the system counts, more is taken than used.
_SLACK_BYTES = 64_000_000
# Whoever started this program ends it sooner; this holds when nobody is there any more.
_LATER = 2.0


def send(stream: IO[bytes], head: dict[str, Any], parts: Sequence[bytes] = ()) -> None:
    """Write a message: what it is, then parts of any length."""
    text = json.dumps({**head, "lengths": [len(part) for part in parts]}).encode()
    stream.write(LENGTH.pack(len(text)) + text)
    for part in parts:
        stream.write(part)
    stream.flush()


def receive(stream: IO[bytes], most: int) -> tuple[dict[str, Any], list[bytes]]:
    """Read a message that `send` wrote.

    Args:
        stream: Where from.
        most: Bytes that it may have.

    Raises:
        EOFError: If the other side is gone.
        ValueError: If it is no such message, or longer.
    """
    [length] = LENGTH.unpack(_exactly(stream, LENGTH.size))
    if length > most:
        raise ValueError("too long")
    head = json.loads(_exactly(stream, length))
    lengths = [int(one) for one in head.pop("lengths")]
    if min(lengths, default=0) < 0 or sum(lengths) > most:
        raise ValueError("too long")
    return head, [_exactly(stream, one) for one in lengths]


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def main() -> None:
    """Decode one picture after another until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the server, and the pipe that closes then this program
    warnings.simplefilter("ignore")
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each thread of it keeps pictures of its own
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints is no answer
    _limit_memory()
    with suppress(EOFError, BrokenPipeError):
        while True:
            head, [data] = receive(requests, sys.maxsize)
            _limit_time()
            answer, parts = _answer(head, data, requests, answers)
            send(answers, answer, parts)


def _answer(
    head: dict[str, Any], data: bytes, requests: IO[bytes], answers: IO[bytes]
) -> tuple[dict[str, Any], list[bytes]]:
    """Return the answer to one request: what was made of the picture, or why it cannot be used."""

    def announce(needed: int) -> None:
        if needed > SMALL_BYTES:
            send(answers, {"needs": needed})
            receive(requests, 1000)

    grey_range = None if head["grey_range"] is None else (head["grey_range"][0], head["grey_range"][1])
    parts: list[bytes] = []
    answer: dict[str, Any] = {}
    try:
        if head["kind"] == "grey":
            measured = decoding.measure_grey(data, announce)
            answer["grey"] = (
                None
                if measured is None
                else {name: getattr(measured, name) for name in ("is_float", "count", "beyond", "low", "high")}
            )
        else:
            clean, pixels = None, None
            if head["kind"] == "picture":
                clean = decoding.read_image(data, grey_range, announce)
            elif head["kind"] == "pixels":
                pixels = decoding.pixels_of(data, grey_range, announce)
            else:
                clean, pixels = decoding.read_with_pixels(data, grey_range, announce)
            if clean is not None:
                answer |= {"width": clean.width, "height": clean.height, "note": clean.note}
                parts += [clean.data, clean.thumbnail]
            if pixels is not None:
                answer["shape"] = pixels.shape
                parts.append(pixels.tobytes())
    except TransferLabError as error:
        answer, parts = {"refused": str(error)}, []
    except MemoryError:
        answer, parts = {"refused": decoding.too_much_memory()}, []
    except DAMAGE_ERRORS:  # by what Pillow does after decoding, such as turning and writing it anew
        answer, parts = {"refused": decoding.DAMAGED}, []
    return answer, parts


def _limit_memory() -> None:
    """Let the system refuse what is beyond the limit, where it can; elsewhere the one who started this watches."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        memory = psutil.Process().memory_info()
        most = int(memory.vms - memory.rss + DECODING_MB.value * 1e6 + _SLACK_BYTES)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time() -> None:
    """Let the system end this program when a picture takes far too long, where it can."""
    with suppress(AttributeError):
        signal.setitimer(signal.ITIMER_PROF, _LATER * DECODING_SECONDS.value)


if __name__ == "__main__":
    main()
