"""Archives of photos with one folder per class, as TensorFlow's tutorials use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePath

from tlcore.dataset import Split
from tlcore.intake.archives.archive import open_archive
from tlcore.intake.names import PICTURE_SUFFIXES
from tlcore.intake.sources import ReadyPicture, read_clean
from tlcore.ready_sets.files import damage_in_words


def read_photos(path: Path, stack: ExitStack, splits: Mapping[str, Split]) -> Iterator[ReadyPicture]:
    """Yield the photos of a ZIP file or a compressed TAR file.

    Args:
        path: The file.
        stack: Keeps it open until the photos were read; of a compressed TAR file, an uncompressed copy.
        splits: What the folders around the classes mean.

    Raises:
        DatasetError: If it is no such file, or a damaged one.
        StorageError: If the disk is full.
    """
    with damage_in_words(path):
        archive = stack.enter_context(open_archive(path))
    for entry in archive.entries:
        yield from _photo(entry.path_parts, partial(archive.read, entry), splits)


def _photo(
    path_parts: tuple[str, ...], read: Callable[[], bytes], splits: Mapping[str, Split]
) -> Iterator[ReadyPicture]:
    """Yield the photo, unless the file lies in no folder or its name says that it is something else."""
    *folders, name = path_parts
    if folders and PurePath(name).suffix.lower() in PICTURE_SUFFIXES:
        split = next((splits[folder] for folder in folders if folder in splits), None)
        yield ReadyPicture(folders[-1], split, name, partial(read_clean, read))
