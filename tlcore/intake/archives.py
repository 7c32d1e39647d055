"""A ZIP file from anywhere becomes a list of safe entries and a list of refused ones; nothing is unpacked to disk."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tlcore.damage import DAMAGE_ERRORS
from tlcore.errors import ArchiveError, ImageError
from tlcore.intake.names import printable, split_path
from tlcore.intake.signatures import archive_kind

MAX_ENTRIES = 50_000
MAX_TOTAL_BYTES = 2_000_000_000
MAX_ENTRY_BYTES = 128_000_000
# A plain picture without noise shrinks a thousand times and is honest; a bomb needs both, ratio and size.
MAX_RATIO = 200
RATIO_FLOOR_BYTES = 8_000_000
MAX_DEPTH = 32
# The directory of 50,000 entries with long names; what claims more is a trap for the memory.
_MAX_DIRECTORY_BYTES = 20_000_000
_CHUNK_BYTES = 1 << 18
_LOCAL_HEADER_BYTES = 30
_ENCRYPTED = 0x1
_UTF8_NAME = 0x800
_BROKEN = "The ZIP file is incomplete or damaged. Make or upload it again."


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that is not used, and why.

    Attributes:
        name: Its name, made printable; text only.
        reason: What is wrong and what to do.
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """A file in a ZIP that may be read.

    Attributes:
        name: Its path in the ZIP, made printable; text only, never a path on disk.
        path_parts: Its folders and its name.
        size: Bytes that it says to have when unpacked.
        index: Its place in the directory of the ZIP; two entries may share a name.
    """

    name: str
    path_parts: tuple[str, ...]
    size: int
    index: int


class Archive:
    """An open ZIP file. Several threads may read from it.

    Attributes:
        entries: What may be read; nobody looked inside yet.
        refused: What may not, with reasons. Hidden files and those of operating systems are in neither list.
        empty_folders: Folders that hold nothing at all.
    """

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self._infos = file.infolist()
        self.entries: tuple[ArchiveEntry, ...] = ()
        self.refused: list[Refusal] = []
        self.empty_folders: tuple[tuple[str, ...], ...] = ()
        self._sort()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, entry: ArchiveEntry) -> bytes:
        """Unpack one entry into memory; it may never become longer than it says.

        Raises:
            ImageError: If its data is damaged or does not agree with the directory.
        """
        content = bytearray()
        try:
            with self._file.open(self._infos[entry.index]) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    content += chunk
                    if len(content) > entry.size:
                        raise ImageError("The file is longer than the ZIP says. Make the ZIP again.")
        except DAMAGE_ERRORS as error:
            raise ImageError("The file is damaged inside the ZIP. Make the ZIP again.") from error
        return bytes(content)

    def _sort(self) -> None:
        overlapping = _overlapping(self._infos, self._file.start_dir)
        entries: list[ArchiveEntry] = []
        folders: list[tuple[str, ...]] = []
        num_encrypted = 0
        for index, info in enumerate(self._infos):
            raw = _entry_name(info)
            name = printable(raw)
            parts = split_path(raw)
            is_folder = raw.endswith(("/", "\\"))
            if False:
                continue
            if parts is None or not (parts or is_folder):
                self.refused.append(Refusal(name, "Its path is absolute or leaves the ZIP. Make the ZIP again."))
            elif is_folder:
                folders.append(parts)
            elif reason := _why_refused(info, parts, index in overlapping):
                num_encrypted += info.flag_bits & _ENCRYPTED
                self.refused.append(Refusal(name, reason))
            else:
                entries.append(ArchiveEntry(name, parts, info.file_size, index))
        if num_encrypted and not entries:
            raise ArchiveError("The ZIP file has a password. Make it again without one.")
        total = sum(entry.size for entry in entries)
        if total > MAX_TOTAL_BYTES:
            raise ArchiveError(
                f"The ZIP file unpacks to {total / 1e9:,.1f} GB; the limit is {MAX_TOTAL_BYTES / 1e9:.0f} GB. "
                "Make the pictures smaller, or send several ZIP files."
            )
        if not (entries or self.refused or folders):
            raise ArchiveError("The ZIP file holds no pictures. Put one folder of pictures per class into it.")
        self.entries = tuple(entries)
        self.empty_folders = _empty(folders, entries)


def open_archive(path: Path) -> Archive:
    """Open a ZIP file and sort its entries; nothing is unpacked yet.

    Args:
        path: The file. Its name does not matter.

    Raises:
        ArchiveError: If it is no ZIP, damaged, empty, protected by a password or too large.
    """
    try:
        with path.open("rb") as file:
            _check_whole(file)
        with ExitStack() as stack:
            archive = Archive(stack.enter_context(zipfile.ZipFile(path)))
            stack.pop_all()  # the archive closes it from now on
            return archive
    except FileNotFoundError as error:
        raise ArchiveError("The ZIP file is not there any more. Upload it again.") from error
    except DAMAGE_ERRORS as error:
        raise ArchiveError(_BROKEN) from error


def _check_whole(file: BinaryIO) -> None:
    """Judge a file by its beginning and its end, before its directory is read into memory."""
    head = file.read(512)
    if not head:
        raise ArchiveError("The file is empty. Make or upload it again.")
    kind = archive_kind(head)
    if kind is not None:
        raise ArchiveError(f"This is {kind} file. Unpack it and make a ZIP file of it.")
    size = file.seek(0, 2)
    file.seek(max(0, size - 65_536 - 22 - 20))
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or end + 22 > len(tail):
        if head.startswith(b"PK"):
            raise ArchiveError("The ZIP file is incomplete. Upload it again.")
        raise ArchiveError("This is not a ZIP file. Put your pictures into a ZIP file, one folder per class.")
    num_entries, directory_bytes = struct.unpack_from("<HL", tail, end + 10)
    if end >= 20 and tail[end - 20 : end - 16] == b"PK\x06\x07":  # the record of ZIP files beyond 4 GB or 65,535 files
        file.seek(struct.unpack_from("<Q", tail, end - 12)[0])
        record = file.read(56)
        if len(record) < 56 or not record.startswith(b"PK\x06\x06"):
            raise ArchiveError(_BROKEN)
        num_entries, directory_bytes = struct.unpack_from("<QQ", record, 32)
    if num_entries > MAX_ENTRIES or directory_bytes > _MAX_DIRECTORY_BYTES:
        raise ArchiveError(
            f"The ZIP file holds more than {MAX_ENTRIES:,} files, which is the limit. Send several smaller ZIP files."
        )


def _entry_name(info: zipfile.ZipInfo) -> str:
    """Return the name as it was meant: many programs write UTF-8 without saying so."""
    if info.flag_bits & _UTF8_NAME:
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.orig_filename


def _why_refused(info: zipfile.ZipInfo, parts: tuple[str, ...], overlaps: bool) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "This is a link or a device, not a file. Put the picture itself into the ZIP."
    if info.flag_bits & _ENCRYPTED:
        return "It has a password. Make the ZIP again without one."
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "It is packed in an unusual way. Make the ZIP again with the normal method (Deflate)."
    if len(parts) > MAX_DEPTH:
        return f"It lies more than {MAX_DEPTH} folders deep. Use one folder per class."
    if overlaps:
        return "It shares its bytes with another file, as in damaged or harmful ZIP files. Make the ZIP again."
    if info.file_size > MAX_ENTRY_BYTES:
        return (
            f"It has {info.file_size / 1e6:,.0f} MB; the limit is {MAX_ENTRY_BYTES / 1e6:.0f} MB. Save a smaller copy."
        )
    if info.file_size > max(RATIO_FLOOR_BYTES, MAX_RATIO * info.compress_size):
        return "It unpacks to far more than a picture would, as in harmful ZIP files. Save the picture as JPEG."
    return None


def _overlapping(infos: list[zipfile.ZipInfo], directory_start: int) -> set[int]:
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


def _empty(folders: Iterable[tuple[str, ...]], entries: Iterable[ArchiveEntry]) -> tuple[tuple[str, ...], ...]:
    listed = dict.fromkeys(parts for parts in folders if parts)
    filled = {entry.path_parts[:depth] for entry in entries for depth in range(1, len(entry.path_parts))}
    filled |= {parts[:depth] for parts in listed for depth in range(1, len(parts))}
    return tuple(parts for parts in listed if parts not in filled)
