"""Archives of photos with one folder per class, as TensorFlow's tutorials use them."""

from __future__ import annotations

import gzip
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path, PurePath
from typing import IO

from tlcore.dataset import Split
from tlcore.errors import DatasetError
from tlcore.home import storage_error
from tlcore.intake.archives import MAX_TOTAL_BYTES, open_archive
from tlcore.intake.decoding import PICTURE_SUFFIXES
from tlcore.intake.names import is_junk, split_path
from tlcore.intake.sources import ReadyPicture, read_clean
from tlcore.ready_sets.files import damage_in_words

_CHUNK_BYTES = 1 << 20


def read_zip(path: Path, stack: ExitStack, splits: Mapping[str, Split]) -> Iterator[ReadyPicture]:
    """Yield the photos of a ZIP file.

    Args:
        path: The file.
        stack: Keeps it open until the photos were read.
        splits: What the folders around the classes mean.

    Raises:
        ArchiveError: If it is no ZIP file, or a damaged one.
    """
    archive = stack.enter_context(open_archive(path))
    for entry in archive.entries:
        yield from _photo(entry.path_parts, partial(archive.read, entry), splits)


def read_tgz(path: Path, stack: ExitStack) -> Iterator[ReadyPicture]:
    """Yield the photos of a compressed TAR file; they belong to no split.

    Args:
        path: The file.
        stack: Keeps an uncompressed copy of it, from which photos can be read in any order.

    Raises:
        DatasetError: If it is no such file, or a damaged one.
        StorageError: If the disk is full.
    """
    copy = stack.enter_context(_uncompressed(path))
    with damage_in_words(path), tarfile.open(fileobj=copy, mode="r:") as archive:
        members = [member for member in archive if member.isfile()]
    lock = threading.Lock()
    for member in members:
        read = partial(_read_at, copy, lock, member.offset_data, member.size)
        yield from _photo(split_path(member.name) or (), read, {})


def _photo(
    path_parts: tuple[str, ...], read: Callable[[], bytes], splits: Mapping[str, Split]
) -> Iterator[ReadyPicture]:
    """Yield the photo, unless the file lies in no folder or its name says that it is something else."""
    *folders, name = path_parts or ("",)
    if folders and not is_junk(path_parts) and PurePath(name).suffix.lower() in PICTURE_SUFFIXES:
        split = next((splits[folder] for folder in folders if folder in splits), None)
        yield ReadyPicture(folders[-1], split, name, partial(read_clean, read))


@contextmanager
def _uncompressed(path: Path) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as copy:
        with gzip.open(path) as file:
            while chunk := _read_chunk(file, path):
                try:
                    copy.write(chunk)
                except OSError as error:
                    raise storage_error(error, Path(tempfile.gettempdir()) / path.name) from error
                if copy.tell() > MAX_TOTAL_BYTES:
                    raise DatasetError(f"{path} unpacks to more than {MAX_TOTAL_BYTES / 1e9:.0f} GB. Delete this file.")
        copy.seek(0)
        yield copy


def _read_chunk(file: gzip.GzipFile, path: Path) -> bytes:
    with damage_in_words(path):
        return file.read(_CHUNK_BYTES)


def _read_at(file: IO[bytes], lock: threading.Lock, start: int, size: int) -> bytes:
    with lock:
        file.seek(start)
        return file.read(size)
