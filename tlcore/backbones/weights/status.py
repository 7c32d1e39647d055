"""Find, download and check the weights that a backbone starts with; loads no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tlcore.backbones.spec import BackboneSpec
from tlcore.backbones.weights.brought import brought_path, find_brought
from tlcore.config import IMAGENET, RANDOM
from tlcore.downloading import Progress, PublishedFile, fetch, has_hash, megabytes
from tlcore.errors import DownloadError, WeightsError
from tlcore.home import DataRoot

# Frozen random weights are the same in every run and process, so that cached features of them stay valid.
RANDOM_SEED = 0


@dataclass(frozen=True, slots=True)
class WeightsStatus:
    """What stands between a backbone and its weights.

    Attributes:
        state: `ready`; `download` when the network is needed; `bring` when a person's own file for this backbone
            is not here.
        download_bytes: Size of what is left to fetch; 0 unless `state` is `download`.
        path: Where the file is, or will be; `None` for random and embedded weights.
    """

    state: Literal["ready", "download", "bring"]
    download_bytes: int
    path: Path | None

    @property
    def ready_offline(self) -> bool:
        """Whether a run can start without a network."""
        return self.state == "ready"


def is_random(spec: BackboneSpec, weights: str) -> bool:
    """Return whether a backbone starts with random weights: by choice, or because it has no others.

    Args:
        spec: The backbone.
        weights: `ModelConfig.weights`.
    """
    return spec.weights is None or weights == RANDOM


def published_weights(spec: BackboneSpec) -> PublishedFile:
    """Return the file of pre-trained weights of a backbone.

    Raises:
        ValueError: If there is none, as for the small networks and for embedded weights.
    """
    if not isinstance(spec.weights, PublishedFile):
        raise ValueError(f"`spec` must be a backbone with published weights. Received: {spec.name}")
    return spec.weights


def weights_status(spec: BackboneSpec, home: DataRoot, weights: str = IMAGENET) -> WeightsStatus:
    """Return whether the weights are there; looks at the file's size only, so it is fast enough for a page.

    Args:
        spec: The backbone.
        home: The data root.
        weights: `ModelConfig.weights`.

    Raises:
        ValueError: If `weights` is neither `imagenet` nor `random` nor the key of a brought file.
    """
    if is_random(spec, weights):
        return WeightsStatus("ready", 0, None)
    if weights != IMAGENET:
        brought = find_brought(weights, home)
        fits = brought is not None and brought.backbone == spec.name
        return WeightsStatus("ready" if fits else "bring", 0, brought_path(weights, home))
    if spec.embedded:
        return WeightsStatus("ready", 0, None)
    published = published_weights(spec)
    return WeightsStatus("ready" if published.is_here else "download", published.missing_bytes, published.path)


def download_weights(spec: BackboneSpec, progress: Progress | None = None) -> Path:
    """Fetch the weights of a backbone into Keras's cache unless they are there, as `tlcore.downloading.fetch` does.

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


def require_weights(spec: BackboneSpec, home: DataRoot, weights: str = IMAGENET) -> Path | None:
    """Return the file of weights after checking it.

    Args:
        spec: The backbone.
        home: The data root.
        weights: `ModelConfig.weights`.

    Returns:
        The file, `None` for random and embedded weights: they need none.

    Raises:
        ValueError: If `weights` is neither `imagenet` nor `random` nor the key of a brought file.
        WeightsError: If the weights must be downloaded or brought first, or the file is damaged.
    """
    status = weights_status(spec, home, weights)
    path = status.path
    if path is None:
        return None
    if status.state == "download":
        raise WeightsError(
            f"The weights of {spec.title} are not on this computer. Download them on the Model page "
            f"({megabytes(status.download_bytes)}), or choose a backbone that is ready offline."
        )
    if status.state == "bring":
        raise WeightsError(
            f"The file with your own weights for {spec.title} is not on this computer. Bring it again on the Model "
            "page, or choose the ImageNet weights there."
        )
    if not (published_weights(spec).is_sound(path) if weights == IMAGENET else has_hash(path, weights)):
        way_on = "download it again" if weights == IMAGENET else "bring it again on the Model page"
        raise WeightsError(f"The weights of {spec.title} ({path.name}) are damaged. Delete this file and {way_on}.")
    return path
