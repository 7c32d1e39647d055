"""Calibration and thresholds on real pictures: fitted on validation, measured on the exam, over three splits."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from tests.bench.accuracy import read
from tests.bench.figures import Line, figure
from tlcore.intake.splitting import resplit
from tlcore.library import train
from tlcore.results.calibration import (
    calibrated_evaluation,
    coverage_at,
    error_by_chance,
    expected_calibration_error,
    fit_temperature,
    log_loss,
)
from tlcore.results.evaluation import Evaluation

SETS = ("cats_dogs", "flowers17", "brain_mri")
MOST_LOST = 0.01
"""What a temperature may cost in log loss where there was nothing to mend: it is fitted on few pictures."""
SEEDS = range(3)
THRESHOLD = 0.8


def measure() -> Iterator[Line]:
    """Yield each figure."""
    for name in SETS:
        losses: list[tuple[float, float]] = []
        for seed in SEEDS:
            model = train(resplit(read(name), seed=seed, keep_given=False))
            validation, exam = model.validation, model.open_exam()
            started = time.perf_counter()
            temperature = fit_temperature(validation)
            milliseconds = 1000 * (time.perf_counter() - started)
            scaled = exam if temperature is None else calibrated_evaluation(exam, temperature)
            how = f"{name}, split {seed}: {exam.total} test pictures, fitted on {validation.total} validation pictures"
            more = {
                "temperature": None if temperature is None else round(temperature, 3),
                "wrong on validation": validation.total - validation.correct,
                "fit in milliseconds": round(milliseconds, 1),
                "of luck": round(error_by_chance(exam) or 0, 4),
            }
            yield from _errors(exam, scaled, how, more)
            losses.append((log_loss(exam) or 0, log_loss(scaled) or 0))
            yield _coverage(scaled, how)
        before, after = (statistics.fmean(pair) for pair in zip(*losses, strict=True))
        yield figure(
            "figures: mean log loss on the exam, calibrated",
            after,
            f"{name}, {len(SEEDS)} splits",
            at_most=round(before + MOST_LOST, 4),
            more={"original": round(before, 4)},
        )


def _errors(exam: Evaluation, scaled: Evaluation, how: str, more: dict[str, object]) -> Iterator[Line]:
    for what, answers in (("original", exam), ("calibrated", scaled)):
        error = expected_calibration_error(answers) or 0.0
        yield figure(f"figures: expected calibration error on the exam, {what}", error, how, more=more)


def _coverage(answers: Evaluation, how: str) -> Line:
    found = coverage_at(answers, THRESHOLD)
    low, high = found.accuracy_interval
    return figure(
        f"figures: share right of those answered from {THRESHOLD:.0%} on",
        found.accuracy or 0.0,
        how,
        more={
            "95 % interval": [round(low, 4), round(high, 4)],
            "answered": round(found.coverage or 0, 4),
            "share right without a threshold": round(answers.accuracy or 0, 4),
        },
    )
