"""How long the parts of a run take: its features and its start; the steps of its training and what is around them."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tlcore.features.extractor import FeaturePass

# What an epoch takes besides its steps, until one has shown it.
USUAL_EPOCH_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class TrainingPace:
    """What happened while the suffix was trained, in seconds.

    Attributes:
        first_epoch_seconds: What the first epoch took longer than the others: TensorFlow traces and optimizes.
        epoch_seconds: What an epoch takes besides its steps and its validation pictures.
        step_seconds: One batch forward and backward.
        answers_per_second: Validation pictures through the suffix.
    """

    first_epoch_seconds: float
    epoch_seconds: float
    step_seconds: float
    answers_per_second: float


@dataclass(frozen=True, slots=True)
class RunTimings:
    """What happened in one run.

    Attributes:
        prepare_seconds: Checks at its beginning, before the feature pass and TensorFlow's import.
        passes: The feature passes, in order.
        startup: When building the model began and ended; `None` if it did not end.
        imported: Whether TensorFlow's import is a part of that.
        pace: Of the training; `None` when it was too short to tell.
        finish_seconds: Testing, saving and compiling, besides computing features and answers; `None` if not reached.
    """

    prepare_seconds: float
    passes: tuple[FeaturePass, ...]
    startup: tuple[float, float] | None
    imported: bool
    pace: TrainingPace | None
    finish_seconds: float | None


class Stopwatch:
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
