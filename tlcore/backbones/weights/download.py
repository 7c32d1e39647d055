"""Download the weights of a backbone into Keras's cache."""

from __future__ import annotations

from pathlib import Path

from tlcore.backbones.spec import HDF5_SIGNATURE, BackboneSpec
from tlcore.backbones.weights.status import published_weights, weights_path, weights_status
from tlcore.downloading import Progress, RemoteFile, fetch
from tlcore.errors import DownloadError, WeightsError
from tlcore.home import DataRoot


def download_weights(
    spec: BackboneSpec,
    home: DataRoot,
    *,
    progress: Progress | None = None,
    base_url: str | None = None,
    attempts: int = 3,
    timeout_seconds: float = 30,
) -> Path:
    """Fetch the weights of a backbone unless they are there, as `tlcore.downloading.fetch` does.

    Args:
        spec: The backbone.
        home: The data root.
        progress: Called with `(bytes so far, bytes in total)`, the total 0 when unknown. What it raises
            ends the download; what came so far is kept.
        base_url: Folder to fetch from instead of the publisher's, for a mirror in a school.
        attempts: Connections that may break without bringing anything before this gives up.
        timeout_seconds: Silence after which a connection counts as broken.

    Returns:
        The file, complete and checked.

    Raises:
        ValueError: If the backbone has no published weights.
        WeightsError: If there is no network, or the file that came is not the right one.
        StorageError: If the file cannot be written.
    """
    published, path = published_weights(spec), weights_path(spec, home)
    if weights_status(spec, home).ready_offline:
        return path
    file = RemoteFile(
        title=spec.title,
        url=f"{base_url.rstrip('/')}/{published.filename}" if base_url else published.url,
        path=path,
        size_bytes=published.download_bytes,
        file_hash=published.file_hash,
        signature=HDF5_SIGNATURE,
        instead="choose a backbone that is ready offline",
        size_is_exact=published.size_is_exact,
    )
    try:
        return fetch(file, progress=progress, attempts=attempts, timeout_seconds=timeout_seconds)
    except DownloadError as error:
        raise WeightsError(str(error)) from error
