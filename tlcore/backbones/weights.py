"""Find, prepare and check the pre-trained weights of a backbone; loads no TensorFlow by itself."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tlcore.backbones.spec import BackboneSpec
from tlcore.errors import WeightsError
from tlcore.home import home_dir, write_atomically

WeightsState = Literal["ready", "convert", "download"]


@dataclass(frozen=True, slots=True)
class WeightsStatus:
    """What stands between a backbone and its weights.

    Attributes:
        state: `ready`; `convert` when the embedded file must first be put into Keras's format
            (seconds, no network); `download` when the network is needed.
        download_bytes: Size of what is left to fetch; 0 unless `state` is `download`.
        path: Where the file is, or will be.
    """

    state: WeightsState
    download_bytes: int
    path: Path

    @property
    def ready_offline(self) -> bool:
        """Whether a run can start without a network."""
        return self.state != "download"


def keras_models_dir() -> Path:
    """Return the folder in which Keras keeps downloaded weights, `KERAS_HOME/models` or `~/.keras/models`."""
    chosen = os.environ.get("KERAS_HOME")
    return (Path(chosen).expanduser() if chosen else Path.home() / ".keras") / "models"


def weights_path(spec: BackboneSpec, home: Path | None = None) -> Path:
    """Return where the weights of a backbone are, or will be.

    Args:
        spec: The backbone.
        home: The data root; by default `home_dir()`. Only embedded weights lie there.
    """
    if spec.embedded:
        return (home or home_dir()) / "backbones" / spec.weights.filename
    return keras_models_dir() / spec.weights.filename


def partial_path(spec: BackboneSpec, home: Path | None = None) -> Path:
    """Return where an unfinished download is kept, so that the next try goes on from there."""
    path = weights_path(spec, home)
    return path.with_name(path.name + ".part")


def weights_status(spec: BackboneSpec, home: Path | None = None) -> WeightsStatus:
    """Return whether the weights are there; looks at the file's size only, so it is fast enough for a page."""
    path = weights_path(spec, home)
    if _size(path) >= max(spec.download_bytes, 1):
        return WeightsStatus("ready", 0, path)
    if spec.embedded:
        return WeightsStatus("convert", 0, path)
    return WeightsStatus("download", max(0, spec.download_bytes - _size(partial_path(spec, home))), path)


def require_weights(spec: BackboneSpec, home: Path | None = None) -> Path:
    """Return the file of weights after checking it; embedded weights are prepared when they are not yet.

    Raises:
        WeightsError: If the weights must be downloaded first, or the file is damaged.
    """
    status = weights_status(spec, home)
    if status.state == "convert":
        return prepare_embedded(home)
    if status.state == "download":
        raise WeightsError(
            f"The weights of {spec.title} are not on this computer. Download them on the Model page "
            f"({megabytes(status.download_bytes)}), or choose a backbone that is ready offline."
        )
    if spec.weights.md5 and md5_of(status.path) != spec.weights.md5:
        raise WeightsError(
            f"The weights of {spec.title} in {status.path} are damaged. Delete this file and download it again."
        )
    return status.path


def prepare_embedded(home: Path | None = None) -> Path:
    """Put the embedded weights into Keras's format under the data root, once.

    Loads Keras when there is something to do: call it from the launcher or a worker, never from a page.

    Returns:
        The file.

    Raises:
        WeightsError: If the package with the weights is missing or damaged.
        StorageError: If the data root cannot be written.
    """
    from tlcore.backbones.keras_models import save_embedded_weights
    from tlcore.backbones.registry import get_backbone

    path = weights_path(get_backbone("efficientnet_lite0"), home)
    if not _size(path):
        write_atomically(path, save_embedded_weights)
    return path


def md5_of(path: Path) -> str:
    """Return a file's MD5 in hexadecimal; Keras publishes this hash, against damage and not against forgery."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def megabytes(size_bytes: int) -> str:
    """Return a size as people read it, in millions of bytes."""
    return f"{size_bytes / 1e6:.0f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e6:.1f} MB"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
