"""The history of a run, epoch by epoch, and what else a remark on it rests upon."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.status import is_random
from tlcore.config import RunConfig
from tlcore.model.cut import PIXELS, plan_model
from tlcore.results.comparison import PairedComparison
from tlcore.results.evaluation import Evaluation
from tlcore.settings.words import decimal
from tlcore.storage.runs import MetricPoint


@dataclass(frozen=True, slots=True)
class History:
    """What was measured at the end of each epoch, the first one first; a quantity that was not has no values.

    Attributes:
        loss: Mean loss of the training pictures while the epoch went on, with dropout and random changes.
        accuracy: Fraction of right answers to them, likewise.
        val_loss: Mean loss of the validation pictures at the end of the epoch.
        val_accuracy: Fraction of right answers to them, likewise.
    """

    loss: tuple[float, ...] = ()
    accuracy: tuple[float, ...] = ()
    val_loss: tuple[float, ...] = ()
    val_accuracy: tuple[float, ...] = ()

    @classmethod
    def of_points(cls, points: Iterable[MetricPoint]) -> History:
        """Read the points of a run's curves; those inside of an epoch are left out.

        A quantity that misses an epoch is left out as a whole, so that positions are always epochs.
        """
        ends: dict[str, dict[int, float]] = {}
        for point in points:
            if point.epoch == int(point.epoch) and point.epoch >= 1:
                ends.setdefault(point.name, {})[int(point.epoch)] = point.value
        last = max((max(values) for values in ends.values()), default=0)

        def series(name: str) -> tuple[float, ...]:
            values = ends.get(name, {})
            return tuple(values[epoch] for epoch in range(1, last + 1)) if len(values) == last else ()

        return cls(series("loss"), series("accuracy"), series("val_loss"), series("val_accuracy"))

    @property
    def epochs(self) -> int:
        """Epochs that have ended."""
        return max(len(self.loss), len(self.val_loss))

    @property
    def judged(self) -> tuple[float, ...]:
        """The loss that tells best how far it is: of the validation pictures, else of those it learns from."""
        return self.val_loss or self.loss

    def until(self, epochs: int) -> History:
        """Return the history as it was at the end of an epoch."""
        return History(self.loss[:epochs], self.accuracy[:epochs], self.val_loss[:epochs], self.val_accuracy[:epochs])


@dataclass(frozen=True)
class RunFacts:
    """What remarks on a run rest upon.

    Attributes:
        history: Its curves.
        config: What was chosen.
        train: Training pictures of each class, in the order of the model's outputs.
        validation_pictures: How many there are.
        is_active: Whether it still works.
        diverged: Whether it ended because the loss became infinite.
        validation: The answers of its best epoch to the validation pictures, once it has ended; `None` before, and for
            runs of earlier versions.
        earlier: What the run before it is called, and how the two compare on the same validation pictures, this run
            first; `None` where there is none.
    """

    history: History
    config: RunConfig
    train: tuple[int, ...]
    validation_pictures: int
    is_active: bool = False
    diverged: bool = False
    validation: Evaluation | None = field(default=None, compare=False)
    earlier: tuple[str, PairedComparison] | None = None

    @property
    def guessing(self) -> float:
        """The loss of a model that finds every class equally likely."""
        return math.log(max(2, len(self.train)))

    @property
    def epochs_asked_for(self) -> int:
        """Epochs of all phases, at most."""
        return sum(phase.training.epochs for phase in self.config.phases)

    @property
    def first_phase(self) -> History:
        """The epochs that surely belong to the first phase: the history does not say where the second one began."""
        training = self.config.training
        if training.fine_tuning is None:
            return self.history
        least = training.epochs if training.patience is None else min(training.epochs, training.patience + 1)
        return self.history.until(least)

    @property
    def is_pretrained(self) -> bool:
        """Whether the backbone had learned before this run."""
        return not is_random(get_backbone(self.config.model.backbone), self.config.model.weights)

    @cached_property
    def learning_blocks(self) -> tuple[str, ...]:
        """The blocks of the backbone that learn in the last phase."""
        return plan_model(self.config.phases[-1].model).trainable_blocks

    @cached_property
    def has_frozen_blocks(self) -> bool:
        """Whether a part of the backbone stays as it is to the end."""
        return plan_model(self.config.phases[-1].model).prefix.cut != PIXELS


def mean(values: Sequence[float]) -> float:
    """Return the mean of some values; there must be one."""
    return sum(values) / len(values)


def percent(fraction: float) -> str:
    """Return a fraction of `[0, 1]` as a percentage without decimals, such as `97 %`."""
    return f"{100 * fraction:.0f} %"


def loss_words(loss: float) -> str:
    """Return a loss with two decimals, such as `0.77`, a small one with two digits that count, a large one whole."""
    if loss >= 100:
        return f"{loss:,.0f}"
    return f"{loss:.2f}" if loss >= 0.1 else decimal(float(f"{loss:.2g}")) or "0"
