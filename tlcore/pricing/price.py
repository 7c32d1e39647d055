"""The price tag of a run: seconds per epoch and for the whole run, before it is started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tlcore.config import RunConfig
from tlcore.dataset import Dataset, Item
from tlcore.features.engines import num_compute_threads
from tlcore.features.extractor import FeatureExtractor
from tlcore.home import DataRoot
from tlcore.images.views import ViewRequest, view_of_epoch
from tlcore.model.cut import plan_model
from tlcore.pricing.speeds import PassSpeed, Speeds
from tlcore.training.split_features import asked_of_training, keeps_training_answers

# Of more records than this a part is looked up in the cache, and the rest is taken to be alike.
MAX_LOOKED_UP = 10_000


@dataclass(frozen=True, slots=True)
class PriceTag:
    """What a run will take, in seconds.

    Attributes:
        startup_seconds: Until training can begin, besides what computing features takes.
        new_pictures: Records of the frozen part that must be computed, cached ones not counted.
        features_seconds: Computing those, in the whole run.
        epoch_seconds: One epoch; with new views in every epoch computing them is a part of it.
        counted_epochs: How many epochs are counted.
        finish_seconds: Testing and saving.
        total_seconds: The whole run.
        at_most: Whether early stopping may end it sooner.
    """

    startup_seconds: float
    new_pictures: int
    features_seconds: float
    epoch_seconds: float
    counted_epochs: int
    finish_seconds: float
    total_seconds: float
    at_most: bool


@dataclass(frozen=True, slots=True)
class MissingRecords:
    """How many records each feature pass of a run must compute.

    Attributes:
        training: Training pictures, for each epoch from the first; epochs that are not listed need none.
        validation: Validation pictures.
        test: Test pictures.
    """

    training: tuple[int, ...]
    validation: int
    test: int


def price_of(config: RunConfig, dataset: Dataset, speeds: Speeds, home: DataRoot) -> PriceTag | None:
    """Return what a run will take; `None` when it needs a feature pass whose speed is not known.

    Args:
        config: Everything that was chosen.
        dataset: What it shall be trained on.
        speeds: From `tlcore.pricing.speeds.read_speeds`, for the same settings and data set.
        home: The data root.
    """
    return price_of_missing(config, dataset, speeds, count_missing(config, dataset, home))


def total_of_phases(tags: Sequence[PriceTag]) -> float:
    """Return the seconds of a run with one price tag for each of its phases: it starts once, and ends once."""
    starts_again = sum(tag.startup_seconds for tag in tags[1:])
    ends_before = sum(tag.finish_seconds for tag in tags[:-1])
    return sum(tag.total_seconds for tag in tags) - starts_again - ends_before


def count_missing(config: RunConfig, dataset: Dataset, home: DataRoot) -> MissingRecords:
    """Return how many records a run must compute, without reading any that are cached."""
    extractor = FeatureExtractor(plan_model(config.model), config.augmentation, home)
    passes = _passes_of_training(config)

    def count(items: Sequence[Item], request: Callable[[Item], ViewRequest]) -> int:
        step = -(-len(items) * passes // MAX_LOOKED_UP) or 1
        looked_up = [request(item) for item in items[::step]]
        return round(extractor.count_missing(looked_up) * len(items) / max(1, len(looked_up)))

    def in_epoch(epoch: int) -> Callable[[Item], ViewRequest]:
        return lambda item: view_of_epoch(item.image, epoch, config.augmentation, config.training)

    def plain(item: Item) -> ViewRequest:
        return ViewRequest(item.image)

    train = dataset.subset("train")
    return MissingRecords(
        training=tuple(count(train, in_epoch(epoch)) for epoch in range(passes)),
        validation=count(dataset.subset("validation"), plain),
        test=count(dataset.subset("test"), plain),
    )


def _passes_of_training(config: RunConfig) -> int:
    """Return how many epochs, from the first, bring views that none before them had."""
    training = config.training
    if config.augmentation.is_identity:
        return 1
    return training.epochs if training.new_views_every_epoch else min(training.views, training.epochs)


def price_of_missing(config: RunConfig, dataset: Dataset, speeds: Speeds, missing: MissingRecords) -> PriceTag | None:
    """Return what a run will take when so many records are missing; pure arithmetic."""
    # Augmentation costs little beside the prefix, so the other kind of pass stands in for one that was never seen.
    plain = speeds.plain or speeds.augmented
    of_training = plain if config.augmentation.is_identity else speeds.augmented or speeds.plain
    new_pictures = sum(missing.training) + missing.validation + missing.test
    if new_pictures and plain is None:
        return None
    training, pace = speeds.training, speeds.training.pace

    first_pass = _seconds(missing.training[0], of_training) + _seconds(missing.validation, plain)
    later_passes = _seconds(sum(missing.training[1:]), of_training)
    test_pass = _seconds(missing.test, plain)
    startup = training.launch_seconds + _startup_beside(first_pass, of_training, training.startup_seconds)

    epochs = config.training.epochs
    steps = -(-len(dataset.subset("train")) // config.training.batch_size)
    validation_seconds = len(dataset.subset("validation")) / pace.answers_per_second
    epoch_seconds = pace.epoch_seconds + steps * pace.step_seconds + validation_seconds
    # At the end the test and validation pictures are answered once more, and training pictures that it saw as they are.
    answered = len(dataset.subset("test")) + len(dataset.subset("validation"))
    answered += len(asked_of_training(dataset)) if keeps_training_answers(config.augmentation) else 0
    finish_seconds = training.finish_seconds + answered / pace.answers_per_second
    startup += pace.first_epoch_seconds
    features_seconds = first_pass + later_passes + test_pass
    total_seconds = startup + features_seconds + epochs * epoch_seconds + finish_seconds
    if config.training.new_views_every_epoch and not config.augmentation.is_identity:
        epoch_seconds += _seconds(sum(missing.training), of_training) / epochs
    patience = config.training.patience
    return PriceTag(
        startup_seconds=startup,
        new_pictures=new_pictures,
        features_seconds=features_seconds,
        epoch_seconds=epoch_seconds,
        counted_epochs=epochs,
        finish_seconds=finish_seconds,
        total_seconds=total_seconds,
        at_most=patience is not None and patience < epochs,
    )


def _seconds(pictures: int, speed: PassSpeed | None) -> float:
    return pictures / speed.pictures_per_second if pictures and speed is not None else 0.0


def _startup_beside(first_pass: float, speed: PassSpeed | None, startup_seconds: float) -> float:
    """Return how long the start takes besides the first feature pass, which works at the same time.

    TensorFlow's import keeps one core busy, so that the pass has one less meanwhile.
    """
    if not first_pass or speed is None:
        return startup_seconds
    beside = max(0.0, startup_seconds - speed.start_seconds)
    ready = speed.start_seconds + first_pass + min(beside, first_pass) / num_compute_threads()
    return max(startup_seconds, ready) - first_pass
