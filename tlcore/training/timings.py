"""How long the parts of one run took."""

from __future__ import annotations

from dataclasses import dataclass

from tlcore.features.extractor import FeaturePass
from tlcore.training.stopwatch import TrainingPace


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
