"""What a ZIP file lists, and how one file in it is unpacked; nothing is unpacked to disk."""

from __future__ import annotations

import bz2
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import IO

from tlcore.errors import ArchiveError, ImageError
from tlcore.intake.archives.members import CHUNK_BYTES, Member, SharedFile
from tlcore.intake.limits import FILES, RATIO

_RATIO_FLOOR_BYTES = 8_000_000
# The directory of 50,000 entries has this many bytes with long names; what claims more is a trap for the memory.
_DIRECTORY_BYTES_PER_FILE = 400
_MAX_DICTIONARY_BYTES = 1 << 26  # what the strongest setting of usual programs takes
_LOCAL_HEADER_BYTES = 30
_ENCRYPTED = 0x1
_UTF8_NAME = 0x800
_UNICODE_PATH = 0x7075
_BROKEN = "The ZIP file is incomplete or damaged. Make or upload it again."
PASSWORD = "It has a password. Make the ZIP again without one."
IN_PARTS = (
    "This is one part of an archive in several parts. Put all parts into one folder, unpack the first one, and make "
    "a ZIP file of what comes out."
)
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_METHOD_NAMES = {9: "with Deflate64", 93: "with Zstandard", 95: "with XZ", 98: "with PPMd"}


def zip_members(file: IO[bytes]) -> list[Member]:
    """Return what a ZIP file lists; its content is not looked at.

    Raises:
        ArchiveError: If it is no ZIP, cut off, one of several parts, or has too many entries.
    """
    check_whole(file)
    directory = zipfile.ZipFile(file)
    shared = SharedFile(file)
    infos = directory.infolist()
    overlapping = _overlapping(infos, directory.start_dir)
    return [
        Member(
            _entry_name(info),
            info.file_size,
            _why_refused(info, index in overlapping),
            partial(_unpack, info, shared),
        )
        for index, info in enumerate(infos)
    ]


def _packing_reason(method: int) -> str:
    """Return why a method of packing is not read, and what to do."""
    how = _METHOD_NAMES.get(method, "in an unusual way")
    return f"Packed {how}, which is not read here: unpack it and make the ZIP again with the normal method (Deflate)."


def check_whole(file: IO[bytes]) -> None:
    """Judge a file by its beginning and its end, before its directory is read into memory.

    Raises:
        ArchiveError: If it is no ZIP, cut off, one of several parts, or has too many entries.
    """
    head = file.read(4)
    size = file.seek(0, 2)
    file.seek(max(0, size - 65_536 - 22 - 20))
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or end + 22 > len(tail):
        if head == b"PK\x07\x08":
            raise ArchiveError(IN_PARTS)
        if head.startswith(b"PK"):
            raise ArchiveError("The ZIP file is incomplete. Upload it again.")
        raise ArchiveError("This is not a ZIP file. Put your pictures into a ZIP file, one folder per class.")
    this_disk, _, _, num_entries, directory_bytes = struct.unpack_from("<HHHHL", tail, end + 4)
    if this_disk not in (0, 0xFFFF):
        raise ArchiveError(IN_PARTS)
    if end >= 20 and tail[end - 20 : end - 16] == b"PK\x06\x07":  # the record of ZIP files beyond 4 GB or 65,535 files
        file.seek(struct.unpack_from("<Q", tail, end - 12)[0])
        record = file.read(56)
        if len(record) < 56 or not record.startswith(b"PK\x06\x06"):
            raise ArchiveError(_BROKEN)
        num_entries, directory_bytes = struct.unpack_from("<QQ", record, 32)
    if num_entries > FILES.value or directory_bytes > max(20_000_000, FILES.value * _DIRECTORY_BYTES_PER_FILE):
        raise ArchiveError(too_many_files())


def too_many_files() -> str:
    """Return what to say of an archive with more files than the limit."""
    return f"The archive holds more than {FILES} files, which is the limit. {FILES.way_out}"


def _entry_name(info: zipfile.ZipInfo) -> bytes | str:
    """Return the name as it was meant, or its bytes where the ZIP does not say their encoding."""
    if info.flag_bits & _UTF8_NAME:
        return info.orig_filename
    raw = info.orig_filename.encode("cp437")  # Python has decoded it so; every byte has a character there
    return _unicode_path(info.extra, raw) or raw


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """Return the name in Unicode that Info-ZIP and others write beside the old one, unless it is of another name."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and field[:1] == b"\x01" and field[1:5] == struct.pack("<L", zlib.crc32(raw)):
            return field[5:].decode("utf-8", "replace")
    return None


def _why_refused(info: zipfile.ZipInfo, overlaps: bool) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "This is a link or a device, not a file. Put the picture itself into the ZIP."
    if info.flag_bits & _ENCRYPTED:
        return PASSWORD
    if info.compress_type not in _METHODS:
        return _packing_reason(info.compress_type)
    if overlaps:
        return "It shares its bytes with another file, as in damaged or harmful ZIP files. Make the ZIP again."
    if info.file_size > _RATIO_FLOOR_BYTES and info.file_size > RATIO.value * info.compress_size:
        return "It unpacks to far more than a picture would, as in harmful ZIP files. Save the picture as JPEG."
    return None


def _overlapping(infos: Sequence[zipfile.ZipInfo], directory_start: int) -> set[int]:
    """Return the entries whose bytes begin inside an earlier one, or reach into the directory.

    Such ZIP files use the same compressed bytes many times over.

    Source:
        https://github.com/python/cpython/issues/109858
    """
    found = set()
    end = 0
    for index in sorted(range(len(infos)), key=lambda i: infos[i].header_offset):
        info = infos[index]
        own_end = info.header_offset + _LOCAL_HEADER_BYTES + len(info.orig_filename) + info.compress_size
        if info.header_offset < end or own_end > directory_start:
            found.add(index)
        end = max(end, own_end)
    return found


def _data_start(info: zipfile.ZipInfo, shared: SharedFile) -> int:
    header = shared.at(info.header_offset, _LOCAL_HEADER_BYTES)
    if len(header) < _LOCAL_HEADER_BYTES or not header.startswith(b"PK\x03\x04"):
        raise zipfile.BadZipFile("no header where the directory says")
    name_bytes, extra_bytes = struct.unpack_from("<HH", header, 26)
    name = shared.at(info.header_offset + _LOCAL_HEADER_BYTES, name_bytes)
    if name != info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8_NAME else "cp437"):
        raise zipfile.BadZipFile("the directory gives the file another name")
    return int(info.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes)


def _unpack(info: zipfile.ZipInfo, shared: SharedFile) -> Iterator[bytes]:
    """Yield the bytes of one file, in small pieces: `zipfile` would unpack a bomb of bzip2 or LZMA in one go."""
    packed = shared.chunks(_data_start(info, shared), info.compress_size)
    checksum = 0
    for chunk in _UNPACKERS[info.compress_type](packed):
        checksum = zlib.crc32(chunk, checksum)
        yield chunk
    if checksum != info.CRC:
        raise zipfile.BadZipFile("the checksum is another one")


def _inflate(packed: Iterator[bytes]) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    for chunk in packed:
        while chunk and not decompressor.eof:
            yield decompressor.decompress(chunk, CHUNK_BYTES)
            chunk = decompressor.unconsumed_tail
    yield decompressor.flush()


def _unpack_lzma(packed: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    while len(head) < 9:
        head += next(packed)
    properties, dictionary_bytes = head[4], struct.unpack_from("<L", head, 5)[0]
    if dictionary_bytes > _MAX_DICTIONARY_BYTES:
        raise ImageError("It needs too much memory to unpack. Make the ZIP again with the normal method (Deflate).")
    settings = {"lc": properties % 9, "lp": properties // 9 % 5, "pb": properties // 45}
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": dictionary_bytes, **settings}]
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    yield from drain(decompressor, head[9:])
    for chunk in packed:
        yield from drain(decompressor, chunk)


def _unpack_bzip2(packed: Iterator[bytes]) -> Iterator[bytes]:
    decompressor = bz2.BZ2Decompressor()
    for chunk in packed:
        yield from drain(decompressor, chunk)


def drain(decompressor: bz2.BZ2Decompressor | lzma.LZMADecompressor, chunk: bytes) -> Iterator[bytes]:
    """Yield what comes out of a chunk of packed bytes, piece by piece."""
    while not decompressor.eof:
        yield decompressor.decompress(chunk, CHUNK_BYTES)
        if decompressor.needs_input:
            return
        chunk = b""


_UNPACKERS: dict[int, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    zipfile.ZIP_STORED: lambda packed: packed,
    zipfile.ZIP_DEFLATED: _inflate,
    zipfile.ZIP_BZIP2: _unpack_bzip2,
    zipfile.ZIP_LZMA: _unpack_lzma,
}
