"""Pictures that a person brings, decoded in programs of their own: one that breaks costs one picture and no server.

A decoder has limits of memory and time. It is kept warm for the next picture, and replaced when it breaks or takes too
long; what all of them together take is limited too, so that large pictures are decoded one after the other.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from tlcore.errors import ImageError
from tlcore.intake.limits import DECODING_MB, DECODING_SECONDS
from tlcore.intake.pictures.decoder import receive, send
from tlcore.intake.pictures.decoding import CleanImage, too_much_memory
from tlcore.intake.pictures.grey import GreyRange, GreyStatistics
from tlcore.intake.pictures.memory import EMPTY_PROGRAM_BYTES
from tlcore.intake.pictures.pixels import MAX_SIDE

MAX_DECODERS = 8
BESIDE_SHARE = 0.5
"""Beside a picture that takes all the memory it may, the other decoders have so much of that together."""
# glibc keeps freed memory in the end; so it gives back at once what a large picture took. Others do not know these.
_GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": str(1 << 22), "MALLOC_TRIM_THRESHOLD_": str(1 << 24)}
# A file of this size is not even sent before all the memory is free: it would wait in its decoder.
_LARGE_FILE_BYTES = 16_000_000
_ROOT_DIR = Path(__file__).resolve().parents[3]
_MODULE = "tlcore.intake.pictures.decoder"
_PNG, _DEPTH_OF_PNG, _DEEP = b"\x89PNG\r\n\x1a\n", slice(24, 25), b"\x10"
# A clean picture, its thumbnail and its pixels have less than 3 MB; an answer is never believed to be longer.
_MAX_ANSWER_BYTES = 8_000_000
_LOOK_SECONDS = 0.1
# On a busy computer a picture waits for its processor. One that waits so long hangs.
_MAX_WAIT_SECONDS = 60.0
_END_SECONDS = 2.0
_BROKE = (
    "The program that decodes pictures broke over this one: it is damaged, or made to do harm. Open it in a photo "
    "program and save it again."
)


def read_image(data: bytes, grey_range: GreyRange | None = None) -> CleanImage:
    """Return what `decoding.read_image` does, decoded in a program of its own; arguments and errors as there."""
    answer, parts = decoders().ask("picture", data, grey_range)
    return _clean(answer, parts)


def pixels_of(data: bytes, grey_range: GreyRange | None = None) -> NDArray[np.uint8]:
    """Return what `decoding.pixels_of` does, decoded in a program of its own; arguments and errors as there."""
    answer, parts = decoders().ask("pixels", data, grey_range)
    return _pixels(answer, parts[-1])


def read_with_pixels(data: bytes, grey_range: GreyRange | None = None) -> tuple[CleanImage, NDArray[np.uint8]]:
    """Return what `decoding.read_with_pixels` does, decoded in a program of its own; arguments and errors as there."""
    answer, parts = decoders().ask("both", data, grey_range)
    return _clean(answer, parts), _pixels(answer, parts[-1])


def measure_grey(data: bytes) -> GreyStatistics | None:
    """Return what `decoding.measure_grey` does, decoded in a program of its own; arguments as there."""
    if data[:8] == _PNG and data[_DEPTH_OF_PNG] != _DEEP:
        return None  # most pictures of a set of PNG files, and nothing has to be decoded to see it
    try:
        answer, _ = decoders().ask("grey", data, None)
    except ImageError:
        return None
    found = answer["grey"]
    return None if found is None else GreyStatistics(**{**found, "beyond": tuple(found["beyond"])})


def warm() -> None:
    """Start a decoder, if there is none, for the first picture that is to come; returns at once."""
    decoders().warm()


class _BrokenError(Exception):
    """A decoder ended without an answer."""


class Decoder:
    """One program that decodes, and the pipes to it."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(_ROOT_DIR), *filter(None, [os.environ.get("PYTHONPATH")])])
        no_window: dict[str, Any] = {}
        if sys.platform == "win32":
            no_window = {"creationflags": subprocess.CREATE_NO_WINDOW}
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            cwd=_ROOT_DIR,
            # One thread: several would each take memory, and the decoders share the processors already.
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **_GIVE_BACK},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            **no_window,
        )
        self._widen_pipes()
        self._watched: psutil.Process | None = None
        self._began = self._busy_before = self._most_seconds = self._most_bytes = 0.0
        self.refusal = ""

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send(self, head: dict[str, Any], parts: tuple[bytes, ...] = ()) -> None:
        """Give it something to do."""
        assert self._process.stdin is not None
        send(self._process.stdin, head, parts)

    def receive(self) -> tuple[dict[str, Any], list[bytes]]:
        """Wait for what it says."""
        assert self._process.stdout is not None
        return receive(self._process.stdout, _MAX_ANSWER_BYTES)

    def begin(self) -> None:
        """Note that a picture begins: its time and memory are watched from now on."""
        self._began, self._watched, self.refusal = time.monotonic(), None, ""
        self._most_seconds, self._most_bytes = DECODING_SECONDS.value, DECODING_MB.value * 1e6

    def look(self) -> None:
        """End it if its picture takes too much time or memory."""
        with suppress(psutil.Error):
            if self._watched is None:
                self._watched = psutil.Process(self._process.pid)
                self._busy_before = _busy_seconds(self._watched)
            busy = _busy_seconds(self._watched) - self._busy_before
            if busy > self._most_seconds or time.monotonic() - self._began > _MAX_WAIT_SECONDS:
                self._refuse(
                    f"Decoding this picture takes longer than {DECODING_SECONDS} seconds. Save it smaller or as plain "
                    f"JPEG or PNG, or raise the setting {DECODING_SECONDS.setting}."
                )
            elif self._watched.memory_info().rss > self._most_bytes:
                self._refuse(too_much_memory())

    def _refuse(self, reason: str) -> None:
        self.refusal = reason
        self._process.kill()

    def end(self) -> None:
        """End it at once."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)

    def _widen_pipes(self) -> None:
        """Let a whole picture pass at once, where the system can: each half-full pipe costs a change of programs."""
        with suppress(ImportError, AttributeError, OSError):
            import fcntl

            for stream in (self._process.stdin, self._process.stdout):
                assert stream is not None
                fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


class _Memory:
    """What the decoders of a process may take together: as much as one picture may."""

    def __init__(self) -> None:
        self._taken = 0
        self._change = threading.Condition()

    @contextmanager
    def taken(self, needed: int) -> Iterator[None]:
        """Wait until so many bytes are free, or all are, and take them for a while."""
        with self._change:
            self._change.wait_for(lambda: not self._taken or self._taken + needed <= DECODING_MB.value * 1e6)
            self._taken += needed
        try:
            yield
        finally:
            with self._change:
                self._taken -= needed
                self._change.notify_all()


class Decoders:
    """Some decoders that any thread may ask; each starts when it is needed first.

    Args:
        number: How many there are at most.
    """

    def __init__(self, number: int) -> None:
        self._turns = threading.Semaphore(number)
        self._memory = _Memory()
        self._lock = threading.Lock()
        self._idle: list[Decoder] = []
        self._busy: set[Decoder] = set()
        self._work = threading.Condition(self._lock)
        self._watcher: threading.Thread | None = None
        self._is_closed = False

    @property
    def idle_pids(self) -> list[int]:
        """The processes of those that wait for a picture."""
        with self._lock:
            return [decoder.pid for decoder in self._idle]

    def warm(self) -> None:
        """Start a decoder if there is none."""
        with self._lock:
            if not self._idle and not self._busy and not self._is_closed:
                with suppress(OSError):  # said when there is a picture
                    self._idle.append(Decoder())

    def ask(self, kind: str, data: bytes, grey_range: GreyRange | None) -> tuple[dict[str, Any], list[bytes]]:
        """Return what a decoder makes of a picture.

        Raises:
            ImageError: With why it cannot be used.
        """
        if EMPTY_PROGRAM_BYTES + len(data) > DECODING_MB.value * 1e6:
            raise ImageError(too_much_memory(EMPTY_PROGRAM_BYTES + len(data)))
        head = {"kind": kind, "grey_range": grey_range}
        try:
            answer, parts = self._ask_one(head, data)
        except _BrokenError:  # by the picture, or ended from outside, as by a system that is short of memory
            try:
                answer, parts = self._ask_one(head, data)
            except _BrokenError as error:
                raise ImageError(_BROKE) from error
        if "refused" in answer:
            raise ImageError(str(answer["refused"])[:1000])
        return answer, parts

    def _ask_one(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], list[bytes]]:
        """Return what one decoder answers; raise `ImageError` if it had to be ended, `_BrokenError` if it broke."""
        with self._turns, self._decoder() as decoder, ExitStack() as stack:
            try:
                if is_large := len(data) > _LARGE_FILE_BYTES:
                    self._rest(decoder)
                    stack.enter_context(self._memory.taken(int(DECODING_MB.value * 1e6)))
                    self._watch(decoder)
                decoder.send(head, (data,))
                answer, parts = decoder.receive()
                if "needs" in answer:
                    if not is_large:
                        self._rest(decoder)
                        stack.enter_context(self._memory.taken(int(answer["needs"])))
                        self._watch(decoder)
                    decoder.send({})
                    answer, parts = decoder.receive()
            except (EOFError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                self._rest(decoder)
                if decoder.refusal:
                    raise ImageError(decoder.refusal) from error
                raise _BrokenError from error
        return answer, parts

    @contextmanager
    def _decoder(self) -> Iterator[Decoder]:
        """Take an idle decoder, or a new one; it goes back unless it broke or was interrupted."""
        with self._lock:
            decoder = self._idle.pop() if self._idle else None
        if decoder is not None and not decoder.is_alive:
            decoder.end()
            decoder = None
        try:
            decoder = decoder or Decoder()
        except OSError as error:
            raise ImageError(
                f"The program that decodes pictures does not start ({error.strerror}). Close others and add the "
                "picture again."
            ) from error
        is_whole = False
        try:
            self._watch(decoder)
            yield decoder
            is_whole = True
        finally:
            self._rest(decoder)
            if is_whole and not decoder.refusal:
                with self._lock:
                    self._idle.append(decoder)
            else:
                decoder.end()

    def _watch(self, decoder: Decoder) -> None:
        decoder.begin()
        with self._lock:
            self._busy.add(decoder)
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._look_after, name="decoders", daemon=True)
                self._watcher.start()
            if len(self._busy) == 1:
                self._work.notify()

    def _rest(self, decoder: Decoder) -> None:
        with self._lock:
            self._busy.discard(decoder)

    def _look_after(self) -> None:
        """Look again and again at those that are busy."""
        while True:
            with self._lock:
                while not self._busy:
                    self._work.wait()
            time.sleep(_LOOK_SECONDS)
            with self._lock:
                for decoder in self._busy:
                    decoder.look()

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            self._is_closed = True
            ending, self._idle = [*self._idle, *self._busy], []
        for decoder in ending:
            decoder.end()


def number_of_decoders() -> int:
    """Return how many decoders a process keeps: one for each processor, as long as their memory stays limited.

    Each takes memory even when it waits or has a small picture. With 400 MB for one picture all of them stay below 600,
    however many processors there are.
    """
    beside = int(BESIDE_SHARE * DECODING_MB.value * 1e6 / EMPTY_PROGRAM_BYTES)
    return max(2, min(os.cpu_count() or 2, MAX_DECODERS, 1 + beside))


@cache
def decoders() -> Decoders:
    """Return the decoders of this process; they end with it, however it ends."""
    made = Decoders(number_of_decoders())
    atexit.register(made.close)
    return made


def _busy_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _clean(answer: dict[str, Any], parts: list[bytes]) -> CleanImage:
    return CleanImage(parts[0], int(answer["width"]), int(answer["height"]), parts[1], answer["note"])


def _pixels(answer: dict[str, Any], data: bytes) -> NDArray[np.uint8]:
    height, width, bands = answer["shape"]
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE and bands == 3 and len(data) == height * width * bands):
        raise ImageError(_BROKE)
    return np.frombuffer(bytearray(data), np.uint8).reshape(height, width, bands)
