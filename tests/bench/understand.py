"""How much of what is planted in real photographs Understand and the check of the pictures find, as JSON lines."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import replace

from tests.bench.accuracy import read
from tests.conftest import SHARED_DATA
from tests.planted_faults import plant
from tlcore.config import ModelConfig
from tlcore.dataset import Dataset
from tlcore.doctor.examination import examine
from tlcore.doctor.findings import DoctorReport
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.progress import TerminalProgress

SEEDS = range(5)
LEAST_FOUND = 0.8
MOST_FALSE = 0.1
SPEED_PICTURES = 4000
MAX_SECONDS = 60.0


def measure_doctor() -> bool:
    """Plant faults in the photographs of cats and dogs, and count how many are found and how many are none."""
    home, dataset = DataRoot.configured(), read("cats_dogs")
    _print("doctor, nothing planted", ours=_counts(_examine(dataset)))
    reached = True
    for seed in SEEDS:
        planted = plant(dataset, home, seed, swapped=0.05, copies=20, blank=10)
        report = _examine(planted.dataset)
        for kind in planted.faults:
            found, false = planted.found(report, kind), planted.false_alarms(report, kind)
            is_reached = found >= LEAST_FOUND and false <= MOST_FALSE
            reached &= is_reached
            _print(
                f"doctor, {kind}",
                seed=seed,
                ours=round(found, 3),
                limit=LEAST_FOUND,
                false_alarms=round(false, 3),
                false_limit=MOST_FALSE,
                reached=is_reached,
            )
        _print("doctor, all that was reported", seed=seed, ours=_counts(report))
    return reached


def measure_doctor_time() -> bool:
    """Time the examination of 4,000 pictures whose features are there."""
    dataset = read("cifar10")
    dataset = replace(dataset, items=tuple(replace(item, scene=None) for item in dataset.items[:SPEED_PICTURES]))
    _examine(dataset)
    started = time.perf_counter()
    report = _examine(dataset)
    seconds = time.perf_counter() - started
    _print("doctor, 4,000 pictures", ours=round(seconds, 1), unit="s", limit=MAX_SECONDS, found=_counts(report))
    return seconds <= MAX_SECONDS


MEASUREMENTS = {"doctor": measure_doctor, "doctor_time": measure_doctor_time}


def _examine(dataset: Dataset) -> DoctorReport:
    progress = TerminalProgress()
    report = examine(dataset, ModelConfig(), progress, DataRoot.configured())
    progress.close()
    return report


def _counts(report: DoctorReport) -> dict[str, int]:
    return {finding.kind: len(finding.suspects) for finding in report.findings}


def _print(name: str, **values: object) -> None:
    print(json.dumps({"name": name, **values}), flush=True)


def main(names: list[str]) -> int:
    """Measure the named things, or all; return 0 when every limit was reached."""
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        print(f"There is no measurement `{unknown[0]}`; there are {', '.join(MEASUREMENTS)}.", file=sys.stderr)
        return 2
    if not SHARED_DATA.is_dir():
        print("The shared data folder is not beside the checkout; there is nothing to measure.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as home:
        os.environ[ENVIRONMENT_VARIABLE] = home
        reached = [MEASUREMENTS[name]() for name in names or MEASUREMENTS]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
