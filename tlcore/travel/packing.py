"""A ZIP file that is made while it is sent: neither in memory nor on the disk."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file: the same project makes the same bytes."""


@dataclass(frozen=True, slots=True)
class TravellingFile:
    """A file that was packed: its name, its size and its SHA-256."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file that goes into the ZIP.

    Attributes:
        name: Its path in there.
        blocks: Yields its bytes.
        shrinks: Whether it gets smaller by being compressed, which pictures and weights do not.
    """

    name: str
    blocks: Callable[[], Iterator[bytes]]
    shrinks: bool = False


def pack(
    files: Iterable[Outgoing], last_name: str, last: Callable[[tuple[TravellingFile, ...]], bytes]
) -> Iterator[bytes]:
    """Yield a ZIP file, block by block.

    Args:
        files: What goes in.
        last_name: Name of one more file, which is compressed.
        last: Makes it of what went in, as its sizes and checksums are known by then.
    """
    outbox, packed = Outbox(), list[TravellingFile]()
    with zipfile.ZipFile(outbox, "w") as archive:
        for file in files:
            digest, size = hashlib.sha256(), 0
            info = zipfile.ZipInfo(file.name, _DATE)
            info.compress_type = zipfile.ZIP_DEFLATED if file.shrinks else zipfile.ZIP_STORED
            with archive.open(info, "w", force_zip64=True) as target:
                for block in file.blocks():
                    target.write(block)
                    digest.update(block)
                    size += len(block)
                    yield outbox.take()
            packed.append(TravellingFile(file.name, size, digest.hexdigest()))
        info = zipfile.ZipInfo(last_name, _DATE)
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, last(tuple(sorted(packed, key=lambda file: file.name))))
    yield outbox.take()


class Outbox(io.RawIOBase):
    """Keeps what was written until it is taken; has no position, which tells `zipfile` to write straight on."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def writable(self) -> bool:
        """Say that it takes bytes."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Keep bytes until they are taken."""
        self._written.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken, self._written = b"".join(self._written), []
        return taken
