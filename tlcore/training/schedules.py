"""How the learning rate changes while a model trains."""

from __future__ import annotations

import math
from collections.abc import Callable

from tlcore.config import ScheduleName, TrainingConfig

# A warm-up does not begin at zero: its first steps would do nothing.
LEAST_WARMUP = 0.1

SCHEDULES: dict[ScheduleName, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "step": lambda done: 0.1 ** min(2, int(3 * done)),
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * min(1.0, done))),
}
"""Factor of the learning rate when a part of the training, in `[0, 1]`, is done."""


def learning_rate_at(epoch: float, config: TrainingConfig) -> float:
    """Return the step size at some point of a training.

    Args:
        epoch: How many epochs are over, with parts of one.
        config: Learning rate, schedule, warm-up and epochs.
    """
    if epoch < config.warmup_epochs:
        return config.learning_rate * max(epoch, LEAST_WARMUP) / config.warmup_epochs
    done = (epoch - config.warmup_epochs) / max(1, config.epochs - config.warmup_epochs)
    return config.learning_rate * SCHEDULES[config.schedule](done)
