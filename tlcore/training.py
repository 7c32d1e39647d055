"""Training the suffix on cached features: reports, obeys, and keeps the best epoch."""

from __future__ import annotations

import contextlib
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
    training = _Training(suffix, train(0), validation, config, progress)
    stopped = diverged = False
    try:
        for epoch in range(config.epochs):
            training.run_epoch(epoch, train(epoch) if epoch else None)
            if training.best.is_long_ago(config.patience):
                break
    except StopRequested:
        stopped = True
    except _InfiniteLossError as error:
        if not training.best.epoch:
            raise RunError(
                "The loss became infinite before the first epoch ended, so there is no model. "
                "Choose a smaller learning rate, then start again."
            ) from error
        diverged = True
    best = training.best
    best.restore()
    accuracy = best.values.get("val_accuracy")
    return TrainingResult(best.epoch, best.epochs, accuracy, stopped, diverged, training.stopwatch.pace())


def predict_features(suffix: keras.Model, features: FeatureTable) -> NDArray[np.float32]:
    """Return the probabilities of all records, float32 of shape `(len(features), classes)`."""
    pieces = [
        np.asarray(suffix.predict_on_batch(features.take(indices).astype(np.float32)))
        for indices in _chunks(len(features), _answers_at_once(suffix))
    ]
    return np.concatenate(pieces) if pieces else np.zeros((0, suffix.output.shape[-1]), np.float32)


class _InfiniteLossError(Exception):
    """The loss is infinite or not a number any more; nothing that comes after it is of use."""


class _Training:
    """The epochs of one training.

    Not `fit()`, which spends more time around the steps of a small head than in them: it needs a second to begin,
    and an eighth of a second in every epoch.
    """

    def __init__(
        self,
        suffix: keras.Model,
        train: LabelledFeatures,
        validation: LabelledFeatures | None,
        config: TrainingConfig,
        progress: Progress,
    ) -> None:
        keras.utils.set_random_seed(config.seed)
        self._steps = _Steps(suffix, build_optimizer(config))
        self._config = config
        self._progress = progress
        self._batches = _Batches(train, config.batch_size, np.random.default_rng(config.seed))
        self._validation = None if validation is None else _Batches(validation, _answers_at_once(suffix))
        self._reported = time.monotonic()
        self.best = _Best(suffix, "loss" if validation is None else "val_loss")
        self.stopwatch = _Stopwatch(config.batch_size, 0 if validation is None else len(validation.labels))

    def run_epoch(self, epoch: int, train: LabelledFeatures | None) -> None:
        """Train on every record once, then look at the validation pictures.

        Args:
            epoch: Counted from 0.
            train: The features of this epoch; those of the epoch before when not given.
        """
        if train is not None:
            self._batches.features = train
        self._progress.phase("Training", epoch, self._config.epochs)
        self.stopwatch.begin_epoch()
        values = self._learn(epoch)
        if self._validation is not None:
            answers = self._answer(self._validation)
            values |= {f"val_{name}": value for name, value in answers.items()}
        self.best.compare(epoch + 1, values)
        self._progress.metrics(float(epoch + 1), values)
        self._progress.phase("Training", epoch + 1, self._config.epochs)
        self.stopwatch.end_epoch()

    def _learn(self, epoch: int) -> dict[str, float]:
        averages = _Averages()
        records = iter(self._batches)
        for number in range(1, len(self._batches) + 1):
            with self.stopwatch.step():
                averages.add(*self._steps.learn(*next(records)))
                values = averages.values
                if not math.isfinite(values["loss"]):  # at once: an epoch may last for minutes
                    raise _InfiniteLossError
                self._progress.check()
                if time.monotonic() - self._reported >= REPORT_SECONDS and number < len(self._batches):
                    self._reported = time.monotonic()
                    self._progress.metrics(epoch + number / len(self._batches), values)
        return values

    def _answer(self, batches: _Batches) -> dict[str, float]:
        averages = _Averages()
        with self.stopwatch.answers():
            for features, labels in batches:
                averages.add(*self._steps.answer(features, labels))
                self._progress.check()
        return averages.values


class _Steps:
    """One batch through the suffix, forward and back or only forward, as graphs of TensorFlow.

    Both take features as they are stored, of shape `(batch, *features)`, with int64 labels of shape `(batch,)`,
    and return the losses of the records, float32 of shape `(batch,)`, and which answers are right, bool.
    """

    def __init__(self, suffix: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
        self._suffix = suffix
        self._optimizer = optimizer
        optimizer.build(suffix.trainable_variables)
        self.learn = tf.function(self._learn, reduce_retracing=True)
        self.answer = tf.function(self._answer, reduce_retracing=True)

    def _learn(self, features: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        weights = [variable.value for variable in self._suffix.trainable_variables]
        with tf.GradientTape() as tape:
            losses, right = self._judge(features, labels, training=True)
            loss = tf.reduce_mean(losses)
        self._optimizer.apply(tape.gradient(loss, weights))
        return losses, right

    def _answer(self, features: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._judge(features, labels, training=False)

    def _judge(self, features: tf.Tensor, labels: tf.Tensor, *, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        probabilities = self._suffix(tf.cast(features, tf.float32), training=training)
        losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        return losses, tf.equal(tf.argmax(probabilities, axis=-1), labels)


class _Averages:
    """Loss and accuracy over the records of an epoch so far."""

    def __init__(self) -> None:
        self._loss = self._right = self._records = 0.0

    def add(self, losses: tf.Tensor, right: tf.Tensor) -> None:
        """Add the records of a batch."""
        self._loss += float(np.sum(losses.numpy(), dtype=np.float64))
        self._right += float(np.count_nonzero(right.numpy()))
        self._records += len(losses)

    @property
    def values(self) -> dict[str, float]:
        """The two averages, by name."""
        return {"loss": self._loss / self._records, "accuracy": self._right / self._records}


class _Best:
    """The best epoch so far and its weights."""

    def __init__(self, suffix: keras.Model, monitor: str) -> None:
        self._variables = suffix.trainable_variables
        self._monitor = monitor
        self._weights: list[NDArray[np.float32]] = []
        self.epoch = 0
        self.epochs = 0
        self.values: dict[str, float] = {}

    def compare(self, epoch: int, values: dict[str, float]) -> None:
        """Remember an epoch, counted from 1, when it is the best one."""
        if not math.isfinite(values[self._monitor]):
            raise _InfiniteLossError
        self.epochs = epoch
        if values[self._monitor] < self.values.get(self._monitor, math.inf):
            self.epoch, self.values = epoch, values
            self._weights = [variable.numpy() for variable in self._variables]

    def is_long_ago(self, patience: int | None) -> bool:
        """Whether `patience` epochs were no better."""
        return patience is not None and self.epochs - self.epoch >= patience

    def restore(self) -> None:
        """Give the suffix the best epoch's weights; nothing changes when no epoch was finished."""
        if self._weights:
            for variable, value in zip(self._variables, self._weights, strict=True):
                variable.assign(value)


class _Stopwatch:
    """Times steps, validation and epochs, with all that is done around them."""

    def __init__(self, batch_size: int, validation_pictures: int) -> None:
        self._batch_size = batch_size
        self._validation_pictures = validation_pictures
        self._began = 0.0
        self._steps: list[float] = []
        self._answers: list[float] = []
        self._epochs: list[_EpochTimes] = []

    def begin_epoch(self) -> None:
        """Begin after the features of this epoch are there."""
        self._steps, self._answers, self._began = [], [], time.monotonic()

    def step(self) -> contextlib.AbstractContextManager[None]:
        """Time one step; taking its features from disk belongs to it."""
        return _timed(self._steps)

    def answers(self) -> contextlib.AbstractContextManager[None]:
        """Time all validation pictures."""
        return _timed(self._answers)

    def end_epoch(self) -> None:
        """End the epoch."""
        self._epochs.append(_EpochTimes(time.monotonic() - self._began, self._steps, sum(self._answers)))
        self._steps = []

    def pace(self) -> TrainingPace | None:
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
            answers_per_second = 3 * self._batch_size / step_seconds
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


@contextlib.contextmanager
def _timed(seconds: list[float]) -> Iterator[None]:
    """Add how long the block takes."""
    started = time.monotonic()
    yield
    seconds.append(time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class _EpochTimes:
    """Seconds of one epoch: as a whole, of each step, and of the validation pictures together."""

    seconds: float
    steps: list[float]
    answer_seconds: float


class _Batches:
    """Batches of records, taken from disk while the step before works; shuffled anew each time when asked.

    Attributes:
        features: The records; others of the same shape and number may take their place.
    """

    def __init__(
        self, features: LabelledFeatures, batch_size: int, generator: np.random.Generator | None = None
    ) -> None:
        self.features = features
        self._batch_size = batch_size
        self._generator = generator
        rows = features.table.take(np.arange(0))
        signature = (tf.TensorSpec((None, *rows.shape[1:]), rows.dtype), tf.TensorSpec((None,), tf.int64))
        self._dataset = tf.data.Dataset.from_generator(self._read, output_signature=signature).prefetch(
            PREFETCH_BATCHES
        )

    def __len__(self) -> int:
        return math.ceil(len(self.features.labels) / self._batch_size)

    def __iter__(self) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        return iter(self._dataset)

    def _read(self) -> Iterator[tuple[NDArray[np.generic], NDArray[np.int64]]]:
        features, length = self.features, len(self.features.labels)
        order = np.arange(length) if self._generator is None else self._generator.permutation(length)
        for indices in _chunks(length, self._batch_size):
            yield features.table.take(order[indices]), features.labels[order[indices]]


def _answers_at_once(suffix: keras.Model) -> int:
    """Return how many records go through the suffix together: few when it has layers of the backbone, for memory."""
    return 256 if len(suffix.input.shape) == 2 else 32


def _chunks(length: int, size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, length, size):
        yield np.arange(start, min(start + size, length))
