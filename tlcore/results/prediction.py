"""Pictures to probabilities with LiteRT: the compiled prefix that all runs share, and the run's own suffix."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlcore.config import ResizeMode
from tlcore.dataset import Dataset
from tlcore.documents import read_document, write_document
from tlcore.errors import RunError
from tlcore.features.engines import compiled_prefix_path
from tlcore.features.litert import CompiledModel
from tlcore.home import DataRoot, write_atomically
from tlcore.images.resizing import resize_image
from tlcore.model.cut import PIXELS, ModelPlan, Prefix

SPEC_FILE = "predictor.json"
SUFFIX_FILE = "suffix.tflite"


@dataclass(frozen=True, slots=True)
class PredictorSpec:
    """What turns a picture into probabilities, besides the two compiled models.

    Attributes:
        prefix: The frozen part.
        resize_mode: How a picture becomes square.
        class_names: In the order of the probabilities.
        class_colors: Colour numbers of the classes, in the same order.
    """

    prefix: Prefix
    resize_mode: ResizeMode
    class_names: tuple[str, ...]
    class_colors: tuple[int, ...]

    @classmethod
    def of(cls, plan: ModelPlan, dataset: Dataset) -> PredictorSpec:
        """Return that of a model which was trained on a data set."""
        colors = tuple(label.color for label in dataset.classes)
        return cls(plan.prefix, plan.config.resize_mode, dataset.class_names, colors)


def save_predictor_spec(spec: PredictorSpec, run_dir: Path) -> None:
    """Write the description beside the run's compiled suffix."""
    write_atomically(run_dir / SPEC_FILE, lambda path: path.write_text(write_document(spec), "utf-8"))


class Predictor:
    """A trained model for the pages; several threads may call it, one at a time gets its answer.

    Args:
        spec: Classes, the frozen part, and how a picture becomes square.
        prefix: The compiled frozen part; `None` when nothing is frozen.
        suffix: Features of one picture to its probabilities, float32 of shape `(classes,)`.
        lock: Held while a picture is answered; of its own unless others use the same prefix.
    """

    def __init__(
        self,
        spec: PredictorSpec,
        prefix: CompiledModel | None,
        suffix: Callable[[NDArray[np.generic]], NDArray[np.float32]],
        lock: threading.Lock | None = None,
    ) -> None:
        self._spec = spec
        self._prefix = prefix
        self._suffix = suffix
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
        """Side of the square picture that the model sees, in pixels."""
        return self._spec.prefix.image_size

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the probabilities of each class for each picture.

        Args:
            images: uint8 RGB pixels of shape `(height, width, 3)` each, of any size.

        Returns:
            float32 of shape `(len(images), classes)`; each row sums to 1.
        """
        rows = []
        for image in images:
            square = resize_image(image, self._spec.prefix.image_size, self._spec.resize_mode)
            with self._lock:
                features = square if self._prefix is None else self._prefix(square)
                rows.append(np.array(self._suffix(features)))
        return np.stack(rows) if rows else np.zeros((0, len(self.class_names)), np.float32)


def load_predictor(run_dir: Path, home: DataRoot) -> Predictor:
    """Return the predictor of a run that ended with a model.

    Raises:
        RunError: If its files are missing or damaged.
    """
    try:
        spec = read_document((run_dir / SPEC_FILE).read_bytes(), PredictorSpec)
    except (OSError, ValueError) as error:
        raise RunError("The model of this run is missing or damaged. Train again to make a new one.") from error
    threads = min(2, os.cpu_count() or 1)
    prefix = None
    if spec.prefix.cut != PIXELS:
        prefix = CompiledModel(compiled_prefix_path(spec.prefix, home), threads)
    return Predictor(spec, prefix, CompiledModel(run_dir / SUFFIX_FILE, threads))
