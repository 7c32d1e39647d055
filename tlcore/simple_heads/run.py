"""Simple heads from a data set: features of the frozen backbone, each head trained and tested, its files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.status import require_weights
from tlcore.config import AugmentationConfig, ModelConfig
from tlcore.dataset import Dataset, Item, check_trainable
from tlcore.errors import DatasetError
from tlcore.features.engines import num_compute_threads
from tlcore.features.extractor import FeatureExtractor
from tlcore.home import DataRoot
from tlcore.images.views import ViewRequest
from tlcore.progress import Progress
from tlcore.results.evaluation import Evaluation, save_evaluation
from tlcore.results.prediction import PredictorSpec, save_predictor_spec
from tlcore.simple_heads.heads import SimpleHead, save_simple_head
from tlcore.simple_heads.training import SIMPLE_HEADS, SimpleHeadSpec
from tlcore.storage.images import ImageStore
from tlcore.storage.simple_heads import SimpleHeadResult, frozen_backbone
from tlcore.training.run import configure_tensorflow, ensure_compiled

# Half of these take the slowest head about three seconds of computing, and its time grows with their number.
MAX_TRAINING_PICTURES = 10_000


@dataclass(frozen=True, slots=True)
class SimpleHeadOutcome:
    """A simple head that was trained and tested.

    Attributes:
        head: Features to probabilities.
        evaluation: Its answers to the test pictures.
        result: The same in numbers.
    """

    head: SimpleHead
    evaluation: Evaluation
    result: SimpleHeadResult


def train_simple_heads(
    dataset: Dataset,
    model: ModelConfig,
    progress: Progress,
    *,
    folder: Path | None = None,
    specs: Sequence[SimpleHeadSpec] = SIMPLE_HEADS,
    home: DataRoot,
) -> list[SimpleHeadOutcome]:
    """Train simple heads on the training pictures and test them.

    Features that are not cached are computed first; that takes as long as the first epoch of a run. Of more than
    10,000 training pictures that many are drawn, the same ones every time and as many of each class as before.

    Args:
        dataset: Pictures of the data root, with classes and splits.
        model: Backbone, picture size and resize mode; the rest of it is not used.
        progress: Told what happens; may ask to stop.
        folder: Each head leaves its files in a folder of its kind in here; nothing is written when not given.
        specs: Which heads.
        home: The data root.

    Raises:
        StopRequested: If the person asked to stop.
        DatasetError: If the data set allows no training.
        WeightsError: If the backbone's weights are not on this computer.
        StorageError: If the disk is full.
    """
    configure_tensorflow()
    _check_enough(dataset, specs)
    model = frozen_backbone(model)
    progress.phase("Preparing")
    require_weights(get_backbone(model.backbone), home, model.weights)
    ensure_compiled(model, progress, home)
    extractor = FeatureExtractor(model, AugmentationConfig(), ImageStore(home), home)
    train, test = _drawn(dataset), dataset.subset("test")
    features, labels = _features(train, dataset, extractor, progress)
    test_features, y_true = _features(test, dataset, extractor, progress)
    images = tuple(item.image for item in test)
    # The first import takes longer than the training, whose seconds are told.
    from sklearn import linear_model, model_selection, svm  # noqa: F401

    tested = []
    for number, spec in enumerate(specs):
        progress.phase(f"Training: {spec.title}", number, len(specs))
        started = time.monotonic()
        with threadpool_limits(num_compute_threads()):
            head = spec.train(features, labels, dataset.num_classes)
        seconds = time.monotonic() - started
        evaluation = Evaluation(dataset.class_names, images, y_true, head.probabilities(test_features))
        result = SimpleHeadResult(spec.kind, evaluation.correct, evaluation.total, len(labels), seconds)
        tested.append(SimpleHeadOutcome(head, evaluation, result))
        if folder is not None:
            colors = tuple(label.color for label in dataset.classes)
            predictor_spec = PredictorSpec(extractor.prefix, model.resize_mode, dataset.class_names, colors)
            save_simple_head(head, folder / spec.kind)
            save_evaluation(evaluation, folder / spec.kind)
            save_predictor_spec(predictor_spec, folder / spec.kind)
    return tested


def _check_enough(dataset: Dataset, specs: Sequence[SimpleHeadSpec]) -> None:
    check_trainable(dataset)
    counts = dataset.counts()
    for spec in specs:
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
    items: Sequence[Item], dataset: Dataset, extractor: FeatureExtractor, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the features of some pictures, float32 of shape `(pictures, channels)`, and their classes."""
    index = dataset.class_index()
    labels = np.array([index[item.class_id] for item in items], np.int64)
    if not items:
        return np.zeros((0, *extractor.prefix.shape), np.float32), labels
    table = extractor.table([ViewRequest(item.image) for item in items], progress, "Computing features")
    return table.take(np.arange(len(items))).astype(np.float32), labels
