"""The files of ready data sets in Keras's own cache: which are here, fetching and checking the others."""

from __future__ import annotations

import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tlcore.downloading import RemoteFile, fetch, has_hash, hash_of, keras_cache_dir, size_of
from tlcore.errors import DatasetError, StorageError
from tlcore.home import write_atomically
from tlcore.progress import Progress

INSTEAD = "take a data set that is ready without a network"
_READ_ERRORS = (
    OSError,
    EOFError,
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    struct.error,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)


@dataclass(frozen=True, slots=True)
class ReadyFile:
    """A published file of a ready data set.

    Attributes:
        name: What Keras calls it, below `datasets` of its cache; parts are separated by `/`.
        url: Where it is published.
        size_bytes: Its size.
        file_hash: Its published MD5 or SHA-256; empty where there is none. Then the hash of the first copy is
            remembered beside it, so that a later damage is noticed.
        signature: The bytes with which it begins.
        other_names: What other versions of Keras, or other tutorials, call it.
    """

    name: str
    url: str
    size_bytes: int
    file_hash: str
    signature: bytes
    other_names: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where its copy is, or will be."""
        return next((path for path in self._paths() if size_of(path) == self.size_bytes), self._paths()[0])

    @property
    def is_here(self) -> bool:
        """Whether a copy of the right size is there; fast enough for a page."""
        return size_of(self.path) == self.size_bytes

    def sound_path(self) -> Path | None:
        """Return a copy with the right content; reads all of it."""
        return next((path for path in self._paths() if self._is_sound(path)), None)

    def remember(self, path: Path) -> None:
        """Keep the hash of a copy for which none is published.

        Raises:
            StorageError: If it cannot be written.
        """
        if not self.file_hash and not _remembered_path(path).exists():
            digest = hash_of(path, "sha256")
            write_atomically(_remembered_path(path), lambda temporary: temporary.write_text(digest, encoding="ascii"))

    def fetch_anew(self, title: str, progress: Progress, before: int, total: int) -> Path:
        """Fetch a copy in place of a damaged one or of none; arguments as in `fetch_files`.

        Raises:
            DownloadError: If there is no network, or what came is not this file.
            StorageError: If it cannot be written.
        """
        path = self._paths()[0]
        try:
            path.unlink(missing_ok=True)
            _remembered_path(path).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"The damaged file {path} cannot be deleted ({error.strerror}). Delete it.") from error
        remote = RemoteFile(title, self.url, path, self.size_bytes, self.file_hash, self.signature, INSTEAD)
        return fetch(
            remote,
            progress=lambda done, _: progress.phase(
                "downloading", (before + done) // 10**6, max(1, total // 10**6), title
            ),
        )

    def _paths(self) -> list[Path]:
        folder = keras_cache_dir() / "datasets"
        return [folder.joinpath(*name.split("/")) for name in (self.name, *self.other_names)]

    def _is_sound(self, path: Path) -> bool:
        if size_of(path) != self.size_bytes:
            return False
        expected = self.file_hash
        if not expected and _remembered_path(path).exists():
            expected = _remembered_path(path).read_text(encoding="ascii").strip()
        return not expected or has_hash(path, expected)


def fetch_files(files: Sequence[ReadyFile], title: str, progress: Progress) -> tuple[Path, ...]:
    """Return the sound copies of a data set's files; what is missing or damaged is downloaded.

    Args:
        files: What the data set consists of.
        title: What messages call the data set.
        progress: Hears of the check and, in megabytes, of the download; may raise `StopRequested`, after which
            the next try goes on where this one ended.

    Raises:
        DownloadError: If there is no network, or what came is not the published file.
        StorageError: If the cache cannot be written.
    """
    paths = []
    before, total = 0, sum(file.size_bytes for file in files)
    for file in files:
        progress.phase("checking_files", subject=title)
        path = file.sound_path() or file.fetch_anew(title, progress, before, total)
        file.remember(path)
        paths.append(path)
        before += file.size_bytes
    return tuple(paths)


@contextmanager
def damage_in_words(path: Path) -> Iterator[None]:
    """Turn what the libraries raise over a damaged file into a `DatasetError`."""
    try:
        yield
    except _READ_ERRORS as error:
        raise DatasetError(
            f"The file {path} is not what it should be: {error}. "
            "Delete it and take the data set again; then it is downloaded anew."
        ) from error


def _remembered_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
