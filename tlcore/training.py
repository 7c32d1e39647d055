"""Training the suffix on cached features; callbacks report, obey and keep the best epoch."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tlcore.config import TrainingConfig
from tlcore.errors import RunError
from tlcore.feature_store import FeatureTable, LabelledFeatures
from tlcore.progress import Progress, StopRequested
from tlcore.speeds import TrainingPace

REPORT_SECONDS = 0.3
PREFETCH_BATCHES = 2
# What an epoch takes besides its steps, until one has shown it.
USUAL_EPOCH_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What training reached.

    Attributes:
        best_epoch: The epoch whose weights the model has now, counted from 1; 0 when none was finished.
        epochs: Epochs that were finished.
        validation_accuracy: Fraction of right validation answers at the best epoch; `None` without
            validation.
        stopped: Whether the person stopped it.
        diverged: Whether it ended because the loss became infinite; the best epoch was before that.
        pace: How fast it was; `None` when it was too short to tell.
    """

    best_epoch: int
    epochs: int
    validation_accuracy: float | None
    stopped: bool
    diverged: bool = False
    pace: TrainingPace | None = field(default=None, compare=False)


def build_optimizer(config: TrainingConfig) -> keras.optimizers.Optimizer:
    """Return the chosen optimizer with its learning rate; `sgd` gets momentum 0.9."""
    builders: dict[str, Callable[[float], keras.optimizers.Optimizer]] = {
        "adam": keras.optimizers.Adam,
        "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
        "rmsprop": keras.optimizers.RMSprop,
        "adamw": keras.optimizers.AdamW,
    }
    return builders[config.optimizer](float(config.learning_rate))


def train_suffix(
    suffix: keras.Model,
    train: Callable[[int], LabelledFeatures],
    validation: LabelledFeatures | None,
    config: TrainingConfig,
    progress: Progress,
) -> TrainingResult:
    """Train the trainable part of a classifier and leave it with the weights of its best epoch.

    Args:
        suffix: Features to probabilities, from `build_classifier`.
        train: Returns the training features of an epoch, counted from 0: another view of each picture
            every epoch, the same number of records every time.
        validation: Features that choose the best epoch; without them the training loss does.
        config: Epochs, batch size, optimizer, patience, seed.
        progress: Gets the curve: `loss`, `accuracy`, `val_loss`, `val_accuracy`.

    Raises:
        RunError: If the loss became infinite before the first epoch ended.
    """
    keras.utils.set_random_seed(config.seed)
    suffix.compile(build_optimizer(config), "sparse_categorical_crossentropy", metrics=["accuracy"])
    batches = _EpochBatches(train, config.batch_size, config.seed)
    keep_best = KeepBest("val_loss" if validation else "loss", config.patience)
    stopwatch = Stopwatch(0 if validation is None else len(validation.labels))
    stopped = diverged = False
    try:
        suffix.fit(
            _dataset(batches.__iter__, suffix, batches.steps),
            epochs=config.epochs,
            validation_data=None if validation is None else _in_order(validation, suffix),
            shuffle=False,  # the batches are shuffled already
            verbose=0,
            callbacks=[batches.callback(), Report(progress, batches.steps), keep_best, stopwatch],
        )
    except StopRequested:
        stopped = True
    except _InfiniteLossError as error:
        if not keep_best.best_epoch:
            raise RunError(
                "The loss became infinite before the first epoch ended, so there is no model. "
                "Choose a smaller learning rate, then start again."
            ) from error
        diverged = True
    keep_best.restore(suffix)
    accuracy = keep_best.best_logs.get("val_accuracy")
    pace = stopwatch.pace(config.batch_size)
    return TrainingResult(keep_best.best_epoch, keep_best.epochs, accuracy, stopped, diverged, pace)


def predict_features(suffix: keras.Model, features: FeatureTable) -> NDArray[np.float32]:
    """Return the probabilities of all records, float32 of shape `(len(features), classes)`."""
    pieces = [
        np.asarray(suffix.predict_on_batch(features.take(indices).astype(np.float32)))
        for indices in _chunks(len(features), _answers_at_once(suffix))
    ]
    return np.concatenate(pieces) if pieces else np.zeros((0, suffix.output.shape[-1]), np.float32)


class _InfiniteLossError(Exception):
    """The loss is infinite or not a number any more; nothing that comes after it is of use."""


class KeepBest(keras.callbacks.Callback):
    """Remember the weights of the best epoch; end the training when it was long ago or the loss is infinite."""

    def __init__(self, monitor: str, patience: int | None) -> None:
        super().__init__()
        self._monitor = monitor
        self._patience = patience
        self._best = math.inf
        self._weights: list[NDArray[np.float32]] | None = None
        self.best_epoch = 0
        self.epochs = 0
        self.best_logs: dict[str, float] = {}

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notice an infinite loss at once: its epoch may last for minutes."""
        if not math.isfinite((logs or {})["loss"]):
            raise _InfiniteLossError

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Compare this epoch with the best so far."""
        value = (logs or {})[self._monitor]
        if not math.isfinite(value):
            raise _InfiniteLossError
        self.epochs = epoch + 1
        if value < self._best:
            self._best, self.best_epoch, self.best_logs = value, epoch + 1, dict(logs or {})
            self._weights = [variable.numpy() for variable in self.model.trainable_variables]
        if self._patience is not None and epoch + 1 - self.best_epoch >= self._patience:
            self.model.stop_training = True

    def restore(self, model: keras.Model) -> None:
        """Give the model the best epoch's weights."""
        for variable, value in zip(model.trainable_variables, self._weights or [], strict=False):
            variable.assign(value)


class Report(keras.callbacks.Callback):
    """Send the curve and the progress; both learn of a wish to stop at every batch."""

    def __init__(self, progress: Progress, steps: int) -> None:
        super().__init__()
        self._progress = progress
        self._steps = steps
        self._epoch = 0
        self._last = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Say which epoch it is."""
        self._epoch = epoch
        self._progress.phase("Training", epoch, self.params["epochs"])

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Send the running averages of this epoch about three times a second."""
        self._progress.check()
        if time.monotonic() - self._last >= REPORT_SECONDS and batch + 1 < self._steps:
            self._last = time.monotonic()
            self._progress.metrics(self._epoch + (batch + 1) / self._steps, dict(logs or {}))

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notice a wish to stop during validation too."""
        self._progress.check()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Send the values of the whole epoch."""
        self._progress.metrics(float(epoch + 1), dict(logs or {}))
        self._progress.phase("Training", epoch + 1, self.params["epochs"])


class Stopwatch(keras.callbacks.Callback):
    """Time steps, validation and epochs; the last of the callbacks, so that the others' time counts as well."""

    def __init__(self, validation_pictures: int) -> None:
        super().__init__()
        self._validation_pictures = validation_pictures
        self._since = 0.0
        self._epoch_since = 0.0
        self._steps: list[float] = []
        self._answers: list[float] = []
        self._epochs: list[_EpochTimes] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Begin after the features of this epoch are there."""
        self._steps, self._answers, self._epoch_since = [], [], time.monotonic()

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Begin a step; taking its features from disk belongs to it."""
        self._since = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """End a step."""
        self._steps.append(time.monotonic() - self._since)

    def on_test_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Begin some validation pictures."""
        self._since = time.monotonic()

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """End some validation pictures."""
        self._answers.append(time.monotonic() - self._since)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """End the epoch."""
        self._epochs.append(_EpochTimes(time.monotonic() - self._epoch_since, self._steps, sum(self._answers)))
        self._steps = []

    def pace(self, batch_size: int) -> TrainingPace | None:
        """Return the pace of the training so far; `None` before the second step."""
        unfinished = [_EpochTimes(0.0, self._steps, 0.0)] if self._steps else []
        first, *others = [*self._epochs, *unfinished] or [_EpochTimes(0.0, [], 0.0)]
        # In the first step and in the first validation TensorFlow traces; that says nothing about the next ones.
        steps = [*first.steps[1:], *(seconds for epoch in others for seconds in epoch.steps)]
        if not steps:
            return None
        step_seconds = statistics.median(steps)
        usual = self._epochs[1:]
        answer_seconds = sum(epoch.answer_seconds for epoch in usual)
        if answer_seconds and self._validation_pictures:
            answers_per_second = len(usual) * self._validation_pictures / answer_seconds
        else:
            # The way back costs about twice as much as the way forward.
            answers_per_second = 3 * batch_size / step_seconds
        validation_seconds = self._validation_pictures / answers_per_second

        def besides(epoch: _EpochTimes) -> float:
            return max(0.0, epoch.seconds - len(epoch.steps) * step_seconds - validation_seconds)

        epoch_seconds = statistics.fmean(map(besides, usual)) if usual else USUAL_EPOCH_SECONDS
        first_epoch_seconds = besides(first) if self._epochs else first.steps[0]
        return TrainingPace(
            first_epoch_seconds=max(0.0, first_epoch_seconds - epoch_seconds),
            epoch_seconds=epoch_seconds,
            step_seconds=step_seconds,
            answers_per_second=answers_per_second,
        )


@dataclass(frozen=True, slots=True)
class _EpochTimes:
    """Seconds of one epoch: as a whole, of each step, and of the validation pictures together."""

    seconds: float
    steps: list[float]
    answer_seconds: float


class _EpochBatches:
    """Shuffled batches of the current epoch, taken from disk one at a time."""

    def __init__(self, train: Callable[[int], LabelledFeatures], batch_size: int, seed: int) -> None:
        self._train = train
        self._batch_size = batch_size
        self._generator = np.random.default_rng(seed)
        self._features = train(0)
        self.steps = math.ceil(len(self._features.labels) / batch_size)

    def callback(self) -> keras.callbacks.Callback:
        """Return what fetches the features of an epoch before it begins.

        Here and not in the generator, because fetching may compute, report and be stopped.
        """
        return keras.callbacks.LambdaCallback(on_epoch_begin=self._begin)

    def _begin(self, epoch: int, _logs: object = None) -> None:
        if epoch:
            self._features = self._train(epoch)

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        features = self._features
        order = self._generator.permutation(len(features.labels))
        for start in range(0, len(order), self._batch_size):
            indices = order[start : start + self._batch_size]
            yield features.table.take(indices).astype(np.float32), features.labels[indices]


def _in_order(features: LabelledFeatures, suffix: keras.Model) -> tf.data.Dataset:
    chunks = list(_chunks(len(features.labels), _answers_at_once(suffix)))

    def batches() -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        for indices in chunks:
            yield features.table.take(indices).astype(np.float32), features.labels[indices]

    return _dataset(batches, suffix, len(chunks))


def _answers_at_once(suffix: keras.Model) -> int:
    """Return how many records go through the suffix together: few when it has layers of the backbone, for memory."""
    return 256 if len(suffix.input.shape) == 2 else 32


def _chunks(length: int, size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, length, size):
        yield np.arange(start, min(start + size, length))


def _dataset(
    batches: Callable[[], Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]], suffix: keras.Model, steps: int
) -> tf.data.Dataset:
    signature = (
        tf.TensorSpec((None, *suffix.input.shape[1:]), tf.float32),
        tf.TensorSpec((None,), tf.int64),
    )
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    # Without the number of steps Keras warns after the first epoch that the data ran out.
    return dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(PREFETCH_BATCHES)
