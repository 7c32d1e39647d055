"""Groups of runs that answer together: averaged probabilities, weights fitted on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tlcore.errors import RunError
from tlcore.results.evaluation import Evaluation
from tlcore.results.prediction import PlaceAnswers, Predictor

# A member that counts less than this would cost its time in every answer and change next to none.
SMALLEST_WEIGHT = 0.005
MAX_STEPS = 2000
SMALLEST_STEP = 1e-7
# Keras's own bound: the logarithm of a certain wrong answer stays finite.
SMALLEST_PROBABILITY = 1e-7


def equal_weights(count: int) -> tuple[float, ...]:
    """Return the weights with which all members count the same."""
    return (1 / count,) * count


def average_probabilities(members: Sequence[NDArray[np.float32]], weights: Sequence[float]) -> NDArray[np.float32]:
    """Return the weighted average of the members' answers.

    Args:
        members: For each member float32 of shape `(images, classes)`.
        weights: One per member, not negative, 1 in all.

    Returns:
        float32 of shape `(images, classes)`; each row adds up to 1 when those of the members do.
    """
    average = np.zeros(members[0].shape, np.float64)
    for probabilities, weight in zip(members, weights, strict=True):
        average += weight * probabilities
    return average.astype(np.float32)


def ensemble_evaluation(evaluations: Sequence[Evaluation], weights: Sequence[float]) -> Evaluation:
    """Return what a group answers on the pictures that its members answered.

    Args:
        evaluations: One per member, of the same pictures.
        weights: One per member, not negative, 1 in all.

    Raises:
        RunError: If the members were asked about different pictures or classes.
    """
    first = evaluations[0]
    _check_same_pictures(evaluations)
    probabilities = average_probabilities([one.probabilities for one in evaluations], weights)
    return Evaluation(first.class_names, first.images, first.y_true, probabilities)


def fit_weights(validations: Sequence[Evaluation]) -> tuple[float, ...]:
    """Return the weights with which the average has the smallest log loss on the validation pictures.

    Only the probabilities of the right classes matter, and the loss has a single minimum. It is found by
    expectation maximization for the shares of a mixture: each step divides every picture among the members by
    how much they contributed to its right answer, and a member's share becomes its weight.

    Args:
        validations: Answers of each member to the same validation pictures, at least one.

    Returns:
        One weight per member, in the same order: not negative, 1 in all.

    Raises:
        RunError: If the members were asked about different pictures, or there are none.

    Source:
        Dempster, Laird and Rubin 1977, "Maximum likelihood from incomplete data via the EM algorithm",
        https://doi.org/10.1111/j.2517-6161.1977.tb01600.x, section 4.3.
    """
    first = validations[0]
    _check_same_pictures(validations)
    if not first.total:
        raise RunError("There are no validation pictures to fit weights on. Use equal weights.")
    rows = np.arange(first.total)
    right = np.stack([one.probabilities[rows, first.y_true].astype(np.float64) for one in validations], axis=1)
    right = np.maximum(right, SMALLEST_PROBABILITY)
    weights = np.full(len(validations), 1 / len(validations))
    for _ in range(MAX_STEPS):
        contributions = right * weights
        fitted = (contributions / contributions.sum(axis=1, keepdims=True)).mean(axis=0)
        step = float(np.abs(fitted - weights).max())
        weights = fitted
        if step < SMALLEST_STEP:
            break
    weights[weights < SMALLEST_WEIGHT] = 0
    return tuple((weights / weights.sum()).tolist())


def _check_same_pictures(evaluations: Sequence[Evaluation]) -> None:
    first = evaluations[0]
    for other in evaluations[1:]:
        same = first.images == other.images and first.class_names == other.class_names
        if not (same and np.array_equal(first.y_true, other.y_true)):
            raise RunError(
                "These runs answered different pictures, so their answers cannot be averaged. "
                "Choose runs of the same version of the data set."
            )


def ensemble_predictor(members: Sequence[Predictor], weights: Sequence[float]) -> Predictor:
    """Return the predictor of a group.

    Args:
        members: The models of its runs.
        weights: What each one counts, in the same order.

    Raises:
        RunError: If the members know different classes.
    """
    first = members[0]
    if any(member.class_names != first.class_names for member in members):
        raise RunError("The models of this group know different classes. Make a new group of runs that fit.")
    # A weight of nothing changes nothing; that member need not be asked.
    counting = [(member, weight) for member, weight in zip(members, weights, strict=True) if weight > 0]

    def predict(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        answers = [member.predict(images) for member, _ in counting]
        return average_probabilities(answers, [weight for _, weight in counting])

    def places(image: NDArray[np.uint8]) -> tuple[PlaceAnswers, ...]:
        return tuple(
            replace(answers, weight=weight * answers.weight)
            for member, weight in counting
            for answers in member.places(image)
        )

    image_size = max(member.image_size for member, _ in counting)
    asked_first = counting[0][0]
    return Predictor(first.class_names, asked_first.class_colors, image_size, predict, asked_first.grey_range, places)
