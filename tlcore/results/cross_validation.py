"""How sure an accuracy is: what the same settings reached on several splits, with mean and spread."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FoldResult:
    """How one training did on the pictures of its fold, which it never saw.

    Attributes:
        correct: Pictures that it named right.
        total: Pictures of the fold.
    """

    correct: int
    total: int


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What the same settings reach on several splits; all accuracies are fractions in `[0, 1]`, higher is better.

    Attributes:
        folds: One result for each training.
    """

    folds: tuple[FoldResult, ...]

    @property
    def accuracies(self) -> tuple[float, ...]:
        """The accuracy of each training, in order."""
        return tuple(fold.correct / fold.total for fold in self.folds)

    @property
    def mean(self) -> float:
        """Mean accuracy of the trainings."""
        return statistics.fmean(self.accuracies)

    @property
    def deviation(self) -> float:
        """Standard deviation of the trainings' accuracies (with n - 1): by how much a single split is off."""
        return statistics.stdev(self.accuracies)

    @property
    def correct(self) -> int:
        """Pictures of all folds that were named right; each was asked about once."""
        return sum(fold.correct for fold in self.folds)

    @property
    def total(self) -> int:
        """All pictures that were asked about."""
        return sum(fold.total for fold in self.folds)

    def __str__(self) -> str:
        low, mean, high = (100 * value for value in (min(self.accuracies), self.mean, max(self.accuracies)))
        return f"{mean:.1f} % ({low:.1f} to {high:.1f} % in {len(self.folds)} trainings)"
