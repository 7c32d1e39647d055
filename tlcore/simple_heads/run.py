"""Simple heads from a data set: features of the frozen backbone, each head trained and tested, its files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tlcore.backbones.weights.status import require_weights
from tlcore.config import AugmentationConfig, ModelConfig
from tlcore.dataset import Dataset, Item, check_trainable
from tlcore.errors import DatasetError
from tlcore.features.compiled import configure_tensorflow, ensure_compiled
from tlcore.features.engines import num_compute_threads
from tlcore.home import DataRoot
from tlcore.model.cut import plan_model
from tlcore.progress import Progress
from tlcore.results.evaluation import TRAIN_FILE_NAME, VALIDATION_FILE_NAME, Evaluation, save_evaluation
from tlcore.results.prediction import PredictorSpec, save_predictor_spec
from tlcore.simple_heads.heads import save_simple_head
from tlcore.simple_heads.training import SIMPLE_HEADS
from tlcore.storage.requests import SimpleHeadResult, SimpleHeadsResult
from tlcore.storage.simple_heads import frozen_backbone
from tlcore.training.split_features import SplitFeatures, asked_of_training

# Half of these take the slowest head about three seconds of computing, and its time grows with their number.
MAX_TRAINING_PICTURES = 10_000


def train_simple_heads(
    dataset: Dataset, model: ModelConfig, progress: Progress, *, folder: Path, home: DataRoot
) -> SimpleHeadsResult:
    """Train every simple head on the training pictures, and ask it about the validation and test pictures.

    Features that are not cached are computed first; that takes as long as the first epoch of a run. Of more than
    10,000 training pictures that many are drawn, the same ones every time and as many of each class as before.

    Args:
        dataset: Pictures of the data root, with classes and splits.
        model: Backbone, picture size and resize mode; the rest of it is not used.
        progress: Told what happens; may ask to stop.
        folder: Each head leaves its files and its answers to the validation and test pictures in a folder of its kind
            in here.
        home: The data root.

    Raises:
        StopRequested: If the person asked to stop.
        DatasetError: If the data set allows no training.
        WeightsError: If the backbone's weights are not on this computer.
        StorageError: If the disk is full.
    """
    configure_tensorflow()
    _check_enough(dataset)
    progress.phase("preparing")
    plan = plan_model(frozen_backbone(model))
    require_weights(plan.backbone, home, model.weights)
    ensure_compiled(plan, progress, home)
    split_features = SplitFeatures(dataset, plan, AugmentationConfig(), home)
    drawn = _drawn(dataset)
    features, labels = _features(split_features, drawn, progress)
    asked_images = {item.image for item in asked_of_training(dataset)}
    asked_rows = np.array([row for row, item in enumerate(drawn) if item.image in asked_images], np.int64)
    asked_items = tuple(drawn[row] for row in asked_rows)
    validation, test = dataset.subset("validation"), dataset.subset("test")
    asked = [(items, *_features(split_features, items, progress)) for items in (validation, test)]
    # The first import takes longer than the training, whose seconds are told.
    from sklearn import linear_model, model_selection, svm  # noqa: F401

    results = []
    for number, spec in enumerate(SIMPLE_HEADS):
        progress.phase("training_head", number, len(SIMPLE_HEADS), spec.title)
        started = time.monotonic()
        with threadpool_limits(num_compute_threads()):
            head = spec.train(features, labels, dataset.num_classes)
        seconds = time.monotonic() - started
        validated, tested = (
            Evaluation(dataset.class_names, tuple(item.image for item in items), y_true, head.probabilities(rows))
            for items, rows, y_true in asked
        )
        results.append(
            SimpleHeadResult(
                kind=spec.kind,
                test_correct=tested.correct,
                test_total=tested.total,
                trained_on=len(labels),
                seconds=seconds,
                validation_correct=validated.correct,
                validation_total=validated.total,
            )
        )
        save_simple_head(head, folder / spec.kind)
        save_evaluation(validated, folder / spec.kind, VALIDATION_FILE_NAME)
        save_evaluation(tested, folder / spec.kind)
        answers = head.probabilities(features[asked_rows])
        train = Evaluation(dataset.class_names, tuple(item.image for item in asked_items), labels[asked_rows], answers)
        save_evaluation(train, folder / spec.kind, TRAIN_FILE_NAME)
        save_predictor_spec(PredictorSpec.of(plan, dataset), folder / spec.kind)
    return SimpleHeadsResult(tuple(results))


def _check_enough(dataset: Dataset) -> None:
    check_trainable(dataset)
    counts = dataset.counts()
    for spec in SIMPLE_HEADS:
        for label in dataset.classes:
            if counts[label.id, "train"] < spec.min_pictures:
                raise DatasetError(
                    f"{spec.title} needs at least {spec.min_pictures} training pictures of each class; {label.name} "
                    f"has {counts[label.id, 'train']}. Add some on the Data page."
                )


def _drawn(dataset: Dataset) -> tuple[Item, ...]:
    """Return the training pictures, or as many of them as a simple head takes."""
    items = dataset.subset("train")
    if len(items) <= MAX_TRAINING_PICTURES:
        return items
    random = np.random.default_rng(0)
    drawn: list[Item] = []
    for label in dataset.classes:
        of_class = [item for item in items if item.class_id == label.id]
        # At least two of a rare class, which a plain draw might miss.
        size = max(min(2, len(of_class)), len(of_class) * MAX_TRAINING_PICTURES // len(items))
        drawn += [of_class[index] for index in sorted(random.permutation(len(of_class))[:size])]
    return tuple(drawn)


def _features(
    features: SplitFeatures, items: Sequence[Item], progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the features of some pictures, float32 of shape `(pictures, channels)`, and their classes."""
    found = features.plain(items, progress, "features")
    return found.table.take(np.arange(len(items))).astype(np.float32), found.labels
