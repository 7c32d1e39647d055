"""A ZIP or TAR file from anywhere becomes a list of safe entries, of refused ones, and of those left aside."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import IO

from tlcore.damage import DAMAGE_ERRORS
from tlcore.errors import ArchiveError, ImageError
from tlcore.intake.archives.encodings import decode_names
from tlcore.intake.archives.members import Member, spool
from tlcore.intake.archives.tar_files import is_tar, tar_members
from tlcore.intake.archives.zip_files import IN_PARTS, PASSWORD, too_many_files, zip_members
from tlcore.intake.limits import ARCHIVE_GB, DEPTH, FILES, INNER_ARCHIVES, why_too_large
from tlcore.intake.meaning.aside import Aside, why_aside
from tlcore.intake.names import printable, split_path
from tlcore.intake.pictures.signatures import archive_kind

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_PART = re.compile(r"\.(z\d\d|r\d\d|part\d+\.rar|(zip|7z|rar|tar|tgz|tar\.\w+)\.\d{3})$", re.IGNORECASE)


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
    """A file in an archive that may be read.

    Attributes:
        path_parts: Its folders and its name; text only, never a path on disk.
        member: What the archive says of it.
    """

    path_parts: tuple[str, ...]
    member: Member

    @property
    def name(self) -> str:
        """Its path in the archive, made printable; text only."""
        return printable("/".join(self.path_parts))


class Archive:
    """An open archive. Several threads may read from it.

    Archives in it are opened too, one level down: their files lie in a folder of their name.

    Attributes:
        entries: What may be read; nobody looked inside yet.
        refused: What may not, with reasons.
        aside: What is left aside because of its place or name: its parts, and why.
        empty_folders: Folders that hold nothing at all.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.entries: list[ArchiveEntry] = []
        self.refused: list[Refusal] = []
        self.aside: list[tuple[tuple[str, ...], Aside]] = []
        self._folders: list[tuple[str, ...]] = []
        self._spooled_bytes = 0
        self._num_inner = 0
        with ExitStack() as stack:
            self._stack = stack
            self._open(stack.enter_context(file))
            self._check_use()
            self._stack = stack.pop_all()  # whoever opened it closes it from now on
        self.empty_folders = _empty(self._folders, self.entries)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, entry: ArchiveEntry) -> bytes:
        """Unpack one entry into memory; it may never become longer than it says.

        Raises:
            ImageError: If its data is damaged or does not agree with what the archive says.
        """
        whole = io.BytesIO()  # joining a list of parts would take twice the memory
        whole.writelines(entry.member.chunks())
        return whole.getvalue()

    def _open(self, file: IO[bytes], around: tuple[str, ...] = ()) -> None:
        """Sort what is in a file; `around` are the folders in which it lies when it is an archive in an archive."""
        members = self._members(file)
        texts = decode_names(m.name for m in members if isinstance(m.name, bytes))
        max_depth = DEPTH.value
        for member in members:
            raw = texts[member.name] if isinstance(member.name, bytes) else member.name
            parts = split_path(raw)
            is_folder = raw.endswith(("/", "\\")) and not member.size
            if parts is None or not (parts or is_folder):
                self._refuse((*around, raw), "Its path is absolute or leaves the archive. Make the archive again.")
                continue
            parts = (*around, *parts)
            aside = why_aside(parts) if parts else None
            if aside is not None:
                if not is_folder:
                    self.aside.append((parts, aside))
            elif is_folder:
                self._folders.append(parts)
            elif member.why_refused is not None:
                self._refuse(parts, member.why_refused)
            elif len(parts) > max_depth:
                self._refuse(parts, f"It lies more than {DEPTH} folders deep. Use one folder per class.")
            elif is_part(parts[-1]):
                self._refuse(parts, IN_PARTS)
            elif _is_archive(parts[-1]) and around:
                self._refuse(parts, "A ZIP or TAR file in one that lies in another: unpack it and bring its pictures.")
            elif _is_archive(parts[-1]):
                self._open_inner(member, parts)
            elif (too_large := why_too_large(member.size)) is not None:
                self._refuse(parts, too_large)
            else:
                self.entries.append(ArchiveEntry(parts, member))
        self._check_limits()

    def _members(self, file: IO[bytes]) -> Sequence[Member]:
        if not is_tar(file):
            head = file.read(512)
            kind = archive_kind(head)
            if kind is not None:
                raise ArchiveError(unread_kind(kind))
            file.seek(0)
            return zip_members(file)
        members, copy = tar_members(file, self._bytes_left())
        if copy is not file:
            self._keep(copy)
        return members

    def _bytes_left(self) -> float:
        return ARCHIVE_GB.value * 1e9 - self._spooled_bytes

    def _keep(self, copy: IO[bytes]) -> None:
        self._stack.callback(copy.close)
        self._spooled_bytes += copy.seek(0, 2)
        copy.seek(0)

    def _open_inner(self, member: Member, parts: tuple[str, ...]) -> None:
        try:
            if self._num_inner >= INNER_ARCHIVES.value:
                raise ArchiveError(
                    f"There are more than {INNER_ARCHIVES} archives in this one. {INNER_ARCHIVES.way_out}"
                )
            self._num_inner += 1
            copy = spool(member.chunks(), self._bytes_left())
            self._keep(copy)
            self._open(copy, (*parts[:-1], archive_stem(parts[-1])))
        except _TooMuchError:
            raise
        except (ArchiveError, ImageError) as error:
            self._refuse(parts, str(error))
        except DAMAGE_ERRORS:
            self._refuse(parts, "The archive in it is damaged. Make it again.")

    def _refuse(self, parts: tuple[str, ...], reason: str) -> None:
        self.refused.append(Refusal(printable("/".join(parts)), reason))

    def _check_limits(self) -> None:
        if len(self.entries) + len(self.refused) + len(self.aside) > FILES.value:
            raise _TooMuchError(too_many_files())
        total = sum(entry.member.size for entry in self.entries)
        if total > ARCHIVE_GB.value * 1e9:
            raise _TooMuchError(
                f"The archive unpacks to {total / 1e9:,.1f} GB; the limit is {ARCHIVE_GB} GB. {ARCHIVE_GB.way_out}"
            )

    def _check_use(self) -> None:
        reasons = {refusal.reason for refusal in self.refused}
        if self.refused and not self.entries and len(reasons) == 1:
            reason = next(iter(reasons))
            if reason == PASSWORD:
                raise ArchiveError("The ZIP file has a password. Make it again without one.")
            if reason.startswith("Packed"):
                raise ArchiveError(f"Files that cannot be read: all {len(self.refused):,}. {reason}")
        if not (self.entries or self.refused or self._folders or any(a.kind != "system" for _, a in self.aside)):
            raise ArchiveError("The archive holds no pictures. Put one folder of pictures per class into it.")


class _TooMuchError(ArchiveError):
    """An archive beyond the limits, wherever in it that was noticed."""


def open_archive(path: Path, name: str = "") -> Archive:
    """Open a ZIP or TAR file and sort its entries; pictures in it are not unpacked yet.

    Args:
        path: The file. Its name does not matter.
        name: What the person called it, which may say that it is one part of several.

    Raises:
        ArchiveError: If it is no archive, damaged, empty, protected by a password or too large.
        StorageError: If the disk is too full for a copy of a packed TAR file or of an archive in it.
    """
    if is_part(name):
        raise ArchiveError(IN_PARTS)
    try:
        file = path.open("rb")
        if not file.read(1):
            file.close()
            raise ArchiveError("The file is empty. Make or upload it again.")
        file.seek(0)
        return Archive(file)
    except FileNotFoundError as error:
        raise ArchiveError("The archive is not there any more. Upload it again.") from error
    except DAMAGE_ERRORS as error:
        raise ArchiveError("The archive is incomplete or damaged. Make or upload it again.") from error


def is_part(name: str) -> bool:
    """Return whether a name is one of the parts of a split archive: `.z01`, `.zip.001`, `.part1.rar`."""
    return _PART.search(name) is not None


def unread_kind(kind: str) -> str:
    """Return what to say of an archive that is neither ZIP nor TAR, of a kind from `archive_kind`."""
    return f"This is {kind} file. Unpack it and make a ZIP file of it."


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def archive_stem(name: str) -> str:
    """Return the name of an archive without its ending: `pets` of `pets.tar.gz`."""
    stem = PurePath(name).stem
    return PurePath(stem).stem if stem.lower().endswith(".tar") else stem


def _empty(folders: Iterable[tuple[str, ...]], entries: Iterable[ArchiveEntry]) -> tuple[tuple[str, ...], ...]:
    listed = dict.fromkeys(parts for parts in folders if parts)
    filled = {entry.path_parts[:depth] for entry in entries for depth in range(1, len(entry.path_parts))}
    filled |= {parts[:depth] for parts in listed for depth in range(1, len(parts))}
    return tuple(parts for parts in listed if parts not in filled)
