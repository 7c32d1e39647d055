"""Fetch a published file from the network: progress, resume, checked hash, never a half file."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tlcore.errors import DownloadError
from tlcore.home import holding, storage_error, write_atomically

CHUNK_BYTES = 256 * 1024
_MD5_DIGITS = 32

Progress = Callable[[int, int], object]

PART_SUFFIX = ".part"
"""How the name of an unfinished download ends."""


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file that somebody publishes, and its place in Keras's own cache, so that both share it.

    Attributes:
        name: What Keras calls it in its folder; parts are separated by `/`.
        url: Where it is published.
        size_bytes: Size of the published file.
        file_hash: Its MD5 or SHA-256 in hexadecimal, by its length; empty where the publisher gives none. Then the
            hash of the first copy is remembered beside it, so that a later damage is noticed.
        signature: The bytes with which every such file begins.
        other_names: What other versions of Keras, or other tutorials, call it.
        folder: The folder of Keras's cache.
        size_is_exact: Whether `size_bytes` is the published size; otherwise the file is a little larger.
    """

    name: str
    url: str
    size_bytes: int
    file_hash: str
    signature: bytes
    other_names: tuple[str, ...] = ()
    folder: Literal["datasets", "models"] = "datasets"
    size_is_exact: bool = True

    @property
    def path(self) -> Path:
        """Where its copy is, or will be."""
        return next((path for path in self._paths() if self._has_right_size(path)), self.own_path)

    @property
    def own_path(self) -> Path:
        """Where a copy goes that is fetched."""
        return self._paths()[0]

    @property
    def partial_path(self) -> Path:
        """Where an unfinished download is kept, so that the next try goes on from there."""
        return self.own_path.with_name(self.own_path.name + PART_SUFFIX)

    @property
    def is_here(self) -> bool:
        """Whether a copy of the right size is there; its content was not looked at, so a page may ask."""
        return self._has_right_size(self.path)

    @property
    def missing_bytes(self) -> int:
        """Size of what is left to fetch."""
        return 0 if self.is_here else max(0, self.size_bytes - size_of(self.partial_path))

    def sound_path(self) -> Path | None:
        """Return a copy with the right content, `None` when there is none; reads all of it."""
        return next((path for path in self._paths() if self.is_sound(path)), None)

    def is_sound(self, path: Path) -> bool:
        """Return whether a copy has the right size and content; reads all of it."""
        if not self._has_right_size(path):
            return False
        remembered = _remembered_path(path)
        expected = self.file_hash or (remembered.read_text(encoding="ascii").strip() if remembered.exists() else "")
        return not expected or has_hash(path, expected)

    def _paths(self) -> list[Path]:
        folder = keras_cache_dir() / self.folder
        return [folder.joinpath(*name.split("/")) for name in (self.name, *self.other_names)]

    def _has_right_size(self, path: Path) -> bool:
        size = size_of(path)
        return size == self.size_bytes if self.size_is_exact else size >= max(self.size_bytes, 1)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the server said about the whole file."""

    total_bytes: int
    md5: str


class _NetworkError(Exception):
    """The connection failed; `final` when trying again at once is of no use."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def fetch(
    file: PublishedFile,
    title: str,
    *,
    instead: str,
    progress: Progress | None = None,
    attempts: int = 3,
    timeout_seconds: float = 30,
) -> Path:
    """Return a sound copy of a file; it is fetched when there is none, and by one process at a time.

    A cut connection is taken up again where it broke, at once and in a later call.

    Args:
        file: What to fetch.
        title: What messages call it, such as `VGG16`.
        instead: What a person can do without it, the end of a sentence.
        progress: Called with `(bytes so far, bytes in total)`, the total 0 when unknown. What it raises
            ends the download; what came so far is kept.
        attempts: Connections that may break without bringing anything before this gives up.
        timeout_seconds: Silence after which a connection counts as broken.

    Returns:
        The file, complete and checked.

    Raises:
        DownloadError: If there is no network, or the file that came is not the right one.
        StorageError: If the file cannot be written.
    """
    progress = progress or _ignore
    try:
        path = file.sound_path()
        if path is None:
            with holding(
                Path(f"{file.partial_path}.lock"), lambda: progress(size_of(file.partial_path), file.size_bytes)
            ):
                path = file.sound_path() or _fetch(file, title, instead, progress, attempts, timeout_seconds)
        if not file.file_hash and not _remembered_path(path).exists():
            _remember(path)
    except OSError as error:
        raise storage_error(error, file.own_path) from error
    return path


def keras_cache_dir() -> Path:
    """Return the folder in which Keras keeps what it downloads, `KERAS_HOME` or `~/.keras`."""
    chosen = os.environ.get("KERAS_HOME")
    return Path(chosen).expanduser() if chosen else Path.home() / ".keras"


def is_reachable(url: str, timeout_seconds: float = 3) -> bool:
    """Return whether the server of an address answers, whatever it says.

    Never takes longer than the timeout, looking up the name included.
    """
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        with suppress(OSError, http.client.HTTPException):
            with suppress(urllib.error.HTTPError):  # an answer all the same
                urllib.request.urlopen(request, timeout=timeout_seconds).close()
            answered.set()

    # The timeout of a connection does not bound the look-up of a name, so a thread does the waiting.
    thread = threading.Thread(target=ask, name="is-reachable", daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    return answered.is_set()


def hash_of(path: Path, algorithm: str) -> str:
    """Return a file's `md5` or `sha256` in hexadecimal; an MD5 helps against damage and not against forgery."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def has_hash(path: Path, file_hash: str) -> bool:
    """Return whether a file has this MD5 (32 hexadecimal digits) or SHA-256 (64)."""
    return hash_of(path, "md5" if len(file_hash) == _MD5_DIGITS else "sha256") == file_hash


def size_of(path: Path) -> int:
    """Return a file's size in bytes, 0 when it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def megabytes(size_bytes: int) -> str:
    """Return a size as people read it, in millions of bytes."""
    return f"{size_bytes / 1e6:.0f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e6:.1f} MB"


def _ignore(_done: int, _total: int) -> None:
    """Show no progress."""


def _remembered_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _remember(path: Path) -> None:
    """Keep the hash of a copy for which none is published."""
    digest = hash_of(path, "sha256")
    write_atomically(_remembered_path(path), lambda temporary: temporary.write_text(digest, encoding="ascii"))


def _fetch(
    file: PublishedFile, title: str, instead: str, progress: Progress, attempts: int, timeout_seconds: float
) -> Path:
    """Fetch a file in place of a damaged copy or of none; return where it is."""
    try:
        answer = _connect(file, progress, attempts, timeout_seconds)
    except _NetworkError as error:
        done = size_of(file.partial_path)
        raise DownloadError(
            f"The download of {title} stopped after {megabytes(done)} of {megabytes(file.size_bytes)} "
            f"({error}). Check the network and try again: it goes on from there."
            if done
            else f"{title} could not be downloaded ({error}). Check the network and try again, or {instead}."
        ) from error
    if not _is_published(file, answer):
        file.partial_path.unlink()
        raise DownloadError(
            f"What came instead of {title} is not the published file, so it was deleted. Try again; "
            "if it happens again, the network may answer with a page of its own: ask who runs it."
        )
    file.partial_path.replace(file.own_path)
    if not file.file_hash:
        _remember(file.own_path)
    return file.own_path


def _connect(file: PublishedFile, progress: Progress, attempts: int, timeout_seconds: float) -> _Answer:
    """Connect until the partial file is complete; progress refills the attempts."""
    left = attempts
    while True:
        before = size_of(file.partial_path)
        try:
            answer = _continue(file, before, progress, timeout_seconds)
            if size_of(file.partial_path) >= answer.total_bytes:
                return answer
            failure = _NetworkError("the connection was cut")
        except _NetworkError as error:
            failure = error
        left = attempts if size_of(file.partial_path) > before else left - 1
        if failure.final or left <= 0:
            raise failure


def _continue(file: PublishedFile, have: int, progress: Progress, timeout_seconds: float) -> _Answer:
    """Append what one connection brings to the partial file."""
    request = urllib.request.Request(file.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout_seconds)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            # The partial file is as long as the whole one or longer; the check after the download decides.
            return _Answer(have, "")
        busy = error.code in (429, 500, 502, 503, 504)
        raise _NetworkError(f"the server answered {error.code} {error.reason}", final=not busy) from error
    except (OSError, http.client.HTTPException) as error:
        raise _network_error(error) from error
    with response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        done = have if resumed else 0
        answer = _read_answer(response, done, file.size_bytes)
        with file.partial_path.open("ab" if resumed else "wb") as part:
            progress(done, answer.total_bytes)
            while chunk := _read(response):
                part.write(chunk)
                done += len(chunk)
                progress(done, answer.total_bytes)
            part.flush()
            os.fsync(part.fileno())
    return answer


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _network_error(error) from error


def _read_answer(response: http.client.HTTPResponse, start: int, expected_bytes: int) -> _Answer:
    """Read the whole file's size and, from Google's storage, its MD5 (some publishers give no other hash)."""
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdigit() else expected_bytes
    for value in response.headers.get_all("x-goog-hash", []):
        for item in value.split(","):
            algorithm, _, digest = item.strip().partition("=")
            if algorithm == "md5":
                return _Answer(total, base64.b64decode(digest).hex())
    return _Answer(total, "")


def _is_published(file: PublishedFile, answer: _Answer) -> bool:
    """Return whether what came is the published file."""
    with file.partial_path.open("rb") as part:
        begins_right = part.read(len(file.signature)) == file.signature
    expected = file.file_hash or answer.md5
    size = size_of(file.partial_path)
    right_size = size == file.size_bytes if file.size_is_exact else size >= file.size_bytes
    return begins_right and (has_hash(file.partial_path, expected) if expected else right_size)


def _network_error(error: Exception) -> _NetworkError:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _NetworkError(
            "the server's certificate could not be checked: on a Mac run `Install Certificates.command` of the Python "
            "folder, in a school ask for its certificate",
            final=True,
        )
    return _NetworkError(str(cause) or type(cause).__name__)
