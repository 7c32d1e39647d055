"""How far a model's probabilities can be believed: calibration, temperature scaling, and when it should not answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tlcore.results.evaluation import Evaluation, accuracy_interval

if TYPE_CHECKING:
    from tlcore.results.prediction import Predictor

NUM_BINS = 15
"""As in Guo et al. 2017 and in most papers since; a different number gives a different error."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""A fit that ends at one of them found no temperature."""

SMALLEST_PROBABILITY = 1e-12
"""Smaller ones count as this: the answers of neighbours can be exactly 0, whose logarithm is infinite."""

FEWEST_ANSWERS = 3
"""Wrong ones, and right ones, that a temperature needs: on 33 brain scans one of them alone led it far astray."""

DRAWS = 400
CHANCE_QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """The answers whose probability lies in one range.

    Attributes:
        low: The probabilities are above this; the first range holds 0 as well.
        high: And at most this.
        total: Pictures whose most probable class has such a probability, at least one.
        correct: Those of them that were answered right.
        confidence: Mean of these probabilities, in `[0, 1]`.
    """

    low: float
    high: float
    total: int
    correct: int
    confidence: float

    @property
    def accuracy(self) -> float:
        """Share of right answers in `[0, 1]`; the same as `confidence` when the probabilities are right."""
        return self.correct / self.total

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy, in `[0, 1]`."""
        return accuracy_interval(self.correct, self.total)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a model answers when it says "I don't know" below a threshold.

    Attributes:
        threshold: Least probability of an answer, in `[0, 1]`.
        answered: Pictures that it answers.
        correct: Those of them that it answers right.
        total: All pictures.
    """

    threshold: float
    answered: int
    correct: int
    total: int

    @property
    def coverage(self) -> float | None:
        """Share of the pictures that are answered, in `[0, 1]`; `None` without pictures."""
        return self.answered / self.total if self.total else None

    @property
    def accuracy(self) -> float | None:
        """Share of right answers among those given, in `[0, 1]`; `None` when it answers none."""
        return self.correct / self.answered if self.answered else None

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy, in `[0, 1]`; all of it when it answers none."""
        return accuracy_interval(self.correct, self.answered)


def calibrated_probabilities(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return probabilities after temperature scaling: the order of the classes stays.

    They are raised to one over the temperature and add up to 1 again, which is the softmax of the logits divided by
    the temperature. Classes below `SMALLEST_PROBABILITY` become equally probable.

    Args:
        probabilities: float32 of shape `(images, classes)`; each row adds up to 1.
        temperature: Above 0. More than 1 makes answers less sure, less than 1 makes them surer, 1 changes nothing.

    Returns:
        float32 of the same shape.

    Raises:
        ValueError: If the temperature is not a number above 0.

    Source:
        Guo et al. 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599, section 4.2.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"`temperature` must be a number above 0. Received: temperature={temperature}")
    if temperature == 1:
        return probabilities
    return np.exp(_scaled_logs(_logs(probabilities), temperature)).astype(np.float32)


def _logs(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities.astype(np.float64), SMALLEST_PROBABILITY))


def _scaled_logs(logs: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    scores = logs / temperature
    scores -= scores.max(axis=1, keepdims=True)  # the largest one becomes 1 before the sum, so nothing overflows
    scaled: NDArray[np.float64] = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return scaled


def calibrated(predictor: Predictor, temperature: float) -> Predictor:
    """Return a predictor whose probabilities are scaled with a temperature; the same one when that is 1.

    The finer answers, of which heat maps are made, and those without each place stay as they are: a temperature
    changes how sure a model is, not where it looks.
    """
    if temperature == 1:
        return predictor

    def predict(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return calibrated_probabilities(predictor.predict(images), temperature)

    def predict_finely(images: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        answers, finer = predictor.ask_finely(images)
        return calibrated_probabilities(answers, temperature), finer

    scale = temperature * predictor.temperature
    return replace(predictor, predict=predict, predict_finely=predict_finely, temperature=scale)


def calibrated_evaluation(evaluation: Evaluation, temperature: float) -> Evaluation:
    """Return answers whose probabilities are scaled with a temperature; right ones stay right."""
    return replace(evaluation, probabilities=calibrated_probabilities(evaluation.probabilities, temperature))


def log_loss(evaluation: Evaluation, temperature: float = 1.0) -> float | None:
    """Return the mean negative logarithm of the right class's probability, lower is better; `None` without pictures."""
    if not evaluation.total:
        return None
    scaled = _scaled_logs(_logs(evaluation.probabilities), temperature)
    return float(-scaled[np.arange(evaluation.total), evaluation.y_true].mean())


def fit_temperature(validation: Evaluation) -> float | None:
    """Return the temperature with which the probabilities fit the validation pictures best.

    It has the smallest log loss. That is convex in one over the temperature, so where its slope crosses zero is the
    only minimum. All answers right would want certainty, all wrong none at all, and with one or two of the other kind
    everything depends on these.

    Args:
        validation: Answers to pictures that the model has not learned from.

    Returns:
        The temperature, above 1 when the model is too sure of itself; `None` when these pictures cannot tell.
    """
    if min(validation.correct, validation.total - validation.correct) < FEWEST_ANSWERS:
        return None
    logs = _logs(validation.probabilities)
    rows = np.arange(validation.total)
    right = float(logs[rows, validation.y_true].mean())

    def slope(log_temperature: float) -> float:
        # Of the log loss in one over the temperature; below 0 where it is too hot.
        weights = np.exp(_scaled_logs(logs, math.exp(log_temperature)))
        return float((weights * logs).sum(axis=1).mean()) - right

    from scipy.optimize import brentq  # not with the page

    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    if slope(low) < 0 or slope(high) >= 0:
        return None
    return math.exp(brentq(slope, low, high))


def calibration_bins(evaluation: Evaluation) -> tuple[CalibrationBin, ...]:
    """Return the answers sorted into ranges of equal width by the probability of the most probable class.

    Returns:
        Those of the `NUM_BINS` ranges that have pictures, the smallest probability first.
    """
    edges = _bin_edges()
    confidences, right = _confidences(evaluation), _is_right(evaluation)
    of = _bins_of(confidences)
    return tuple(
        CalibrationBin(
            low=float(edges[number]),
            high=float(edges[number + 1]),
            total=int((of == number).sum()),
            correct=int(right[of == number].sum()),
            confidence=float(confidences[of == number].mean()),
        )
        for number in np.unique(of).tolist()
    )


def expected_calibration_error(evaluation: Evaluation) -> float | None:
    """Return how far probability and share of right answers are apart, on average over the answers.

    Returns:
        In `[0, 1]`, lower is better; `None` without pictures.

    Source:
        Naeini, Cooper and Hauskrecht 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
        https://ojs.aaai.org/index.php/AAAI/article/view/9602.
    """
    if not evaluation.total:
        return None
    return sum(
        one.total / evaluation.total * abs(one.accuracy - one.confidence) for one in calibration_bins(evaluation)
    )


def error_by_chance(evaluation: Evaluation) -> float | None:
    """Return what calibration error luck alone can show: 95 of 100 models with exactly right probabilities stay below.

    The error is never 0, since a range of few pictures never has exactly its share of right ones. So the answers are
    drawn anew, right as often as they say, and the error of each draw is noted.

    Returns:
        In `[0, 1]`; `None` without pictures.

    Source:
        Broecker and Smith 2007, "Increasing the Reliability of Reliability Diagrams",
        https://doi.org/10.1175/WAF993.1 (consistency resampling, here with the probabilities as they are).
    """
    if not evaluation.total:
        return None
    confidences = _confidences(evaluation)
    of = _bins_of(confidences)
    random = np.random.default_rng(0)
    claimed = np.bincount(of, confidences, NUM_BINS)
    errors = [
        np.abs(np.bincount(of, random.random(evaluation.total) < confidences, NUM_BINS) - claimed).sum()
        for _ in range(DRAWS)
    ]
    return float(np.quantile(errors, CHANCE_QUANTILE)) / evaluation.total


def coverage_at(evaluation: Evaluation, threshold: float) -> Coverage:
    """Return what is answered when the most probable class must have at least a probability."""
    return coverage_curve(evaluation, (threshold,))[0]


def coverage_curve(evaluation: Evaluation, thresholds: Sequence[float]) -> tuple[Coverage, ...]:
    """Return what is answered at each of some thresholds, in their order."""
    confidences = _confidences(evaluation)
    order = np.argsort(confidences)
    # How many right answers there are before each place, the least sure answer first.
    right_before = np.concatenate([[0], _is_right(evaluation)[order].cumsum()])
    firsts = np.searchsorted(confidences[order], thresholds, side="left")
    return tuple(
        Coverage(
            threshold=threshold,
            answered=evaluation.total - int(first),
            correct=evaluation.correct - int(right_before[first]),
            total=evaluation.total,
        )
        for threshold, first in zip(thresholds, firsts, strict=True)
    )


def _bin_edges() -> NDArray[np.float64]:
    return np.linspace(0, 1, NUM_BINS + 1)


def _bins_of(confidences: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return in which range each probability lies; one at an edge belongs to the range below."""
    return np.asarray(np.searchsorted(_bin_edges()[1:-1], confidences, side="left"), np.intp)


def _confidences(evaluation: Evaluation) -> NDArray[np.float64]:
    highest: NDArray[np.float64] = evaluation.probabilities.max(axis=1).astype(np.float64)
    return highest


def _is_right(evaluation: Evaluation) -> NDArray[np.bool_]:
    right: NDArray[np.bool_] = evaluation.y_pred == evaluation.y_true
    return right
