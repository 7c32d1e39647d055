"""How fast the parts of a run are on this machine: measured before the first run, learnt from every run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from tlcore.config import RunConfig
from tlcore.dataset import Dataset
from tlcore.documents import read_document, to_json, write_document
from tlcore.downloading import size_of
from tlcore.features.engines import num_compute_threads, this_machine
from tlcore.features.extractor import FeaturePass
from tlcore.home import DataRoot, write_atomically
from tlcore.model.cut import plan_model
from tlcore.storage.images import ImageStore
from tlcore.training.stopwatch import RunTimings, TrainingPace

# Raise it when a figure changes its meaning; older files are then left alone.
FORMAT = 1
# Fewer pictures say little about the speed of a pass.
MIN_PICTURES = 16
# How many pictures are looked at to tell how large the files of a data set are.
SIZED_PICTURES = 16
# Testing, saving and compiling, until a run has shown how long it takes.
USUAL_FINISH_SECONDS = 5.0

T = TypeVar("T", "PassSpeed", "TrainingSpeed")


@dataclass(frozen=True, slots=True)
class PassSpeed:
    """The feature pass of one prefix, over pictures of one size on disk, as they are or augmented.

    Attributes:
        machine: Where this was measured.
        pictures_per_second: Through reading, decoding, resizing, augmentation and the prefix, on all cores.
        start_seconds: Until the first picture is computed.
    """

    machine: str
    pictures_per_second: float
    start_seconds: float


@dataclass(frozen=True, slots=True)
class TrainingSpeed:
    """Everything but the feature pass.

    Attributes:
        machine: Where this was measured.
        launch_seconds: From the start of the worker process to the start of the feature pass.
        startup_seconds: TensorFlow's import and building the model, when nothing else works.
        pace: Of the training.
        finish_seconds: Testing, saving and compiling, besides computing features and answers.
    """

    machine: str
    launch_seconds: float
    startup_seconds: float
    pace: TrainingPace
    finish_seconds: float


@dataclass(frozen=True, slots=True)
class Speeds:
    """All figures for one choice of settings; `None` for a pass that was never seen."""

    plain: PassSpeed | None
    augmented: PassSpeed | None
    training: TrainingSpeed


def pass_key(config: RunConfig, dataset: Dataset, home: DataRoot, *, augmented: bool) -> str:
    """Identify what the speed of a feature pass depends on."""
    return _key("pass", plan_model(config.model).prefix.key, _size_of_files(dataset, home), augmented)


def training_key(config: RunConfig, num_classes: int) -> str:
    """Identify what the speed of the training depends on; up to twice as many classes make no difference."""
    model, training = config.model, config.training
    return _key(
        "training",
        plan_model(model).prefix.key,
        to_json(model.head),
        training.batch_size,
        training.optimizer,
        num_classes.bit_length(),
    )


def speeds_key(config: RunConfig, dataset: Dataset, home: DataRoot) -> str:
    """Identify everything that a measurement for these settings and this data set would find."""
    return _key(
        training_key(config, dataset.num_classes),
        pass_key(config, dataset, home, augmented=False),
        config.augmentation.is_identity or pass_key(config, dataset, home, augmented=True),
    )


def read_speeds(config: RunConfig, dataset: Dataset, home: DataRoot) -> Speeds | None:
    """Return what is known about these settings on this machine; `None` when the training was never measured."""
    training = _read(training_key(config, dataset.num_classes), TrainingSpeed, home)
    if training is None:
        return None
    plain = _read(pass_key(config, dataset, home, augmented=False), PassSpeed, home)
    augmented = _read(pass_key(config, dataset, home, augmented=True), PassSpeed, home)
    return Speeds(plain, augmented, training)


def learn_speeds(
    config: RunConfig, dataset: Dataset, timings: RunTimings, launch_seconds: float, home: DataRoot
) -> None:
    """Remember what happened in a run; what it did not show stays as it was.

    Args:
        config: Everything that was chosen.
        dataset: What it was trained on.
        timings: What happened.
        launch_seconds: From the start of the worker process to the start of the run.
        home: The data root.

    Raises:
        StorageError: If the disk is full.
    """
    for augmented in (False, True):
        passes = [one for one in timings.passes if one.augmented == augmented]
        key = pass_key(config, dataset, home, augmented=augmented)
        enough = sum(one.pictures for one in passes) >= MIN_PICTURES
        if passes and (enough or _read(key, PassSpeed, home) is None):
            _write(key, pass_speed(passes, timings.startup), home)
    key = training_key(config, dataset.num_classes)
    known = _read(key, TrainingSpeed, home)
    if timings.startup is None or timings.pace is None or not timings.imported:
        return
    finish_seconds = timings.finish_seconds
    if finish_seconds is None:
        finish_seconds = USUAL_FINISH_SECONDS if known is None else known.finish_seconds
    startup_seconds = timings.startup[1] - timings.startup[0]
    together = sum(_overlap(one, timings.startup) for one in timings.passes)
    if together:
        # Feature passes took their share of the cores meanwhile, so this is a little too long.
        alone = startup_seconds - together / (num_compute_threads() + 1)
        startup_seconds = alone if known is None else min(alone, known.startup_seconds)
    launch_seconds += timings.prepare_seconds
    _write(
        key,
        TrainingSpeed(this_machine(), launch_seconds, startup_seconds, timings.pace, finish_seconds),
        home,
    )


def pass_speed(passes: Sequence[FeaturePass], startup: tuple[float, float] | None) -> PassSpeed:
    """Return how fast feature passes of one kind were.

    Args:
        passes: One or more of the same kind.
        startup: When TensorFlow was imported meanwhile: that kept one core busy.
    """
    pictures, seconds = 0, 0.0
    for one in passes:
        # The first records come out together, one of each thread; the others show the pace.
        others = one.pictures - one.at_once
        paced = replace(one, started=one.first) if others > 0 else one
        pictures += others if others > 0 else one.pictures
        seconds += paced.ended - paced.started
        if startup is not None:
            seconds -= _overlap(paced, startup) / num_compute_threads()
    rate = pictures / max(seconds, 1e-3)
    start_seconds = max(0.0, passes[0].first - passes[0].started - passes[0].at_once / rate)
    return PassSpeed(this_machine(), rate, start_seconds)


def _overlap(one: FeaturePass, stretch: tuple[float, float]) -> float:
    return max(0.0, min(one.ended, stretch[1]) - max(one.started, stretch[0]))


def _size_of_files(dataset: Dataset, home: DataRoot) -> int:
    """Return how large a picture is on disk, as a power of two: decoding takes longer for larger ones."""
    images, items = ImageStore(home), dataset.items
    looked_at = items[:: max(1, len(items) // SIZED_PICTURES)][:SIZED_PICTURES]
    sizes = [size_of(images.path(item.image)) for item in looked_at]
    return (sum(sizes) // max(1, len(sizes))).bit_length()


def _key(*parts: object) -> str:
    text = f"{FORMAT} {this_machine()} {parts}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _path(key: str, home: DataRoot) -> Path:
    return home.speeds_dir / f"{key}.json"


def _read(key: str, kind: type[T], home: DataRoot) -> T | None:
    try:
        return read_document(_path(key, home).read_bytes(), kind)
    except (OSError, ValueError):
        return None


def _write(key: str, value: PassSpeed | TrainingSpeed, home: DataRoot) -> None:
    write_atomically(_path(key, home), lambda path: path.write_text(write_document(value), "utf-8"))
