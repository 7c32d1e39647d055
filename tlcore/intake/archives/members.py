"""A file in an archive, whatever kind of archive it is."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tlcore.damage import DAMAGE_ERRORS
from tlcore.errors import ArchiveError, ImageError
from tlcore.home import storage_error
from tlcore.intake.limits import ARCHIVE_GB

CHUNK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Member:
    """A file or folder as an archive lists it; nothing is decided about it yet.

    Attributes:
        name: Its path: bytes where the archive does not say their encoding. A folder's ends with a slash.
        size: Bytes that it says to have when unpacked.
        why_refused: Why it cannot be read; `None` if it can.
        unpack: Yields its bytes, at most `CHUNK_BYTES` at once. Several threads may call it.
    """

    name: bytes | str
    size: int
    why_refused: str | None
    unpack: Callable[[], Iterator[bytes]]

    def chunks(self) -> Iterator[bytes]:
        """Yield its bytes; it may never become longer than it says.

        Raises:
            ImageError: If its data is damaged or does not agree with what the archive says.
        """
        total = 0
        try:
            for chunk in self.unpack():
                total += len(chunk)
                if total > self.size:
                    break
                yield chunk
        except DAMAGE_ERRORS as error:
            raise ImageError("The file is damaged inside the archive. Make the archive again.") from error
        if total > self.size:
            raise ImageError("The file is longer than the archive says. Make the archive again.")
        if total < self.size:
            raise ImageError("The file is damaged inside the archive: its end is missing. Make the archive again.")


class SharedFile:
    """A file from which several threads read, each at places of its own."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()

    def at(self, start: int, size: int) -> bytes:
        """Return at most `size` bytes from a place on."""
        with self._lock:
            self._file.seek(start)
            return self._file.read(size)

    def chunks(self, start: int, size: int) -> Iterator[bytes]:
        """Yield the bytes from a place on, fewer if the file ends before."""
        end = start + size
        while start < end and (chunk := self.at(start, min(CHUNK_BYTES, end - start))):
            yield chunk
            start += len(chunk)


def spool(chunks: Iterator[bytes], max_bytes: float) -> IO[bytes]:
    """Return an unnamed file on disk with these bytes, from which any place can be read.

    Raises:
        ArchiveError: If there are more than `max_bytes`.
        StorageError: If the disk is full.
    """
    copy = tempfile.TemporaryFile()  # noqa: SIM115  (whoever called closes it)
    try:
        total = 0
        for chunk in chunks:
            total += len(chunk)
            if total > max_bytes:
                raise ArchiveError(f"It unpacks to far more than an archive of pictures would. {ARCHIVE_GB.way_out}")
            try:
                copy.write(chunk)
            except OSError as error:
                raise storage_error(error, Path(tempfile.gettempdir()) / "archive") from error
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return copy
