"""What a person can bring: ZIP files, files, folders, ready data sets; each becomes a list of candidates."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath

from tlcore.dataset import Split
from tlcore.errors import ArchiveError, DatasetError, ImageError
from tlcore.intake.archives import MAX_ENTRY_BYTES, Refusal, open_archive
from tlcore.intake.decoding import PICTURE_SUFFIXES, CleanImage, read_image
from tlcore.intake.names import is_junk, printable, split_path
from tlcore.intake.readings import Label
from tlcore.intake.tree import read_tree


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
class Candidate:
    """A file that may be a picture.

    Attributes:
        path_parts: Its folders and its name; text only.
        label: What its folders say.
        clean: Reads and cleans it; raises `ImageError`.
    """

    path_parts: tuple[str, ...]
    label: Label
    clean: Callable[[], CleanImage]

    @property
    def name(self) -> str:
        """Its path, made printable; text only."""
        return printable("/".join(self.path_parts))

    @property
    def looks_like_picture(self) -> bool:
        """Whether its name says that it is a picture; only its content decides."""
        suffix = PurePath(self.path_parts[-1]).suffix.lower()
        return not suffix or suffix in PICTURE_SUFFIXES


def candidates(
    source: Source, stack: ExitStack, refused: list[Refusal], empty_classes: list[str]
) -> Iterator[Candidate]:
    """Yield the files of a source that may be pictures.

    Args:
        source: What the person brought.
        stack: Keeps a ZIP file open until the candidates were read.
        refused: Gets the files that are refused by their name or place.
        empty_classes: Gets the class names of folders that hold nothing.

    Raises:
        DatasetError: If a folder is not there.
    """
    if isinstance(source, ReadySource):
        for picture in source.pictures:
            yield Candidate((picture.name,), Label(picture.class_name, picture.split), picture.clean)
        return
    fallback = source.class_name
    files: list[tuple[tuple[str, ...], Callable[[], bytes]]] = []
    empty: tuple[tuple[str, ...], ...] = ()
    if isinstance(source, ArchiveSource):
        try:
            archive = stack.enter_context(open_archive(source.path))
        except ArchiveError as error:
            refused.append(Refusal(printable(source.name), str(error)))
            return
        refused += archive.refused
        empty = archive.empty_folders
        files = [(entry.path_parts, partial(archive.read, entry)) for entry in archive.entries]
    elif isinstance(source, FolderSource):
        files = [(parts, partial(_read_file, path)) for parts, path in _walk(source.path)]
    else:
        for name, place in source.files:
            # Only text: a path that climbs out cannot do harm, so its last part is kept.
            parts = split_path(name) or (re.split(r"[/\\]", name)[-1] or "picture",)
            if not is_junk(parts):
                files.append((parts, partial(_read_file, place)))
    reading = read_tree([("", *parts) for parts, _ in files], (), [("", *folder) for folder in empty]).found[0]
    for (parts, read), label in zip(files, reading.labels, strict=True):
        named = replace(label, class_name=label.class_name or fallback)
        yield Candidate(parts, named, partial(read_clean, read))
    empty_classes += reading.classes


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
