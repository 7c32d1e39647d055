"""Pictures to probabilities with LiteRT and a simple head: the compiled frozen backbone, then NumPy."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlcore.documents import read_document
from tlcore.errors import RunError
from tlcore.features.litert import CompiledModel, Loader
from tlcore.home import DataRoot
from tlcore.results.prediction import SPEC_FILE, Predictor, PredictorSpec, build_predictor, load_frozen_part
from tlcore.simple_heads.heads import NeighboursHead, SimpleHead, load_simple_head


def simple_head_predictor(
    spec: PredictorSpec, prefix: CompiledModel, head: SimpleHead, lock: threading.Lock | None = None
) -> Predictor:
    """Return a predictor that puts a simple head behind its compiled backbone.

    Args:
        spec: Classes, the backbone, and how a picture becomes square.
        prefix: The compiled backbone.
        head: The head.
        lock: Held while a picture is answered; of its own unless others use the same backbone.
    """
    if isinstance(head, NeighboursHead):
        # Once, not for each of the hundred answers that a heat map needs.
        head = replace(head, features=head.features.astype(np.float32))

    def answer(features: NDArray[np.generic]) -> NDArray[np.float32]:
        return np.asarray(head.probabilities(features[np.newaxis])[0])

    if not isinstance(head, NeighboursHead):
        return build_predictor(spec, prefix, answer, lock)
    likeness = head.likeness
    return build_predictor(spec, prefix, answer, lock, lambda features: likeness(features[np.newaxis])[0])


def load_simple_head_predictor(folder: Path, home: DataRoot, load: Loader = CompiledModel) -> Predictor:
    """Return the predictor of a trained head.

    Args:
        folder: Its folder.
        home: The data root.
        load: Loads the frozen part.

    Raises:
        FrozenPartError: If the compiled frozen part is missing or damaged.
        RunError: If its own files are.
    """
    head = load_simple_head(folder)
    try:
        spec = read_document((folder / SPEC_FILE).read_bytes(), PredictorSpec)
    except (OSError, ValueError) as error:
        raise RunError("The files of this simple head are missing or damaged. Train it again.") from error
    prefix = load_frozen_part(spec.prefix, home, load)
    return simple_head_predictor(spec, prefix, head)
