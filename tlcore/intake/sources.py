"""What a person can bring: archives, files, folders, ready data sets; each becomes a list of candidates."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath

from tlcore.dataset import Split
from tlcore.errors import ArchiveError, DatasetError, ImageError
from tlcore.intake.archives.archive import Refusal, archive_stem, is_part, open_archive
from tlcore.intake.archives.zip_files import IN_PARTS
from tlcore.intake.label_files.files import is_label_file
from tlcore.intake.limits import DEPTH, why_too_large
from tlcore.intake.meaning.aside import Aside, why_aside
from tlcore.intake.meaning.readings import Label
from tlcore.intake.names import PICTURE_SUFFIXES, printable, split_path
from tlcore.intake.pictures.decoders import read_image
from tlcore.intake.pictures.decoding import CleanImage
from tlcore.intake.pictures.grey import GreyRange

# Links to folders could lead from one to the next in more ways than there are files.
_MAX_FOLDER_LINKS = 10_000
# Of larger files only one is read at a time.
_LARGE_FILE_BYTES = 16_000_000
_large_files = threading.Lock()

AsideList = list[tuple[tuple[str, ...], Aside]]
"""What is left aside because of its place or name: its parts, and why."""


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """A ZIP or TAR file.

    Attributes:
        path: Where it is.
        name: What the person called it.
    """

    path: Path
    name: str = "the ZIP file"


@dataclass(frozen=True, slots=True)
class FileSource:
    """Single files, or the files of a dropped folder.

    Attributes:
        files: Of each its name, which may name folders (`cat/1.jpg`), and where its bytes are: on disk or here.
        class_name: The class of pictures that lie in no folder.
    """

    files: tuple[tuple[str, Path | bytes], ...]
    class_name: str | None = None


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A folder on this computer, with one folder per class; links inside it are followed."""

    path: Path


@dataclass(frozen=True, slots=True)
class ReadyPicture:
    """One picture of a ready data set; its pixels are made only when they are wanted.

    Attributes:
        class_name: The class that it belongs to.
        split: Fixed by the data set, so that nothing leaks from training into test; `None` where it fixes none.
        name: A file name that says where it is from.
        clean: Makes the picture as it is stored; raises `ImageError`. Several threads may call it.
    """

    class_name: str
    split: Split | None
    name: str
    clean: Callable[[], CleanImage]


@dataclass(frozen=True, slots=True)
class ReadySource:
    """Pictures of a ready data set, from `tlcore.ready_sets.registry.open_ready_set`."""

    pictures: tuple[ReadyPicture, ...]


Source = ArchiveSource | FileSource | FolderSource | ReadySource


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be a picture.

    Attributes:
        path_parts: The name of what was brought, its folders and its name; text only.
        name: Its path as a person knows it, made printable; text only.
        clean: Reads and cleans it, given the range of pictures with more than 8 bits; raises `ImageError`.
        read: Reads it as it is; `None` where there is no file. Raises `ImageError`.
        label: Where it belongs, if that is known without its folders.
        num_bytes: Returns how long it is, before it is read.
    """

    path_parts: tuple[str, ...]
    name: str
    clean: Callable[[GreyRange | None], CleanImage]
    read: Callable[[], bytes] | None = None
    label: Label | None = None
    num_bytes: Callable[[], int] = int

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Wait until no other large file is read and decoded: each is in memory twice, here and in its decoder."""
        if self.num_bytes() <= _LARGE_FILE_BYTES:
            yield
        else:
            with _large_files:
                yield

    @property
    def looks_like_picture(self) -> bool:
        """Whether its name says that it is a picture; only its content decides."""
        suffix = PurePath(self.path_parts[-1]).suffix.lower()
        return not suffix or suffix in PICTURE_SUFFIXES


@dataclass(slots=True)
class Listing:
    """All files of what was brought, before any is decoded.

    Attributes:
        found: What may be a picture.
        label_files: What may say where pictures belong, and how it is read; that raises `ImageError`.
        aside: What is no example, each with the reason.
        refused: What is not used, with reasons.
        empty_folders: Folders that hold nothing, after the name of what was brought.
    """

    found: list[Found] = field(default_factory=list)
    label_files: list[tuple[tuple[str, ...], Callable[[], bytes]]] = field(default_factory=list)
    aside: AsideList = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    empty_folders: list[tuple[str, ...]] = field(default_factory=list)

    def add(
        self,
        path: tuple[str, ...],
        name: str,
        read: Callable[[], bytes],
        num_bytes: Callable[[], int],
        label: Label | None = None,
    ) -> None:
        """Add a file by its path, the name of what was brought first, and its path as a person knows it."""
        if is_label_file(path):
            self.label_files.append((path, read))
        else:
            self.found.append(Found(path, printable(name), partial(read_clean, read), read, label, num_bytes))


def list_source(source: Source, listing: Listing, stack: ExitStack) -> None:
    """Add the files of a source to a listing.

    Args:
        source: What the person brought.
        listing: Gets its files.
        stack: Keeps an archive open until its files were read.

    Raises:
        DatasetError: If a folder is not there.
    """
    if isinstance(source, ReadySource):
        for picture in source.pictures:
            label = Label(picture.class_name, picture.split)
            clean = partial(_clean_ready, picture)
            listing.found.append(Found(("", picture.name), printable(picture.name), clean, label=label))
    elif isinstance(source, ArchiveSource):
        try:
            archive = stack.enter_context(open_archive(source.path, source.name))
        except ArchiveError as error:
            listing.refused.append(Refusal(printable(source.name), str(error)))
            return
        root = archive_stem(source.name)
        listing.refused += archive.refused
        listing.aside += [((root, *parts), why) for parts, why in archive.aside]
        listing.empty_folders += [(root, *folder) for folder in archive.empty_folders]
        for entry in archive.entries:
            listing.add(
                (root, *entry.path_parts), entry.name, partial(archive.read, entry), partial(int, entry.member.size)
            )
    elif isinstance(source, FolderSource):
        for parts, path in _walk(source.path, listing.refused, listing.aside):
            listing.add(parts, "/".join(parts), partial(_read_file, path), partial(_length, path))
    else:
        for name, place in source.files:
            # Only text: a path that climbs out cannot do harm, so its last part is kept.
            parts = split_path(name) or (re.split(r"[/\\]", name)[-1] or "picture",)
            is_loose = len(parts) == 1
            whole = ("", *parts) if is_loose else parts
            if (why := why_aside(whole[1:])) is not None:
                listing.aside.append((whole, why))
            elif is_part(parts[-1]):
                listing.refused.append(Refusal(printable("/".join(parts)), IN_PARTS))
            else:
                known = Label(source.class_name) if source.class_name is not None and is_loose else None
                listing.add(whole, "/".join(parts), partial(_read_file, place), partial(_length, place), known)


def _walk(folder: Path, refused: list[Refusal], aside: AsideList) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Yield the files below a folder with their parts, the folder's own name first.

    Links are followed where they lead to a place inside the folder that is not around them; others are refused.
    """
    if not folder.is_dir():
        raise DatasetError(f"There is no folder {folder}. Check its name.")
    root = folder.resolve()
    followed = 0

    def visit(place: Path, parts: tuple[str, ...], around: frozenset[Path]) -> Iterator[tuple[tuple[str, ...], Path]]:
        nonlocal followed
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            reason = f"The folder cannot be read ({error.strerror}). Allow it, or take it out."
            refused.append(Refusal(printable("/".join(parts)), reason))
            return
        for entry in entries:
            own_parts, path = (*parts, entry.name), Path(entry.path)
            why_not = _why_not_followed(path, root, around) if entry.is_symlink() else None
            if why_not is None and entry.is_dir():
                followed += entry.is_symlink()
                if len(own_parts) > DEPTH.value:
                    why_not = f"It lies more than {DEPTH} folders deep. Use one folder per class."
                elif followed > _MAX_FOLDER_LINKS:
                    why_not = (
                        f"There are more than {_MAX_FOLDER_LINKS:,} links to folders. Put the pictures there instead."
                    )
                else:
                    yield from visit(path, own_parts, around | {path.resolve()})
                    continue
            why_left = why_aside(own_parts[1:])
            if why_left is not None:
                aside.append((own_parts, why_left))
            elif why_not is not None:
                refused.append(Refusal(printable("/".join(own_parts)), why_not))
            elif is_part(entry.name):
                refused.append(Refusal(printable("/".join(own_parts)), IN_PARTS))
            elif entry.is_file():
                yield own_parts, path

    yield from visit(root, (root.name,), frozenset({root}))


def _why_not_followed(link: Path, root: Path, around: frozenset[Path]) -> str | None:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # a link to itself
        return "This is a link that leads nowhere. Put the picture itself there."
    if target in around:
        return "This is a link to a folder around it, which would never end. It is not followed."
    if not target.is_relative_to(root):
        return "This is a link to a place outside of the folder. Put the file itself there."
    return None


def _length(place: Path | bytes) -> int:
    try:
        return 0 if isinstance(place, bytes) else place.stat().st_size
    except OSError:  # said when it is read
        return 0


def _read_file(place: Path | bytes) -> bytes:
    if isinstance(place, bytes):
        return place
    try:
        too_large = why_too_large(place.stat().st_size)
        if too_large is not None:
            raise ImageError(too_large)
        return place.read_bytes()
    except OSError as error:
        raise ImageError(f"The file cannot be read ({error.strerror}). Add it again.") from error


def read_clean(read: Callable[[], bytes], grey_range: GreyRange | None = None) -> CleanImage:
    """Read a file and clean it; arguments and errors as in `read_image`."""
    return read_image(read(), grey_range)


def _clean_ready(picture: ReadyPicture, _grey_range: GreyRange | None) -> CleanImage:
    return picture.clean()
