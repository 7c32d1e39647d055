"""Pictures to probabilities with LiteRT and a simple head: the compiled frozen backbone, then NumPy."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlcore.config import from_json
from tlcore.engines import compiled_prefix_path
from tlcore.errors import RunError
from tlcore.home import home_dir
from tlcore.litert import CompiledModel
from tlcore.prediction import SPEC_FILE, PredictorSpec
from tlcore.probes import Probe, load_probe
from tlcore.resizing import resize_image


class ProbePredictor:
    """A simple head behind its compiled backbone, with the interface of `tlcore.prediction.Predictor`.

    Several threads may call it; one at a time gets its answer.

    Args:
        spec: Classes, and how a picture becomes square.
        prefix: The compiled backbone.
        probe: The head.
        lock: Held while the backbone works; of its own unless others use the same backbone.
    """

    def __init__(
        self, spec: PredictorSpec, prefix: CompiledModel, probe: Probe, lock: threading.Lock | None = None
    ) -> None:
        self._spec = spec
        self._prefix = prefix
        self._probe = probe
        self._lock = lock or threading.Lock()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the probabilities."""
        return self._spec.class_names

    @property
    def class_colors(self) -> tuple[int, ...]:
        """Colour numbers in the order of the probabilities."""
        return self._spec.class_colors

    @property
    def image_size(self) -> int:
        """Side of the square picture that the backbone sees, in pixels."""
        return self._spec.prefix.image_size

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the probabilities of each class for each picture.

        Args:
            images: uint8 RGB pixels of shape `(height, width, 3)` each, of any size.

        Returns:
            float32 of shape `(len(images), classes)`; each row sums to 1.
        """
        features = np.zeros((len(images), *self._spec.prefix.shape), np.float32)
        for row, image in enumerate(images):
            square = resize_image(image, self._spec.prefix.image_size, self._spec.resize_mode)
            with self._lock:
                features[row] = self._prefix(square)
        return self._probe.probabilities(features)


def load_probe_predictor(folder: Path, home: Path | None = None) -> ProbePredictor:
    """Return the predictor of a trained head.

    Raises:
        RunError: If its files are missing or damaged.
    """
    probe = load_probe(folder)
    try:
        spec = from_json((folder / SPEC_FILE).read_bytes(), PredictorSpec)
    except (OSError, ValueError) as error:
        raise RunError("The files of this simple head are missing or damaged. Train it again.") from error
    return ProbePredictor(spec, CompiledModel(compiled_prefix_path(spec.prefix, home or home_dir())), probe)
