"""Pictures to probabilities with LiteRT: the compiled prefix that all runs share, and the run's own suffix."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlcore.config import ResizeMode
from tlcore.dataset import Dataset
from tlcore.documents import read_document, write_document
from tlcore.errors import FrozenPartError, RunError
from tlcore.features.engines import compiled_prefix_path
from tlcore.features.litert import CompiledModel, Loader
from tlcore.home import DataRoot, write_atomically
from tlcore.images.resizing import resize_image
from tlcore.model.cut import PIXELS, POOLING, ModelPlan, Prefix, is_whole_backbone

SPEC_FILE = "predictor.json"
SUFFIX_FILE = "suffix.tflite"
MOST_PLACES_SECONDS = 0.3
"""When asking without each place would take longer, it is left out."""
BLOCK_SIDE = 2
"""Side of the blocks that a head which sees every place is asked without. Such maps alone found a planted patch in 36
of 38 pictures, with blocks of one place in 28 and of three in 23."""


@dataclass(frozen=True, slots=True)
class PredictorSpec:
    """What turns a picture into probabilities, besides the two compiled models.

    Attributes:
        prefix: The frozen part.
        resize_mode: How a picture becomes square.
        class_names: In the order of the probabilities.
        class_colors: Colour numbers of the classes, in the same order.
        grey_range: That of the data set, for pictures of more than 8 bits.
    """

    prefix: Prefix
    resize_mode: ResizeMode
    class_names: tuple[str, ...]
    class_colors: tuple[int, ...]
    grey_range: tuple[float, float] | None = None

    @classmethod
    def of(cls, plan: ModelPlan, dataset: Dataset) -> PredictorSpec:
        """Return that of a model which was trained on a data set."""
        colors = tuple(label.color for label in dataset.classes)
        return cls(plan.prefix, plan.config.resize_mode, dataset.class_names, colors, dataset.grey_range)


def save_predictor_spec(spec: PredictorSpec, run_dir: Path) -> None:
    """Write the description beside the run's compiled suffix."""
    write_atomically(run_dir / SPEC_FILE, lambda path: path.write_text(write_document(spec), "utf-8"))


@dataclass(frozen=True, slots=True, eq=False)
class PlaceAnswers:
    """A model's answers to a picture when what it found at one place after the other is taken out.

    Attributes:
        whole: Probabilities with nothing taken out, float32 of shape `(classes,)`; finer ones where it has such.
        without: Probabilities without each place, float32 of shape `(rows, columns, classes)`; the places are spread
            evenly over the square that the model sees.
        resize_mode: How the picture became that square.
        weight: How much the model counts: less than 1 for a member of a group.
    """

    whole: NDArray[np.float32]
    without: NDArray[np.float32]
    resize_mode: ResizeMode
    weight: float = 1.0


def no_places(_image: NDArray[np.uint8]) -> tuple[PlaceAnswers, ...]:
    """Return no answers: of a model whose features have no places that can be taken out one by one."""
    return ()


FinePredict = Callable[[Sequence[NDArray[np.uint8]]], tuple[NDArray[np.float32], NDArray[np.float32]]]


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """A model that answers: of a run, a simple head, a group; several threads may ask it.

    Attributes:
        class_names: Names in the order of the probabilities.
        class_colors: Colour numbers in the order of the probabilities.
        image_size: Side of the square picture that the model sees, in pixels; the largest one of a group.
        predict: Takes uint8 RGB pixels of shape `(height, width, 3)` each, of any size; returns the probabilities of
            each class for each picture, float32 of shape `(len(images), classes)`, whose rows sum to 1.
        grey_range: How `tlcore.intake.pictures.decoding.pixels_of` must read a picture of more than 8 bits for it.
        places: Takes one picture as `predict` does; returns the answers without each place of a frozen backbone's
            features, of each member of a group that has such; nothing where that is not possible or takes long.
        threshold: Least probability of an answer, in `[0, 1]`; below it the model does not know. 0: always answers.
        predict_finely: Takes pictures as `predict` does; returns the same answers, and probabilities that change with
            every change of a picture and of which no temperature took anything, of the same shape. `None` of a model
            whose answers are so themselves.
        temperature: By which its probabilities are scaled, see `tlcore.results.calibration`; 1: not at all.
    """

    class_names: tuple[str, ...]
    class_colors: tuple[int, ...]
    image_size: int
    predict: Callable[[Sequence[NDArray[np.uint8]]], NDArray[np.float32]]
    grey_range: tuple[float, float] | None = None
    places: Callable[[NDArray[np.uint8]], tuple[PlaceAnswers, ...]] = no_places
    threshold: float = 0.0
    predict_finely: FinePredict | None = None
    temperature: float = 1.0

    def ask_finely(self, images: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the answers and the finer ones, which are the same where there are no others."""
        if self.predict_finely is not None:
            return self.predict_finely(images)
        answers = self.predict(images)
        return answers, answers


def build_predictor(
    spec: PredictorSpec,
    prefix: CompiledModel | None,
    suffix: Callable[[NDArray[np.generic]], NDArray[np.float32]],
    lock: threading.Lock | None = None,
    finer: Callable[[NDArray[np.generic]], NDArray[np.float32]] | None = None,
) -> Predictor:
    """Return a predictor that takes one picture at a time.

    Args:
        spec: Classes, the frozen part, and how a picture becomes square.
        prefix: The compiled frozen part; `None` when nothing is frozen.
        suffix: Features of one picture to its probabilities, float32 of shape `(classes,)`.
        lock: Held while a picture is answered; of its own unless others use the same prefix.
        finer: As `suffix`, for heat maps, where its probabilities change in steps.
    """
    answering = lock or threading.Lock()

    def ask(
        images: Sequence[NDArray[np.uint8]], suffixes: Sequence[Callable[[NDArray[np.generic]], NDArray[np.float32]]]
    ) -> NDArray[np.float32]:
        answers = np.zeros((len(suffixes), len(images), len(spec.class_names)), np.float32)
        for number, image in enumerate(images):
            square = resize_image(image, spec.prefix.image_size, spec.resize_mode)
            with answering:
                features = square if prefix is None else prefix(square)
                for one, answer in enumerate(suffixes):
                    answers[one, number] = answer(features)
        return answers

    def predict(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        answers: NDArray[np.float32] = ask(images, [suffix])[0]
        return answers

    def predict_finely(images: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        coarse, fine = ask(images, [suffix, finer or suffix])
        return coarse, fine

    def places(image: NDArray[np.uint8]) -> tuple[PlaceAnswers, ...]:
        if prefix is None or not (spec.prefix.cut == POOLING or is_whole_backbone(spec.prefix)):
            return ()
        without = _without_places if spec.prefix.cut == POOLING else _without_blocks
        square = resize_image(image, spec.prefix.image_size, spec.resize_mode)
        with answering:
            found = without(prefix, finer or suffix, square)
        return () if found is None else (PlaceAnswers(*found, spec.resize_mode),)

    return Predictor(
        spec.class_names,
        spec.class_colors,
        spec.prefix.image_size,
        predict,
        spec.grey_range,
        places,
        predict_finely=predict_finely if finer else None,
    )


def _without_places(
    prefix: CompiledModel, suffix: Callable[[NDArray[np.generic]], NDArray[np.float32]], square: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Return the answer, and the answers without each place; `None` where no average is seen, or it takes long."""
    features = prefix.before_average(square)
    if features is None:
        return None
    rows, columns = features.shape[:2]
    mean = features.mean(axis=(0, 1))
    started = time.perf_counter()
    whole = np.array(suffix(mean))
    if (time.perf_counter() - started) * rows * columns > MOST_PLACES_SECONDS:
        return None
    without = np.empty((rows, columns, len(whole)), np.float32)
    for row in range(rows):
        for column in range(columns):
            without[row, column] = suffix(mean - features[row, column] / (rows * columns))
    return whole, without


def _without_blocks(
    prefix: CompiledModel, suffix: Callable[[NDArray[np.generic]], NDArray[np.float32]], square: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Return the same of a head that sees every place itself; where one is taken out, it sees the mean of all.

    What shows at one place shows beside it too, so blocks of places are taken out. The answer without a place is the
    mean over the blocks that hold it, of the logarithms, as its score is one.
    """
    features = prefix(square)
    rows, columns = features.shape[:2]
    mean = features.mean(axis=(0, 1))
    started = time.perf_counter()
    whole = np.array(suffix(features))
    if (time.perf_counter() - started) * rows * columns > MOST_PLACES_SECONDS:
        return None
    logs, blocks = np.zeros((rows, columns, len(whole))), np.zeros((rows, columns, 1))
    for row in range(max(1, rows - BLOCK_SIDE + 1)):
        for column in range(max(1, columns - BLOCK_SIDE + 1)):
            block = slice(row, row + BLOCK_SIDE), slice(column, column + BLOCK_SIDE)
            changed = features.copy()
            changed[block] = mean
            logs[block] += np.log(np.maximum(suffix(changed), np.finfo(np.float32).tiny))
            blocks[block] += 1
    logs /= blocks
    powers = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return whole, np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def load_predictor(run_dir: Path, home: DataRoot, load: Loader = CompiledModel) -> Predictor:
    """Return the predictor of a run that ended with a model.

    Args:
        run_dir: Its folder.
        home: The data root.
        load: Loads the frozen part.

    Raises:
        FrozenPartError: If the compiled frozen part is missing or damaged.
        RunError: If its own files are.
    """
    try:
        spec = read_document((run_dir / SPEC_FILE).read_bytes(), PredictorSpec)
    except (OSError, ValueError) as error:
        raise RunError("The model of this run is missing or damaged. Train again to make a new one.") from error
    prefix = None
    if spec.prefix.cut != PIXELS:
        prefix = load_frozen_part(spec.prefix, home, load)
    return build_predictor(spec, prefix, CompiledModel(run_dir / SUFFIX_FILE, answering_threads()))


def answering_threads() -> int:
    """Return how many threads one answer may use: others want theirs at the same time."""
    return min(2, os.cpu_count() or 1)


def load_frozen_part(prefix: Prefix, home: DataRoot, load: Loader = CompiledModel) -> CompiledModel:
    """Return the compiled frozen part of a model, which all models with the same one share.

    Args:
        prefix: Which one.
        home: The data root.
        load: Loads it.

    Raises:
        FrozenPartError: If it is missing or damaged.
    """
    try:
        return load(compiled_prefix_path(prefix, home), answering_threads())
    except RunError as error:
        raise FrozenPartError(
            "The compiled frozen part of this model is missing or damaged on this computer. Open Predict: it is made "
            "again there."
        ) from error
