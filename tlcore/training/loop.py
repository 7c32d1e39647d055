"""Training the suffix on cached features: reports, obeys, and keeps the best epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tlcore.config import TrainingConfig
from tlcore.errors import RunError
from tlcore.features.store import FeatureTable, LabelledFeatures
from tlcore.progress import Progress, StopRequested
from tlcore.storage.runs import INFINITE_LOSS
from tlcore.training.batches import Batches, chunks
from tlcore.training.checkpoint import Checkpoints, Ending, TrainingState
from tlcore.training.rate_search import RateSearch
from tlcore.training.schedules import learning_rate_at
from tlcore.training.steps import Steps, assign, build_optimizer, class_weights
from tlcore.training.stopwatch import Stopwatch, TrainingPace

REPORT_SECONDS = 0.3
SEARCHED_RATES = (1e-5, 3.0)
# One sweep of 60 steps gave a poor rate in one of twenty searches, the mean of four in none.
SEARCH_SWEEPS = 4
SEARCH_STEPS = 60
# A loss that is so many times the first one will not come back. Not times the smallest one: an epoch of a small set
# ends with a batch of a picture or two, whose loss may be next to nothing.
EXPLODED = 3.0


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
        best_value: What chose the best epoch: its validation loss, or its training loss without validation.
        pace: How fast it was; `None` when it was too short to tell.
        state: The same as a checkpoint has it, without arrays.
    """

    best_epoch: int
    epochs: int
    validation_accuracy: float | None
    stopped: bool
    diverged: bool = False
    best_value: float = field(default=math.inf, compare=False)
    pace: TrainingPace | None = field(default=None, compare=False)
    state: TrainingState | None = field(default=None, compare=False)


def train_suffix(
    suffix: keras.Model,
    train: Callable[[int], LabelledFeatures],
    validation: LabelledFeatures | None,
    config: TrainingConfig,
    progress: Progress,
    best_value: float = math.inf,
    *,
    begun: TrainingState | None = None,
    checkpoints: Checkpoints | None = None,
) -> TrainingResult:
    """Train the trainable part of a classifier and leave it with the weights of its best epoch.

    Args:
        suffix: Features to probabilities, from `build_classifier`.
        train: Returns the training features of an epoch, counted from 0: another view of each picture
            every epoch, the same number of records every time.
        validation: Features that choose the best epoch; without them the training loss does.
        config: How it learns; its second phase is another call.
        progress: Gets the curve: `loss`, `accuracy`, `val_loss`, `val_accuracy`.
        best_value: What an epoch must be better than, as `TrainingResult.best_value` of an earlier phase says;
            the suffix keeps the weights that it came with when none is.
        begun: The same training after some of its epochs: it goes on from there, as if it had never ended.
        checkpoints: Gets the state after epochs, so that a training whose process is ended can go on.

    Raises:
        RunError: If the loss became infinite before there was any epoch to keep.
        UnfitCheckpointError: If `begun` belongs to another network.
    """
    training = _Training(suffix, train, validation, config, progress, best_value, begun)
    ending: Ending = "complete"
    try:
        while training.best.epochs < config.epochs and not training.best.is_long_ago(config.patience):
            training.run_epoch(training.best.epochs)
            if checkpoints is not None:
                checkpoints.after_epoch(training.num_bytes, training.state)
    except StopRequested:
        ending = "stopped"
    except _InfiniteLossError as error:
        if math.isinf(training.best.value):
            raise RunError(
                f"{INFINITE_LOSS} before the first epoch ended, so there is no model. "
                "Choose a smaller learning rate, then start again."
            ) from error
        ending = "diverged"
    training.best.restore()
    state = training.ended(ending)
    if checkpoints is not None and state.curve:
        checkpoints.write(state)
    return result_of(state, training.stopwatch.pace())


def keep_best(suffix: keras.Model, state: TrainingState) -> TrainingResult:
    """Give a suffix the weights of the best epoch of a training that goes on no more.

    Raises:
        UnfitCheckpointError: If the state belongs to another network.
    """
    if state.best_weights:
        assign(suffix.weights, state.best_weights)
    else:  # the last epoch is the best one
        assign(suffix.variables, state.variables[: len(suffix.variables)])
    return result_of(state)


def result_of(state: TrainingState, pace: TrainingPace | None = None) -> TrainingResult:
    """Return what a training has reached."""
    return TrainingResult(
        best_epoch=state.best_epoch,
        epochs=len(state.curve),
        validation_accuracy=state.best_values.get("val_accuracy"),
        stopped=state.ending == "stopped",
        diverged=state.ending == "diverged",
        best_value=state.best_value,
        pace=pace,
        state=state.without_arrays(),
    )


def search_rates(
    suffix: keras.Model, train: LabelledFeatures, config: TrainingConfig, progress: Progress
) -> RateSearch:
    """Train some steps with a learning rate that grows from tiny to huge, and note the loss of each; several times.

    Every sweep begins with the weights that the suffix came with, and sees the pictures in another order. The
    weights are of no use afterwards.

    Args:
        suffix: Features to probabilities, from `build_classifier`.
        train: Features of the training pictures, walked through again and again.
        config: Batch size, optimizer, seed; its own learning rate, schedule and epochs are left out.
        progress: Told about every step; may ask to stop.

    Returns:
        What was found. A sweep ends early once its loss has exploded.

    Source:
        L. N. Smith, Cyclical Learning Rates for Training Neural Networks, 2017, section 3.3.
    """
    keras.utils.set_random_seed(config.seed)
    optimizer = build_optimizer(config)
    steps = Steps(suffix, optimizer, np.ones(suffix.output.shape[-1]), config.label_smoothing)
    batches = Batches(train, config.batch_size, np.random.default_rng(config.seed))
    variables = [*suffix.weights, *optimizer.variables]
    beginning = [variable.numpy() for variable in variables]
    rates = np.geomspace(*SEARCHED_RATES, SEARCH_STEPS).tolist()
    sweeps: list[list[float]] = []
    for sweep in range(SEARCH_SWEEPS):
        for variable, value in zip(variables, beginning, strict=True):
            variable.assign(value)
        records = chain.from_iterable(iter(lambda: iter(batches), None))
        losses: list[float] = []
        for number, rate in enumerate(rates):
            progress.phase("trying_rates", sweep * SEARCH_STEPS + number, SEARCH_SWEEPS * SEARCH_STEPS)
            steps.set_learning_rate(rate)
            loss = float(np.mean(steps.learn(*next(records))[0].numpy()))
            if not math.isfinite(loss) or loss > EXPLODED * (losses or [loss])[0]:
                break
            losses.append(loss)
        sweeps.append(losses)
    return RateSearch.of_sweeps(tuple(rates), sweeps)


def predict_features(suffix: keras.Model, features: FeatureTable) -> NDArray[np.float32]:
    """Return the probabilities of all records, float32 of shape `(len(features), classes)`."""
    # Not `predict_on_batch`, which makes a graph for each model; TensorFlow warns of the sixth one in a process.
    pieces = [
        np.asarray(suffix(features.take(indices).astype(np.float32), training=False))
        for indices in chunks(len(features), _answers_at_once(suffix))
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
        train: Callable[[int], LabelledFeatures],
        validation: LabelledFeatures | None,
        config: TrainingConfig,
        progress: Progress,
        best_value: float,
        begun: TrainingState | None,
    ) -> None:
        keras.utils.set_random_seed(config.seed)
        num_classes = suffix.output.shape[-1]
        self._first_epoch = 0 if begun is None else len(begun.curve)
        first = train(min(self._first_epoch, config.epochs - 1))
        weights = class_weights(first.labels, num_classes) if config.balance == "weights" else np.ones(num_classes)
        self._steps = Steps(suffix, build_optimizer(config), weights, config.label_smoothing)
        self._config = config
        self._progress = progress
        self._generator = np.random.default_rng(config.seed)
        self._train = train
        self._batches = Batches(first, config.batch_size, self._generator, balanced=config.balance == "sampling")
        self._validation = None if validation is None else Batches(validation, _answers_at_once(suffix))
        self._reported = time.monotonic()
        if begun is not None:
            self._steps.set_variables(begun.variables)
            self._generator.bit_generator.state = begun.generator
        self.best = _Best(suffix, "loss" if validation is None else "val_loss", best_value, begun)
        self.stopwatch = Stopwatch(config.batch_size, 0 if validation is None else len(validation.labels))

    @property
    def num_bytes(self) -> int:
        """How large the arrays of a state are, about."""
        return 4 * sum(int(np.prod(variable.shape)) for variable in self._steps.variables) + self.best.num_bytes

    def state(self) -> TrainingState:
        """Return the state after the last finished epoch; right between epochs only."""
        # The other generators of Keras and TensorFlow are not asked for: layers draw from states among the variables.
        return replace(
            self.best.state(),
            generator=self._generator.bit_generator.state,
            variables=tuple(variable.numpy() for variable in self._steps.variables),
        )

    def ended(self, ending: Ending) -> TrainingState:
        """Return the state of a training that goes on no more."""
        return replace(self.best.state(always=True), ending=ending)

    def run_epoch(self, epoch: int) -> None:
        """Train on every record of an epoch, counted from 0, then look at the validation pictures."""
        if epoch > self._first_epoch:
            self._batches.features = self._train(epoch)
        self._progress.phase("training", epoch, self._config.epochs)
        self.stopwatch.begin_epoch()
        values = self._learn(epoch)
        if self._validation is not None:
            answers = self._answer(self._validation)
            values |= {f"val_{name}": value for name, value in answers.items()}
        self.best.compare(epoch + 1, values)
        self._progress.metrics(float(epoch + 1), values)
        self._progress.phase("training", epoch + 1, self._config.epochs)
        self.stopwatch.end_epoch()

    def _learn(self, epoch: int) -> dict[str, float]:
        averages = _Averages()
        records = iter(self._batches)
        for number in range(1, len(self._batches) + 1):
            with self.stopwatch.step():
                self._steps.set_learning_rate(learning_rate_at(epoch + (number - 1) / len(self._batches), self._config))
                averages.add(*self._steps.learn(*next(records)))
                values = averages.values
                if not math.isfinite(values["loss"]):  # at once: an epoch may last for minutes
                    raise _InfiniteLossError
                self._progress.check()
                if time.monotonic() - self._reported >= REPORT_SECONDS and number < len(self._batches):
                    self._reported = time.monotonic()
                    self._progress.metrics(epoch + number / len(self._batches), values)
        return values

    def _answer(self, batches: Batches) -> dict[str, float]:
        averages = _Averages()
        with self.stopwatch.answers():
            for features, labels in batches:
                averages.add(*self._steps.answer(features, labels))
                self._progress.check()
        return averages.values


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
    """The best epoch so far and its weights; those from before the training as long as no epoch is better."""

    def __init__(self, suffix: keras.Model, monitor: str, value: float, begun: TrainingState | None) -> None:
        self._variables = suffix.weights  # with the statistics of batch normalization, where it learns
        self._monitor = monitor
        self._weights: Sequence[NDArray[np.generic]] = self._present_weights()
        self._curve: list[Mapping[str, float]] = []
        self.value = value
        self.epoch = 0
        if begun is not None:
            self._curve, self.value, self.epoch = list(begun.curve), begun.best_value, begun.best_epoch
            self._weights = begun.best_weights or self._weights

    @property
    def epochs(self) -> int:
        """Epochs that are finished."""
        return len(self._curve)

    @property
    def num_bytes(self) -> int:
        """How large its weights are."""
        return sum(weights.nbytes for weights in self._weights)

    def state(self, *, always: bool = False) -> TrainingState:
        """Return the curve and the best epoch; its weights `always`, or where they are not the present ones."""
        weights = tuple(self._weights) if always or self.epoch < self.epochs else ()
        return TrainingState(tuple(self._curve), self.epoch, self.value, best_weights=weights)

    def compare(self, epoch: int, values: dict[str, float]) -> None:
        """Remember an epoch, counted from 1, when it is the best one."""
        if not math.isfinite(values[self._monitor]):
            raise _InfiniteLossError
        self._curve.append(values)
        if values[self._monitor] < self.value:
            self.value, self.epoch = values[self._monitor], epoch
            self._weights = self._present_weights()

    def _present_weights(self) -> list[NDArray[np.float32]]:
        return [variable.numpy() for variable in self._variables]

    def is_long_ago(self, patience: int | None) -> bool:
        """Whether `patience` epochs were no better."""
        return patience is not None and self.epochs - self.epoch >= patience

    def restore(self) -> None:
        """Give the suffix the best epoch's weights."""
        for variable, value in zip(self._variables, self._weights, strict=True):
            variable.assign(value)


def _answers_at_once(suffix: keras.Model) -> int:
    """Return how many records go through the suffix together: few when it has layers of the backbone, for memory."""
    return 256 if len(suffix.input.shape) == 2 else 32
