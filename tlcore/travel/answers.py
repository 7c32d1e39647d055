"""Whether arrays that arrived are what their names say: read by what reads them later, and looked through."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from tlcore.damage import DAMAGE_ERRORS
from tlcore.dataset import MAX_CLASS_NAME_LENGTH, MAX_CLASSES
from tlcore.errors import ArchiveError, TransferLabError
from tlcore.results.evaluation import FILE_NAME, TRAIN_FILE_NAME, VALIDATION_FILE_NAME, load_evaluation
from tlcore.simple_heads.heads import SIMPLE_HEAD_FILE, load_simple_head

EVALUATIONS = (FILE_NAME, VALIDATION_FILE_NAME, TRAIN_FILE_NAME)

_STAND_IN = re.compile(r"0{48}[0-9a-f]{16}")
"""What stands in the file of a project for a picture that was deleted."""

_WRONG = "It holds results that cannot be, so nothing was opened."


def is_known(key: str, pictures: Collection[str]) -> bool:
    """Whether a picture came with the file of a project, or is one that had been deleted before it left.

    Another one could be here already, as one of somebody else.
    """
    return key in pictures or _STAND_IN.fullmatch(key) is not None


def check_stored_arrays(path: Path, pictures: Collection[str]) -> None:
    """Check the values of an `.npz` file whose headers are right already.

    Args:
        path: Where it was written, by its own name.
        pictures: Keys of the pictures that came.

    Raises:
        ArchiveError: If it is no such file, or a value cannot be.
    """
    try:
        if path.name in EVALUATIONS:
            _check_evaluation(path, pictures)
        elif path.name == SIMPLE_HEAD_FILE:
            _check_head(path.parent)
        else:
            raise ValueError("nothing that a project has")
    except (*DAMAGE_ERRORS, TransferLabError) as error:
        raise ArchiveError(_WRONG) from error


def _check_evaluation(path: Path, pictures: Collection[str]) -> None:
    found = load_evaluation(path.parent, path.name)
    names = found.class_names
    _require(all(isinstance(name, str) and 0 < len(name) <= MAX_CLASS_NAME_LENGTH for name in names))
    _require(len(names) <= MAX_CLASSES and found.y_true.dtype.kind in "iu" and found.probabilities.dtype.kind == "f")
    _require(all(isinstance(key, str) and is_known(key, pictures) for key in found.images))
    # A comparison with what is no number is wrong.
    _require(bool(((found.probabilities >= 0) & (found.probabilities <= 1)).all()))


def _check_head(folder: Path) -> None:
    """Ask a head once: its answers must be probabilities, whatever its arrays hold."""
    head = load_simple_head(folder)
    arrays = head.arrays()
    _require(all(array.dtype.kind in "biuf" and np.isfinite(array).all() for array in arrays.values()))
    if "sizes" in arrays:
        features, labels = arrays["features"], arrays["labels"]
        num_classes, num_neighbours = map(int, arrays["sizes"])
        _require(features.ndim == 2 and labels.shape == features.shape[:1] and labels.dtype.kind in "iu")
        _require(0 < num_classes <= MAX_CLASSES and 0 < num_neighbours <= len(features))
        _require(bool(((labels >= 0) & (labels < num_classes)).all()))
        channels = features.shape[1]
    else:
        matrix = arrays["weights"] if "weights" in arrays else arrays["means"].T
        _require(matrix.ndim == 2 and 0 < matrix.shape[1] <= MAX_CLASSES)
        num_classes = matrix.shape[1]
        _require("bias" not in arrays or arrays["bias"].shape == (num_classes,))
        _require("temperature" not in arrays or float(arrays["temperature"]) > 0)
        channels = matrix.shape[0]
    answers = head.probabilities(np.ones((1, channels), np.float32))
    _require(answers.shape == (1, num_classes) and bool(np.isfinite(answers).all()))


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError("a value that cannot be")
