"""Weights that a person brought: kept by their content; loads no TensorFlow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tlcore.documents import read_document
from tlcore.downloading import size_of
from tlcore.home import DataRoot

_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class BroughtWeights:
    """A file of weights that was accepted.

    Attributes:
        key: SHA-256 of the kept file; `ModelConfig.weights` names it by this.
        backbone: Name of the backbone that it belongs to.
        filename: Name of the file that the person brought. A person wrote it: show it as plain text.
    """

    key: str
    backbone: str
    filename: str


def brought_path(key: str, home: DataRoot) -> Path:
    """Return where a brought file of weights is kept.

    Raises:
        ValueError: If `key` is not the key of a brought file, so that no name can lead elsewhere.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(
            f"`weights` must be 'imagenet', 'random' or the key of a brought file. Received: weights={key!r}"
        )
    return home.brought_weights_dir / f"{key}.weights.h5"


def description_path(key: str, home: DataRoot) -> Path:
    """Return where it is written down what a brought file is; errors as in `brought_path`."""
    return brought_path(key, home).with_name(f"{key}.json")


def find_brought(key: str, home: DataRoot) -> BroughtWeights | None:
    """Return what is known about a brought file, `None` when it is not on this computer.

    Raises:
        ValueError: If `key` is not the key of a brought file.
    """
    if not size_of(brought_path(key, home)):
        return None
    try:
        return read_document(description_path(key, home).read_bytes(), BroughtWeights)
    except (OSError, ValueError):
        # Half of a pair is as good as none: the person brings the file again.
        return None
