"""Pictures and thumbnails as files named by the SHA-256 of their content."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from tlcore.errors import ImageError, StorageError
from tlcore.home import HALF_WRITTEN, DataRoot, storage_error, write_atomically

_JPEG_BEGINS, _JPEG_ENDS = b"\xff\xd8", b"\xff\xd9"


class ImageStore:
    """Clean pictures of one data root; the same picture is kept once, whoever brought it."""

    def __init__(self, home: DataRoot) -> None:
        self._images_dir = home.images_dir
        self._thumbnails_dir = home.thumbnails_dir

    def add(self, data: bytes, thumbnail: bytes) -> str:
        """Store a clean picture with its thumbnail and return its key, 64 hexadecimal digits.

        Raises:
            StorageError: If the disk is full or cannot be written.
        """
        key = image_key(data)
        # The thumbnail goes first: a picture that is there always has one.
        for path, content in ((self._thumbnail_path(key), thumbnail), (self.path(key), data)):
            try:
                _mark_brought(path)
            except FileNotFoundError:
                write_atomically(path, lambda temporary, content=content: _write(temporary, content))  # type: ignore[misc]
            except OSError as error:
                raise storage_error(error, path) from error
        return key

    def keep(self, keys: Iterable[str]) -> None:
        """Let pictures that are there count as brought now, as somebody needs them who is in no project."""
        for key in keys:
            for path in (self._thumbnail_path(key), self.path(key)):
                with suppress(OSError):  # what is missing is said where it is read
                    _mark_brought(path)

    def remove(self, key: str, *, brought_before: float) -> None:
        """Delete a picture and its thumbnail, unless somebody has brought it since a time in seconds since 1970."""
        for path in (self.path(key), self._thumbnail_path(key)):
            # A file that is not there, or that cannot be deleted, is nothing that the person could mend.
            with suppress(OSError):
                if path.stat().st_mtime < brought_before:
                    _remove_unless_brought(path, brought_before)

    def num_bytes(self, key: str) -> int:
        """Return what a picture takes together with its thumbnail; 0 for what is not there."""
        total = 0
        for path in (self.path(key), self._thumbnail_path(key)):
            with suppress(OSError):
                total += path.stat().st_size
        return total

    def path(self, key: str) -> Path:
        """Return where the picture of a key is."""
        return self._images_dir / key[:2] / key

    def read(self, key: str) -> bytes:
        """Return the stored bytes of a picture.

        Raises:
            ImageError: If it is not there.
        """
        return self._read(self.path(key))

    def thumbnail(self, key: str) -> bytes:
        """Return the JPEG thumbnail of a picture; one that is missing or cut is made again from the picture.

        Raises:
            ImageError: If the picture is missing or damaged too.
        """
        path = self._thumbnail_path(key)
        with suppress(OSError):
            data = path.read_bytes()
            if data.startswith(_JPEG_BEGINS) and data.endswith(_JPEG_ENDS):
                return data
        return self._make_thumbnail_again(key)

    def _make_thumbnail_again(self, key: str) -> bytes:
        from tlcore.intake.pictures.decoding import read_image  # with what decodes pictures, which few callers need

        thumbnail = read_image(self.read(key)).thumbnail
        with suppress(StorageError):  # on a full disk it is made once more the next time
            write_atomically(self._thumbnail_path(key), lambda temporary: _write(temporary, thumbnail))
        return thumbnail

    def _thumbnail_path(self, key: str) -> Path:
        return self._thumbnails_dir / key[:2] / key

    @staticmethod
    def _read(path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise ImageError(
                "A stored picture is missing or cannot be read. Delete it from its class, or bring it again: "
                f"its file {path.name[:12]}… is not as it should be in the data folder."
            ) from error


class GivenImages(ImageStore):
    """The pictures that somebody is given to look at, out of all of a data root; any other one is as if deleted.

    Args:
        home: The data root.
        keys: The keys of those that are given.
    """

    def __init__(self, home: DataRoot, keys: Collection[str]) -> None:
        super().__init__(home)
        self._keys = keys

    def read(self, key: str) -> bytes:
        """Return the stored bytes of a picture; errors as of the base class."""
        self._check(key)
        return super().read(key)

    def thumbnail(self, key: str) -> bytes:
        """Return the thumbnail of a picture; errors as of the base class."""
        self._check(key)
        return super().thumbnail(key)

    def _check(self, key: str) -> None:
        if key not in self._keys:
            raise ImageError("This picture was deleted.")


def image_key(data: bytes) -> str:
    """Return the key under which the bytes of a clean picture are stored."""
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    _mark_brought(path)


def _remove_unless_brought(path: Path, since: float) -> None:
    """Delete a file; one that somebody brings at this very moment either stays, or is missed and written anew."""
    aside = path.with_name(f"{HALF_WRITTEN}{path.name}")
    path.rename(aside)
    if aside.stat().st_mtime < since:
        aside.unlink()
    else:
        aside.replace(path)


def _mark_brought(path: Path) -> None:
    # `remove` compares it with when an import began. The time that a file system sets by itself comes from a clock that
    # moves some milliseconds at a time, so a picture could seem older than the import that brought it.
    brought = time.time_ns()
    os.utime(path, ns=(brought, brought))
