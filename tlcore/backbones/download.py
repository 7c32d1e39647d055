"""Download the weights of a backbone into Keras's cache: progress, resume, checked hash, never a half file."""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from tlcore.backbones.spec import BackboneSpec
from tlcore.backbones.weights import md5_of, megabytes, partial_path, weights_path, weights_status
from tlcore.errors import WeightsError
from tlcore.home import storage_error

CHUNK_BYTES = 256 * 1024
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the server said about the whole file."""

    total_bytes: int
    md5: str


def download_weights(
    spec: BackboneSpec,
    *,
    progress: Progress | None = None,
    base_url: str | None = None,
    attempts: int = 3,
    timeout_seconds: float = 30,
) -> Path:
    """Fetch the weights of a backbone unless they are there; two processes do not fetch the same file twice.

    A cut connection is taken up again where it broke, at once and in a later call.

    Args:
        spec: The backbone.
        progress: Called with `(bytes so far, bytes in total)`, the total 0 when unknown. What it raises
            ends the download; what came so far is kept.
        base_url: Folder to fetch from instead of the publisher's, for a mirror in a school.
        attempts: Connections that may break without bringing anything before this gives up.
        timeout_seconds: Silence after which a connection counts as broken.

    Returns:
        The file, complete and checked.

    Raises:
        WeightsError: If there is no network, or the file that came is not the right one.
        StorageError: If the file cannot be written.
    """
    path, part = weights_path(spec), partial_path(spec)
    if weights_status(spec).ready_offline:
        return path
    url = f"{base_url.rstrip('/')}/{spec.weights.filename}" if base_url else spec.weights.url
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{part}.lock"):
            if not weights_status(spec).ready_offline:
                answer = _fetch(spec, url, part, progress or _ignore, attempts, timeout_seconds)
                _check(spec, part, answer)
                part.replace(path)
    except OSError as error:
        raise storage_error(error, path) from error
    return path


def _ignore(_done: int, _total: int) -> None:
    """Show no progress."""


def _fetch(
    spec: BackboneSpec, url: str, part: Path, progress: Progress, attempts: int, timeout_seconds: float
) -> _Answer:
    """Connect until the partial file is complete; progress refills the attempts."""
    left = attempts
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            answer = _continue(spec, url, part, before, progress, timeout_seconds)
            done = part.stat().st_size
            if done >= answer.total_bytes:
                return answer
            reason = "the connection was cut"
        except _NetworkError as error:
            if error.final:
                raise WeightsError(_failure(spec, part, str(error))) from error
            done = part.stat().st_size if part.exists() else 0
            reason = str(error)
        left = attempts if done > before else left - 1
        if left <= 0:
            raise WeightsError(_failure(spec, part, reason))


class _NetworkError(Exception):
    """The connection failed; `final` when trying again at once is of no use."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def _continue(
    spec: BackboneSpec, url: str, part: Path, have: int, progress: Progress, timeout_seconds: float
) -> _Answer:
    """Append what one connection brings to the partial file."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
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
        answer = _read_answer(response, done, spec.download_bytes)
        with part.open("ab" if resumed else "wb") as file:
            progress(done, answer.total_bytes)
            while chunk := _read(response):
                file.write(chunk)
                done += len(chunk)
                progress(done, answer.total_bytes)
            file.flush()
            os.fsync(file.fileno())
    return answer


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _network_error(error) from error


def _read_answer(response: http.client.HTTPResponse, start: int, expected_bytes: int) -> _Answer:
    """Read the whole file's size and, from Google's storage, its MD5 (Keras gives none for MobileNetV2)."""
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdigit() else expected_bytes
    for value in response.headers.get_all("x-goog-hash", []):
        for item in value.split(","):
            algorithm, _, digest = item.strip().partition("=")
            if algorithm == "md5":
                return _Answer(total, base64.b64decode(digest).hex())
    return _Answer(total, "")


def _check(spec: BackboneSpec, part: Path, answer: _Answer) -> None:
    """Refuse and remove a file that is not the published one."""
    with part.open("rb") as file:
        is_hdf5 = file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    expected = spec.weights.md5 or answer.md5
    is_same = md5_of(part) == expected if expected else part.stat().st_size == spec.download_bytes
    if is_hdf5 and is_same:
        return
    part.unlink()
    raise WeightsError(
        f"What came instead of the weights of {spec.title} is not the published file, so it was deleted. Try again; "
        "if it happens again, the network may answer with a page of its own: ask who runs it."
    )


def _network_error(error: Exception) -> _NetworkError:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _NetworkError(
            "the server's certificate could not be checked: on a Mac run `Install Certificates.command` of the Python "
            "folder, in a school ask for its certificate",
            final=True,
        )
    return _NetworkError(str(cause) or type(cause).__name__)


def _failure(spec: BackboneSpec, part: Path, reason: str) -> str:
    done = part.stat().st_size if part.exists() else 0
    if done:
        return (
            f"The download of {spec.title} stopped after {megabytes(done)} of {megabytes(spec.download_bytes)} "
            f"({reason}). Check the network and try again: it goes on from there."
        )
    return (
        f"{spec.title} could not be downloaded ({reason}). Check the network and try again, "
        "or choose a backbone that is ready offline."
    )
