"""What a TAR file lists, packed with gzip, bzip2, xz or not at all."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import IO

from tlcore.damage import DAMAGE_ERRORS
from tlcore.errors import ArchiveError
from tlcore.intake.archives.members import CHUNK_BYTES, Member, SharedFile, spool
from tlcore.intake.archives.zip_files import drain, too_many_files
from tlcore.intake.limits import FILES, RATIO

# Names and headers need less; a header that claims to be long would be read into memory.
_MAX_HEADER_BYTES = 1 << 20
_RATIO_FLOOR_BYTES = 128_000_000
_MAX_DICTIONARY_BYTES = 1 << 27


def is_tar(file: IO[bytes]) -> bool:
    """Return whether a file is a TAR file, packed or not; it is left at its beginning."""
    head = file.read(512)
    file.seek(0)
    if head[257:262] == b"ustar":
        return True
    unpacked = _unpacked(file)
    if unpacked is None:
        return False
    found = b""
    with suppress(*DAMAGE_ERRORS):  # what is damaged at its beginning is named by its first bytes
        while len(found) < 512 and (chunk := next(unpacked, b"")):
            found += chunk
    file.seek(0)
    return found[257:262] == b"ustar"


def _unpacked(file: IO[bytes]) -> Iterator[bytes] | None:
    """Yield what is packed in a gzip, bzip2 or xz file, `None` if it is none of these."""
    head = file.read(6)
    file.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return _read(gzip.GzipFile(fileobj=file))
    if head.startswith(b"BZh"):
        return _read(bz2.BZ2File(file))
    return _unpacked_xz(file) if head.startswith(b"\xfd7zXZ") else None


def tar_members(file: IO[bytes], max_bytes: float) -> tuple[list[Member], IO[bytes]]:
    """Return what a TAR file lists, and the file from which it is read: a copy on disk if it was packed.

    Args:
        file: The file.
        max_bytes: What the copy may have.

    Raises:
        ArchiveError: If it has too many members or unpacks to too much.
        StorageError: If the disk is full.
    """
    size = file.seek(0, 2)
    file.seek(0)
    unpacked = _unpacked(file)
    if unpacked is not None:
        file = spool(unpacked, min(max_bytes, max(_RATIO_FLOOR_BYTES, RATIO.value * size)))
    try:
        return list(_members(file)), file
    except BaseException:
        if unpacked is not None:
            file.close()
        raise


def _members(file: IO[bytes]) -> Iterator[Member]:
    shared = SharedFile(file)
    with tarfile.open(fileobj=_Headers(file), mode="r:", encoding="utf-8", errors="surrogateescape") as listing:
        for number, info in enumerate(listing):
            if number >= FILES.value:
                raise ArchiveError(too_many_files())
            name = (info.name + "/" * info.isdir()).encode("utf-8", "surrogateescape")
            yield Member(name, info.size, _why_refused(info), partial(shared.chunks, info.offset_data, info.size))


def _why_refused(info: tarfile.TarInfo) -> str | None:
    if info.issparse():
        return "It is kept with holes in it, which is not read here. Make a ZIP file instead."
    if not (info.isreg() or info.isdir()):
        return "This is a link or a device, not a file. Put the picture itself into the archive."
    return None


class _Headers(io.RawIOBase):
    """A TAR file of which only headers are read: a forged one cannot have itself read into memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read  # type: ignore[method-assign]

    def read(self, size: int = -1) -> bytes:
        """Read a header."""
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise tarfile.ReadError("a header of more than a megabyte")
        return self._read(size)


def _read(file: IO[bytes] | gzip.GzipFile | bz2.BZ2File) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _unpacked_xz(file: IO[bytes]) -> Iterator[bytes]:
    """Yield what is packed in an xz file, which may be several after one another, within bounds of memory."""
    chunk = file.read(CHUNK_BYTES)
    while chunk:
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=2 * _MAX_DICTIONARY_BYTES)
        while chunk and not decompressor.eof:
            yield from drain(decompressor, chunk)
            chunk = decompressor.unused_data if decompressor.eof else file.read(CHUNK_BYTES)
        if not decompressor.eof:
            raise EOFError("the end is missing")
        chunk = chunk.lstrip(b"\0") or file.read(CHUNK_BYTES).lstrip(b"\0")
