"""Calibration, temperature scaling and thresholds: known answers, checked against SciPy and scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn import metrics
from sklearn.calibration import calibration_curve

from tlcore.results.calibration import (
    NUM_BINS,
    calibrated,
    calibrated_evaluation,
    calibrated_probabilities,
    calibration_bins,
    coverage_at,
    coverage_curve,
    error_by_chance,
    expected_calibration_error,
    fit_temperature,
    log_loss,
)
from tlcore.results.evaluation import Evaluation
from tlcore.results.prediction import Predictor


def drawn(number: int = 4000, classes: int = 4, too_sure: float = 1.0, seed: int = 0) -> Evaluation:
    """Return answers whose right class is drawn from their own probabilities, before they are made too sure."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (number, classes))
    honest = softmax(logits, axis=1)
    y_true = (honest.cumsum(axis=1) > random.random((number, 1))).argmax(axis=1).astype(np.int64)
    return evaluation(softmax(logits * too_sure, axis=1), y_true)


def evaluation(probabilities: Sequence[Sequence[float]] | NDArray[np.floating], y_true: object) -> Evaluation:
    table = np.array(probabilities, np.float32)
    truth = np.array(y_true, np.int64)
    names = tuple(f"class {number}" for number in range(table.shape[1]))
    return Evaluation(names, tuple(str(number) for number in range(len(truth))), truth, table)


NOTHING = Evaluation(("a", "b"), (), np.zeros(0, np.int64), np.zeros((0, 2), np.float32))


def test_scaling_divides_the_logits_by_the_temperature() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (50, 6))
    probabilities = softmax(logits, axis=1).astype(np.float32)
    scaled = calibrated_probabilities(probabilities, 2.5)
    np.testing.assert_allclose(scaled, softmax(logits / 2.5, axis=1), atol=1e-6)
    assert scaled.dtype == np.float32
    assert (scaled.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert calibrated_probabilities(probabilities, 1) is probabilities


def test_certain_answers_stay_numbers_at_every_temperature() -> None:
    certain = np.array([[1, 0, 0], [0.5, 0.5, 0]], np.float32)
    for temperature in (0.05, 0.5, 2, 20):
        scaled = calibrated_probabilities(certain, temperature)
        assert np.isfinite(scaled).all()
        np.testing.assert_allclose(scaled.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf")])
def test_a_temperature_is_a_number_above_zero(temperature: float) -> None:
    with pytest.raises(ValueError, match="Received: temperature="):
        calibrated_probabilities(np.ones((1, 1), np.float32), temperature)


@pytest.mark.parametrize("too_sure", [0.5, 1.0, 2.0, 4.0])
def test_the_fit_finds_how_much_too_sure_the_answers_are(too_sure: float) -> None:
    answers = drawn(too_sure=too_sure)
    temperature = fit_temperature(answers)
    assert temperature == pytest.approx(too_sure, rel=0.07)
    # The loss that SciPy finds in the same range is no smaller.
    reference = minimize_scalar(lambda t: log_loss(answers, t), bounds=(0.05, 20), method="bounded")
    assert temperature == pytest.approx(reference.x, rel=1e-3)
    scaled = calibrated_evaluation(answers, temperature).probabilities.astype(np.float64)
    scaled /= scaled.sum(axis=1, keepdims=True)
    assert log_loss(answers, temperature) == pytest.approx(metrics.log_loss(answers.y_true, scaled), rel=1e-4)


def test_scaling_mends_probabilities_that_are_too_sure() -> None:
    fitted_on, asked = drawn(too_sure=3, seed=1), drawn(too_sure=3, seed=2)
    temperature = fit_temperature(fitted_on)
    assert temperature is not None
    before, after = (expected_calibration_error(one) for one in (asked, calibrated_evaluation(asked, temperature)))
    assert before > 0.1 > 0.03 > after
    assert calibrated_evaluation(asked, temperature).correct == asked.correct


@pytest.mark.parametrize(
    "answers",
    [
        NOTHING,
        evaluation([[0.9, 0.1]], [0]),
        evaluation([[0.9, 0.1]], [1]),
        evaluation([[0.9, 0.1], [0.2, 0.8]], [0, 1]),
        evaluation([[0.9, 0.1], [0.2, 0.8]], [1, 0]),
        evaluation([[0.9, 0.1], [0.9, 0.1]], [0, 1]),
        evaluation([[0.9, 0.1]] * 6, [0, 1] * 3),
        evaluation([[0.9, 0.1]] * 30, [0] * 28 + [1] * 2),
        evaluation([[0.5, 0.5], [0.5, 0.5]], [0, 1]),
        evaluation([[1, 0], [1, 0]], [0, 1]),
    ],
    ids=[
        "none",
        "one right",
        "one wrong",
        "all right",
        "all wrong",
        "as good as a coin",
        "a coin of six",
        "two wrong",
        "a coin",
        "certain",
    ],
)
def test_pictures_that_cannot_tell_give_no_temperature(answers: Evaluation) -> None:
    assert fit_temperature(answers) is None


def test_bins_count_and_average_as_scikit_learn_does() -> None:
    answers = drawn(too_sure=2)
    found = calibration_bins(answers)
    right = answers.y_pred == answers.y_true
    accuracy, confidence = calibration_curve(right, answers.probabilities.max(axis=1), n_bins=NUM_BINS)
    np.testing.assert_allclose([one.accuracy for one in found], accuracy)
    np.testing.assert_allclose([one.confidence for one in found], confidence, rtol=1e-6)
    assert sum(one.total for one in found) == answers.total
    assert sum(one.correct for one in found) == answers.correct
    for one in found:
        assert one.low < one.confidence <= one.high
        low, high = one.accuracy_interval
        assert low <= one.accuracy <= high


def test_the_calibration_error_weighs_each_bin_by_its_pictures() -> None:
    # Three answers at 90 %, of which two are right; one at 60 %, wrong.
    answers = evaluation([[0.9, 0.1]] * 3 + [[0.6, 0.4]], [0, 0, 1, 1])
    expected = 3 / 4 * abs(2 / 3 - 0.9) + 1 / 4 * abs(0 - 0.6)
    assert expected_calibration_error(answers) == pytest.approx(expected, abs=1e-6)
    assert expected_calibration_error(evaluation([[1, 0]] * 5, [0] * 5)) == 0
    assert expected_calibration_error(NOTHING) is None
    assert (log_loss(NOTHING), error_by_chance(NOTHING)) == (None, None)


def test_what_luck_can_show_holds_for_honest_answers_and_not_for_those_too_sure() -> None:
    honest = [drawn(200, seed=seed) for seed in range(40)]
    below = [expected_calibration_error(one) <= error_by_chance(one) for one in honest]
    assert sum(below) >= 35
    too_sure = [drawn(200, too_sure=4, seed=seed) for seed in range(10)]
    assert all(expected_calibration_error(one) > error_by_chance(one) for one in too_sure)
    assert error_by_chance(drawn(4000)) < error_by_chance(drawn(100)) / 3


def test_a_threshold_answers_what_is_at_least_as_probable() -> None:
    answers = evaluation([[0.5, 0.5], [0.75, 0.25], [0.25, 0.75], [0.9, 0.1]], [1, 0, 0, 0])
    everything, some, one, none = coverage_curve(answers, (0, 0.75, 0.8, 1))
    assert (everything.answered, everything.correct, everything.coverage) == (4, 2, 1)
    assert (some.answered, some.correct, some.coverage, some.accuracy) == (3, 2, 0.75, 2 / 3)
    assert (one.coverage, one.accuracy) == (0.25, 1)
    assert (none.answered, none.coverage, none.accuracy, none.accuracy_interval) == (0, 0, None, (0, 1))
    assert coverage_at(NOTHING, 0.5).coverage is None


def test_a_higher_threshold_answers_less_and_is_right_more_often() -> None:
    curve = coverage_curve(drawn(), [number / 20 for number in range(20)])
    coverages = [point.coverage for point in curve]
    assert coverages == sorted(coverages, reverse=True)
    assert curve[0].accuracy < curve[10].accuracy < curve[16].accuracy


@dataclass
class Says:
    probabilities: tuple[float, ...]

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return np.array([self.probabilities] * len(images), np.float32).reshape(len(images), -1)


def test_a_calibrated_predictor_answers_less_surely_and_is_otherwise_the_same() -> None:
    predictor = Predictor(("a", "b"), (3, 1), 96, Says((0.8, 0.2)), (0.0, 4095.0))
    scaled = calibrated(predictor, 2)
    np.testing.assert_allclose(scaled.predict([np.zeros((4, 4, 3), np.uint8)]), [[2 / 3, 1 / 3]], rtol=1e-6)
    assert (scaled.class_names, scaled.class_colors, scaled.image_size) == (("a", "b"), (3, 1), 96)
    assert scaled.grey_range == (0.0, 4095.0)
    assert calibrated(predictor, 1) is predictor
