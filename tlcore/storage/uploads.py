"""Files that a browser sends in pieces: announced, written into a staging folder, then asked for as an import."""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import msgspec

from tlcore.errors import DatasetError, NotFoundError, TransferLabError
from tlcore.home import DataRoot, storage_error
from tlcore.intake.archives.archive import ARCHIVE_SUFFIXES, Refusal, is_part, unread_kind
from tlcore.intake.archives.zip_files import IN_PARTS
from tlcore.intake.limits import FILES, UPLOAD_GB, why_too_large
from tlcore.intake.names import printable
from tlcore.intake.pictures.signatures import archive_kind
from tlcore.storage.requests import ImportRequest, StagedFile
from tlcore.storage.staging import PREFIX, make_staging_dir, note_coming, remove_staging_dir

MAX_NAME_LENGTH = 1000
"""Characters that a name with its folders may have."""

SPARE_BYTES = 1_000_000_000
"""What an upload leaves free on the disk: the pictures of it are stored too before its files go."""

HEAD_BYTES = 512
"""The first bytes of a file, which tell what kind of archive it is."""

MAX_PIECE_HEADER_BYTES = 1 << 17

COMING_SECONDS = 120
"""So long after its last piece an upload counts as one that comes in: browsers are closed without a word."""

_INDEX = "index.json"
_TAKEN = "taken.json"
_TAR_KINDS = ("a tar", "a gzip", "a bzip2", "an xz")
_DOCUMENT_ENDINGS = (".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub", ".jar", ".apk")
"""What is a ZIP file by its first bytes and no archive to a person."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A file that a browser is going to send.

    Attributes:
        name: Its name, after the names of its folders; text only.
        num_bytes: Its size.
        head: Its first `HEAD_BYTES` where its name does not say that it is a picture, else nothing.
    """

    name: str
    num_bytes: int
    head: bytes = b""


@dataclass(frozen=True, slots=True)
class Expected:
    """A file that was announced, and what is done with it.

    Attributes:
        name: Its name, after the names of its folders; text only.
        num_bytes: Its size.
        is_archive: Whether it is read as a ZIP or TAR file.
        refusal: Why it is not even sent; `None` when it is.
    """

    name: str
    num_bytes: int
    is_archive: bool = False
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class _Index:
    """What is written beside the files of an upload: whose they are, and which."""

    owner: str
    files: tuple[Expected, ...]


@dataclass(frozen=True, slots=True)
class Coming:
    """What a person's browsers are sending, or have sent for a job that has not ended.

    Attributes:
        uploads: How many uploads come in now.
        num_bytes: Bytes of all that was announced, whether it is there already or not.
    """

    uploads: int
    num_bytes: int


def begin_upload(
    files: Sequence[Announced],
    home: DataRoot,
    owner: str = "",
    check: Callable[[Coming], None] = lambda _coming: None,
) -> tuple[str, tuple[Expected, ...]]:
    """Make a staging folder for files that are going to come.

    Args:
        files: What the browser announces.
        home: The data root.
        owner: Whose files they are.
        check: Gets what this person brings, these files included, and raises when it is too much.

    Returns:
        The folder's name, and the files in their order. What their beginnings and sizes say already is said now, before
        gigabytes are sent in vain.

    Raises:
        DatasetError: If they are too many or too large.
        QuotaError: If `check` says that the person has too much.
        StorageError: If the disk has no room for them, or cannot be written.
    """
    if len(files) > FILES.value:
        raise DatasetError(
            f"These are {len(files):,} files; at most {FILES} can come at once. Bring them in several parts. Whoever "
            f"runs Transfer Lab can raise the limit: {FILES.setting}."
        )
    folder = make_staging_dir(home)
    try:
        expected = tuple(map(_expect, files))
        total = sum(file.num_bytes for file in expected if file.refusal is None)
        if total > UPLOAD_GB.value * 1e9:
            raise DatasetError(
                f"These files have {total / 1e9:,.1f} GB; at most {UPLOAD_GB} GB can come at once. Bring them in "
                f"several parts. Whoever runs Transfer Lab can raise the limit: {UPLOAD_GB.setting}."
            )
        free = shutil.disk_usage(folder).free - SPARE_BYTES
        if total > free:
            raise DatasetError(
                f"These files have {total / 1e9:,.1f} GB, and the disk of the computer that runs Transfer Lab has room "
                f"for {max(free, 0) / 1e9:,.1f} GB. Free some space there, or bring fewer files."
            )
        (folder / _INDEX).write_bytes(msgspec.json.encode(_Index(owner, expected)))
        # Of two that begin at the same moment each sees the other, so no more come in than may.
        check(coming_of(owner, home))
    except OSError as error:
        remove_staging_dir(folder.name, home)
        raise storage_error(error, folder) from error
    except TransferLabError:
        remove_staging_dir(folder.name, home)
        raise
    return folder.name, expected


def coming_of(owner: str, home: DataRoot) -> Coming:
    """Return what a person brings at this moment."""
    uploads = num_bytes = 0
    for folder in home.imports_dir.glob(f"{PREFIX}*"):
        with suppress(OSError, ValueError, msgspec.MsgspecError):  # it has just ended
            path = folder / _INDEX
            comes_in = path.exists()
            # What seems to come from the future came before a clock was set back; a piece that comes now mends that.
            if comes_in and abs(time.time() - path.stat().st_mtime) > COMING_SECONDS:
                continue
            index = _read_index(path if comes_in else folder / _TAKEN)
            if index.owner == owner:
                uploads += comes_in
                num_bytes += sum(file.num_bytes for file in index.files if file.refusal is None)
    return Coming(uploads, num_bytes)


def _expect(file: Announced) -> Expected:
    name, kind = file.name.lower(), archive_kind(file.head)
    is_single = "/" not in name  # an archive inside a folder of pictures is something that was left there
    if len(name) > MAX_NAME_LENGTH:
        too_long = f"Its name and those of its folders have more than {MAX_NAME_LENGTH:,} characters. Shorten them."
        return Expected(file.name, file.num_bytes, refusal=too_long)
    if is_part(name):
        return Expected(file.name, file.num_bytes, refusal=IN_PARTS)
    is_zip = file.head.startswith(b"PK") and not name.endswith(_DOCUMENT_ENDINGS)
    if is_single and (name.endswith(ARCHIVE_SUFFIXES) or is_zip or kind is not None):
        if kind is None or kind in _TAR_KINDS:
            return Expected(file.name, file.num_bytes, is_archive=True)
        return Expected(file.name, file.num_bytes, refusal=unread_kind(kind))
    return Expected(file.name, file.num_bytes, refusal=why_too_large(file.num_bytes))


def finish_upload(name: str, home: DataRoot, class_name: str | None = None) -> ImportRequest | None:
    """Return the import of all that has come; `None` when it was asked for before.

    Args:
        name: The folder that `begin_upload` made.
        home: The data root.
        class_name: The class of pictures that lie in no folder.

    Raises:
        NotFoundError: If the folder is gone.
    """
    folder = _folder(name, home)
    try:
        (folder / _INDEX).replace(folder / _TAKEN)  # of two tabs, one does it
    except FileNotFoundError:
        if (folder / _TAKEN).is_file():
            return None
        raise _gone() from None
    staged: dict[bool, list[StagedFile]] = {True: [], False: []}
    refused = []
    for number, file in enumerate(_read_index(folder / _TAKEN).files):
        path = folder / _file_name(number)
        reason = file.refusal
        if reason is None and not (path.is_file() and path.stat().st_size == file.num_bytes):
            reason = "The browser could not read it, or it changed meanwhile. Add it again."
        if reason is None:
            staged[file.is_archive].append(StagedFile(path.name, file.name))
        else:
            refused.append(Refusal(printable(file.name), reason))
    return ImportRequest(
        staging=name,
        archives=tuple(staged[True]),
        files=tuple(staged[False]),
        class_name=class_name,
        refused=tuple(refused),
    )


def give_up_upload(name: str, home: DataRoot) -> None:
    """Remove what has come so far, unless its import has begun.

    Raises:
        NotFoundError: If the name is not that of such a folder.
    """
    folder = _folder(name, home)
    try:
        (folder / _INDEX).unlink()  # of this and the end of the upload, one does it
    except FileNotFoundError:
        return
    stopped = folder.with_name(f"{name}-stopped")
    with suppress(OSError):  # Windows moves no folder with open files
        folder.rename(stopped)  # so that pieces on their way find no place any more
    for left in (stopped, folder):
        remove_staging_dir(left.name, home)


class PieceWriter:
    """Writes one piece of an upload to its files, as its bytes come.

    A piece is 4 bytes with the length of its header (unsigned, the highest first), the header, then the bytes of its
    parts. The header is JSON: of each part the number of its file as announced, where in the file it begins, and how
    many bytes it has. The same piece may come again.

    Args:
        name: The folder that `begin_upload` made.
        home: The data root.

    Raises:
        NotFoundError: If the folder is gone; by each method too.
    """

    def __init__(self, name: str, home: DataRoot) -> None:
        self._folder = _folder(name, home)
        self._expected = _cached_index(self._folder / _INDEX)
        note_coming(self._folder)
        with suppress(OSError):
            for place in (self._folder, self._folder / _INDEX):  # that it still comes in, however long that takes
                os.utime(place)
        self._header: bytes | None = b""
        self._parts: deque[tuple[int, int, int]] = deque()
        self._file: BinaryIO | None = None
        self._left = 0

    def __enter__(self) -> PieceWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, data: bytes) -> None:
        """Write the next bytes of the piece.

        Raises:
            StorageError: If the disk is full or cannot be written.
            ValueError: If they are no such piece.
        """
        try:
            self._write(memoryview(data) if self._header is None else self._after_header(data))
        except FileNotFoundError as error:
            raise _gone() from error
        except OSError as error:
            raise storage_error(error, self._folder / "file") from error

    def finish(self) -> None:
        """Make sure that the piece was whole.

        Raises:
            ValueError: If bytes are missing.
        """
        if self._header is not None or self._file is not None:
            raise ValueError("The piece ends too early.")

    def _after_header(self, data: bytes) -> memoryview:
        assert self._header is not None
        self._header += data
        end = 4 + int.from_bytes(self._header[:4], "big")
        if end > 4 + MAX_PIECE_HEADER_BYTES:
            raise ValueError("The header of the piece is too long.")
        if len(self._header) < max(end, 4):
            return memoryview(b"")
        header, rest = self._header[4:end], memoryview(self._header)[end:]
        self._header = None
        for number, start, length in msgspec.json.decode(header, type=list[tuple[int, int, int]]):
            file = self._expected[number] if 0 <= number < len(self._expected) else None
            if file is None or file.refusal is not None or not 0 <= start <= start + length <= file.num_bytes:
                raise ValueError("The piece does not belong to the files that were announced.")
            self._parts.append((number, start, length))
        self._next_part()
        return rest

    def _write(self, data: memoryview) -> None:
        while data:
            if self._file is None:
                raise ValueError("The piece is longer than its header says.")
            taken = data[: self._left]
            self._file.write(taken)
            self._left -= len(taken)
            data = data[len(taken) :]
            if not self._left:
                self._next_part()

    def _next_part(self) -> None:
        while not self._left:
            if self._file is not None:
                self._file.close()
                self._file = None
            if not self._parts:
                return
            number, start, self._left = self._parts.popleft()
            # Neither emptied nor appended to: two pieces of one file may come at the same time, or one twice.
            path = self._folder / _file_name(number)
            path.touch()
            self._file = path.open("r+b")
            self._file.seek(start)


def _folder(name: str, home: DataRoot) -> Path:
    if Path(name).name != name or not name.startswith(PREFIX):
        raise _gone()
    return home.imports_dir / name


def _file_name(number: int) -> str:
    return f"{number:06d}"


def _read_index(path: Path) -> _Index:
    return msgspec.json.decode(path.read_bytes(), type=_Index)


@lru_cache(maxsize=8)
def _index_of(path: Path) -> tuple[Expected, ...]:
    return _read_index(path).files


def _cached_index(path: Path) -> tuple[Expected, ...]:
    """Return what was announced, which never changes; thousands of files come in hundreds of pieces."""
    if path.is_file():
        with suppress(FileNotFoundError):
            return _index_of(path)
    raise _gone()


def _gone() -> NotFoundError:
    return NotFoundError("What was sent is not there any more. Bring the files again.")
