"""Find, prepare and check the weights that a backbone starts with; loads no TensorFlow by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tlcore.backbones.spec import BackboneSpec, WeightsSpec
from tlcore.backbones.weights.brought import brought_path, find_brought
from tlcore.config import IMAGENET, RANDOM
from tlcore.downloading import has_hash, keras_cache_dir, megabytes, partial_of, size_of
from tlcore.errors import WeightsError
from tlcore.home import DataRoot

# Random weights are the same in every run and process, so that cached features of them stay valid.
RANDOM_SEED = 0

WeightsState = Literal["ready", "convert", "download", "bring"]


@dataclass(frozen=True, slots=True)
class WeightsStatus:
    """What stands between a backbone and its weights.

    Attributes:
        state: `ready`; `convert` when the embedded file must first be put into Keras's format
            (seconds, no network); `download` when the network is needed; `bring` when a person's own
            file for this backbone is not here.
        download_bytes: Size of what is left to fetch; 0 unless `state` is `download`.
        path: Where the file is, or will be; `None` for random weights.
    """

    state: WeightsState
    download_bytes: int
    path: Path | None

    @property
    def ready_offline(self) -> bool:
        """Whether a run can start without a network."""
        return self.state in ("ready", "convert")


def is_random(spec: BackboneSpec, weights: str) -> bool:
    """Return whether a backbone starts with random weights: by choice, or because it has no others.

    Args:
        spec: The backbone.
        weights: `ModelConfig.weights`.
    """
    return spec.weights is None or weights == RANDOM


def weights_path(spec: BackboneSpec, home: DataRoot) -> Path:
    """Return where the published weights of a backbone are, or will be.

    Args:
        spec: The backbone.
        home: The data root. Only embedded weights lie there.

    Raises:
        ValueError: If the backbone has no published weights.
    """
    published = published_weights(spec)
    if published.embedded:
        return home.backbones_dir / published.filename
    return keras_cache_dir() / "models" / published.filename


def published_weights(spec: BackboneSpec) -> WeightsSpec:
    """Return the file of pre-trained weights of a backbone.

    Raises:
        ValueError: If there is none, as for the small networks.
    """
    if spec.weights is None:
        raise ValueError(f"`spec` must be a backbone with published weights. Received: {spec.name}")
    return spec.weights


def partial_path(spec: BackboneSpec, home: DataRoot) -> Path:
    """Return where an unfinished download is kept, so that the next try goes on from there."""
    return partial_of(weights_path(spec, home))


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
    path = weights_path(spec, home)
    if size_of(path) >= max(spec.download_bytes, 1):
        return WeightsStatus("ready", 0, path)
    if spec.embedded:
        return WeightsStatus("convert", 0, path)
    return WeightsStatus("download", max(0, spec.download_bytes - size_of(partial_path(spec, home))), path)


def require_weights(spec: BackboneSpec, home: DataRoot, weights: str = IMAGENET) -> Path | None:
    """Return the file of weights after checking it; only embedded weights may still have to be written there.

    Args:
        spec: The backbone.
        home: The data root.
        weights: `ModelConfig.weights`.

    Returns:
        The file, `None` for random weights: they need none.

    Raises:
        ValueError: If `weights` is neither `imagenet` nor `random` nor the key of a brought file.
        WeightsError: If the weights must be downloaded or brought first, or the file is damaged.
    """
    status = weights_status(spec, home, weights)
    if status.path is None or status.state == "convert":
        return status.path
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
    file_hash = published_weights(spec).file_hash if weights == IMAGENET else weights
    if file_hash and not has_hash(status.path, file_hash):
        way_on = "download it again" if weights == IMAGENET else "bring it again on the Model page"
        raise WeightsError(f"The weights of {spec.title} in {status.path} are damaged. Delete this file and {way_on}.")
    return status.path
