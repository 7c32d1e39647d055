"""Download the weights of a backbone into Keras's cache."""

from __future__ import annotations

from pathlib import Path

from tlcore.backbones.spec import BackboneSpec
from tlcore.backbones.weights.status import published_weights
from tlcore.downloading import Progress, fetch
from tlcore.errors import DownloadError, WeightsError


def download_weights(spec: BackboneSpec, progress: Progress | None = None) -> Path:
    """Fetch the weights of a backbone unless they are there, as `tlcore.downloading.fetch` does.

    Args:
        spec: The backbone.
        progress: Called with `(bytes so far, bytes in total)`, the total 0 when unknown. What it raises
            ends the download; what came so far is kept.

    Returns:
        The file, complete and checked.

    Raises:
        ValueError: If the backbone has no published weights.
        WeightsError: If there is no network, or the file that came is not the right one.
        StorageError: If the file cannot be written.
    """
    instead = "choose a backbone that is ready offline"
    try:
        return fetch(published_weights(spec), spec.title, instead=instead, progress=progress)
    except DownloadError as error:
        raise WeightsError(str(error)) from error
