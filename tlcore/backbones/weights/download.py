"""Download the weights of a backbone into Keras's cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tlcore.backbones.spec import BackboneSpec
from tlcore.backbones.weights.status import published_weights
from tlcore.downloading import Progress, fetch
from tlcore.errors import DownloadError, WeightsError


def download_weights(
    spec: BackboneSpec,
    *,
    progress: Progress | None = None,
    base_url: str | None = None,
    attempts: int = 3,
    timeout_seconds: float = 30,
) -> Path:
    """Fetch the weights of a backbone unless they are there, as `tlcore.downloading.fetch` does.

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
        ValueError: If the backbone has no published weights.
        WeightsError: If there is no network, or the file that came is not the right one.
        StorageError: If the file cannot be written.
    """
    file = published_weights(spec)
    if base_url:
        file = replace(file, url=f"{base_url.rstrip('/')}/{file.name}")
    instead = "choose a backbone that is ready offline"
    try:
        return fetch(
            file, spec.title, instead=instead, progress=progress, attempts=attempts, timeout_seconds=timeout_seconds
        )
    except DownloadError as error:
        raise WeightsError(str(error)) from error
