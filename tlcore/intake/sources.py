"""What a person can bring: ZIP files, files, folders, ready data sets; each becomes a list of candidates."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath

from tlcore.dataset import Split
from tlcore.errors import ArchiveError, DatasetError, ImageError
from tlcore.intake.aside import Aside, why_aside
from tlcore.intake.archives import MAX_ENTRY_BYTES, Refusal, open_archive
from tlcore.intake.decoding import PICTURE_SUFFIXES, CleanImage, read_image
from tlcore.intake.label_files import is_label_file
from tlcore.intake.names import printable, split_path
from tlcore.intake.readings import Label


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """A ZIP file.

    Attributes:
        path: Where it is.
        name: What the person called it.
        class_name: The class of pictures that lie in no folder.
    """

    path: Path
    name: str = "the ZIP file"
    class_name: str | None = None


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
    """A folder on this computer, with one folder per class; links are not followed."""

    path: Path
    class_name: str | None = None


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
        clean: Reads and cleans it; raises `ImageError`.
        label: Where it belongs, if that is known without its folders.
    """

    path_parts: tuple[str, ...]
    clean: Callable[[], CleanImage]
    label: Label | None = None

    @property
    def name(self) -> str:
        """Its path in what was brought, made printable; text only."""
        return printable("/".join(self.path_parts[1:]))

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
    aside: list[tuple[tuple[str, ...], Aside]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    empty_folders: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, parts: tuple[str, ...], read: Callable[[], bytes], class_name: str | None = None) -> None:
        """Add a file by its path."""
        why = why_aside(parts)
        if why is not None:
            self.aside.append((parts, why))
        elif is_label_file(parts):
            self.label_files.append((parts, read))
        else:
            label = Label(class_name) if class_name is not None and len(parts) == 2 else None
            self.found.append(Found(parts, partial(read_clean, read), label))


def list_source(source: Source, listing: Listing, stack: ExitStack) -> None:
    """Add the files of a source to a listing.

    Args:
        source: What the person brought.
        listing: Gets its files.
        stack: Keeps a ZIP file open until its files were read.

    Raises:
        DatasetError: If a folder is not there.
    """
    if isinstance(source, ReadySource):
        for picture in source.pictures:
            label = Label(picture.class_name, picture.split)
            listing.found.append(Found(("", picture.name), picture.clean, label))
    elif isinstance(source, ArchiveSource):
        try:
            archive = stack.enter_context(open_archive(source.path))
        except ArchiveError as error:
            listing.refused.append(Refusal(printable(source.name), str(error)))
            return
        root = PurePath(source.name).stem
        listing.refused += archive.refused
        listing.empty_folders += [(root, *folder) for folder in archive.empty_folders]
        for entry in archive.entries:
            listing.add((root, *entry.path_parts), partial(archive.read, entry), source.class_name)
    elif isinstance(source, FolderSource):
        for parts, path in _walk(source.path):
            listing.add(parts, partial(_read_file, path), source.class_name)
    else:
        for name, place in source.files:
            # Only text: a path that climbs out cannot do harm, so its last part is kept.
            parts = split_path(name) or (re.split(r"[/\\]", name)[-1] or "picture",)
            listing.add(parts if len(parts) > 1 else ("", *parts), partial(_read_file, place), source.class_name)


def _walk(folder: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Yield the files below a folder with their parts, the folder's own name first."""
    if not folder.is_dir():
        raise DatasetError(f"There is no folder {folder}. Check its name.")
    root = folder.resolve()
    for parent, subfolders, names in os.walk(root):
        subfolders.sort()
        for name in sorted(names):
            parts = (*PurePath(parent).relative_to(root).parts, name)
            path = Path(parent, name)
            if not is_junk(parts) and path.is_file() and not path.is_symlink():
                yield (root.name, *parts), path


def _read_file(place: Path | bytes) -> bytes:
    if isinstance(place, bytes):
        return place
    try:
        if place.stat().st_size > MAX_ENTRY_BYTES:
            raise ImageError(f"The file is larger than {MAX_ENTRY_BYTES / 1e6:.0f} MB. Save a smaller copy.")
        return place.read_bytes()
    except OSError as error:
        raise ImageError(f"The file cannot be read ({error.strerror}). Add it again.") from error


def read_clean(read: Callable[[], bytes]) -> CleanImage:
    """Read a file and clean it; errors as in `read_image`."""
    return read_image(read())
