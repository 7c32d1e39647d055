"""From decoded or stored pictures to a trained model: cached features against `fit()` through the whole network."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from tests.bench import theirs
from tests.bench.material import Sizes, photos, pixels_and_labels, prepare
from tests.bench.measures import Measurement, rounded
from tlcore.config import ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import Dataset
from tlcore.features.extractor import FeatureExtractor
from tlcore.features.store import LabelledFeatures
from tlcore.home import DataRoot
from tlcore.images.views import ViewRequest, view_of_epoch
from tlcore.model.classifier import build_classifier
from tlcore.model.cut import plan_model
from tlcore.progress import Phase
from tlcore.settings.augmentation_controls import PRESETS
from tlcore.training.loop import predict_features, train_suffix

ACCURACY_POINTS = 0.01
TUNING_RATE = 1e-4
VIEWS = 4


@dataclass(frozen=True, slots=True)
class TrainedSide:
    """What one side took and reached.

    Attributes:
        seconds: All of it.
        before: Seconds before the first epoch; the feature pass on our side.
        epochs: Seconds of each epoch.
        accuracy: Fraction of right answers on the test photos.
    """

    seconds: float
    before: float
    epochs: tuple[float, ...]
    accuracy: float

    @property
    def per_epoch(self) -> float:
        """Seconds of an epoch when everything is warm: the median without the first."""
        return statistics.median(self.epochs[1:] or self.epochs)


class EpochClock:
    """A progress that says nothing and notes when epochs end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        """Nobody watches."""

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        """Note the end of an epoch."""
        if epoch == int(epoch):
            self.ends.append(time.perf_counter())

    def check(self) -> None:
        """Nobody stops it."""


def measure_head(sizes: Sizes, home: DataRoot) -> Iterator[Measurement]:
    """Train a head on a frozen backbone."""
    training = TrainingConfig(epochs=sizes.head_epochs, patience=None)
    yield from _all_told("head", RunConfig(training=training), sizes, home, limit=20.0)


def measure_head_augmented(sizes: Sizes, home: DataRoot) -> Iterator[Measurement]:
    """Train a head with the tutorials' augmentation: a bank of views against `ImageDataGenerator`."""
    training = TrainingConfig(epochs=sizes.head_epochs, patience=None, views=VIEWS)
    config = RunConfig(PRESETS["tutorial"], training=training)
    yield from _all_told("head_augmented", config, sizes, home, limit=6.0)


def measure_finetune_last(sizes: Sizes, home: DataRoot) -> Iterator[Measurement]:
    """Train the last block and the head."""
    yield from _fine_tuning("finetune_last", "block7a", sizes, home, per_epoch_limit=5.0, total_limit=3.0)


def measure_finetune_stage(sizes: Sizes, home: DataRoot) -> Iterator[Measurement]:
    """Train the last five blocks and the head."""
    yield from _fine_tuning("finetune_stage", "block6a", sizes, home, per_epoch_limit=2.0, total_limit=1.5)


def _all_told(name: str, config: RunConfig, sizes: Sizes, home: DataRoot, limit: float) -> Iterator[Measurement]:
    ours, other = _both_sides(config, sizes, home)
    yield _seconds_of(name, ours, other, limit)
    yield _accuracy_of(name, ours, other)


def _fine_tuning(
    name: str, first_trainable: str, sizes: Sizes, home: DataRoot, *, per_epoch_limit: float, total_limit: float
) -> Iterator[Measurement]:
    training = TrainingConfig(epochs=sizes.tuning_epochs, learning_rate=TUNING_RATE, patience=None)
    config = RunConfig(model=ModelConfig(first_trainable=first_trainable), training=training)
    ours, other = _both_sides(config, sizes, home)
    middle = statistics.median(side.per_epoch for side in ours)
    yield Measurement(name, "s per epoch", middle, per_epoch_limit, other.per_epoch)
    yield _seconds_of(f"{name}_all_told", ours, other, total_limit)
    yield _accuracy_of(name, ours, other)


def _both_sides(config: RunConfig, sizes: Sizes, home: DataRoot) -> tuple[list[TrainedSide], TrainedSide]:
    """Train on both sides; ours before and after theirs, each time with an empty cache and another seed."""
    dataset = photos(sizes, home)
    prepare(config.model, home)
    rounds = [replace(config, training=replace(config.training, seed=seed)) for seed in range(sizes.long_rounds)]
    half = sizes.long_rounds // 2
    ours = [train_ours(dataset, one, home) for one in rounds[:half]]
    other = train_theirs(dataset, config, home)
    ours += [train_ours(dataset, one, home) for one in rounds[half:]]
    return ours, other


def _seconds_of(name: str, ours: list[TrainedSide], other: TrainedSide, limit: float) -> Measurement:
    middle = statistics.median(side.seconds for side in ours)
    details = {
        "ours_runs": [rounded(side.seconds) for side in ours],
        "ours_feature_pass": rounded(statistics.median(side.before for side in ours)),
        "theirs_per_epoch": rounded(other.per_epoch),
    }
    return Measurement(name, "s", middle, limit, other.seconds, details=details)


def _accuracy_of(name: str, ours: list[TrainedSide], other: TrainedSide) -> Measurement:
    accuracies = [side.accuracy for side in ours]
    details = {"ours_seeds": [rounded(accuracy) for accuracy in accuracies]}
    limit, mean = other.accuracy - ACCURACY_POINTS, statistics.mean(accuracies)
    return Measurement(
        f"{name}_accuracy", "test accuracy", mean, limit, other.accuracy, "more", "ours", details=details
    )


def train_ours(dataset: Dataset, config: RunConfig, home: DataRoot) -> TrainedSide:
    """Train from the stored pictures on, decoding included, with nothing cached but the compiled backbone."""
    shutil.rmtree(home.path / "features", ignore_errors=True)
    items = dataset.subset("train")
    index = dataset.class_index()
    labels = np.array([index[item.class_id] for item in items], np.int64)
    suffix = build_classifier(plan_model(config.model), dataset.num_classes, home, seed=config.training.seed).suffix
    clock = EpochClock()

    started = time.perf_counter()
    extractor = FeatureExtractor(plan_model(config.model), config.augmentation, home)

    def features_of_epoch(epoch: int) -> LabelledFeatures:
        requests = [view_of_epoch(item.image, epoch, config.augmentation, config.training) for item in items]
        return LabelledFeatures(extractor.table(requests, clock, "features"), labels)

    features_of_epoch(0)
    before = time.perf_counter() - started
    train_suffix(suffix, features_of_epoch, None, config.training, clock)
    ended = time.perf_counter()

    test_items = dataset.subset("test")
    test = extractor.table([ViewRequest(item.image) for item in test_items], clock, "features")
    answers = predict_features(suffix, test).argmax(axis=1)
    accuracy = float(np.mean(answers == [index[item.class_id] for item in test_items]))
    epochs = np.diff([started + before, *clock.ends]).tolist()
    return TrainedSide(ended - started, before, tuple(epochs), accuracy)


def train_theirs(dataset: Dataset, config: RunConfig, home: DataRoot) -> TrainedSide:
    """Train as the tutorials do, from pictures that are decoded already."""
    pictures, labels = pixels_and_labels(dataset, dataset.subset("train"), config.model, home)
    test_pictures, test_labels = pixels_and_labels(dataset, dataset.subset("test"), config.model, home)
    model = theirs.build_model(config.model, dataset.num_classes, home)
    augmentation = None if config.augmentation.is_identity else config.augmentation

    started = time.perf_counter()
    epochs = theirs.train(model, pictures, labels, config.training, augmentation)
    seconds = time.perf_counter() - started
    return TrainedSide(seconds, 0.0, tuple(epochs), theirs.accuracy(model, test_pictures, test_labels))
