"""How many of the faults that are planted in real pictures the check of the pictures finds, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.bench.accuracy import read
from tests.bench.figures import Line, figure
from tests.planted_faults import Planted, plant, spoil
from tlcore.config import ModelConfig
from tlcore.dataset import Dataset
from tlcore.doctor.examination import examine
from tlcore.doctor.findings import DoctorReport, FindingKind
from tlcore.home import DataRoot
from tlcore.progress import TerminalProgress

SEEDS = range(5)
LEAST_FOUND = 0.8
MOST_FALSE = 0.1
SPEED_PICTURES = 4000
MAX_SECONDS = 60.0
SETS = ("cats_dogs", "flowers17", "brain_mri", "mnist", "cifar10")
SPOILT = 0.03


def measure() -> Iterator[Line]:
    """Yield each figure."""
    yield from planted_faults()
    yield from swapped_labels()
    yield from spoilt_pictures()
    yield from seconds()


def planted_faults() -> Iterator[Line]:
    """Plant faults in the photographs of cats and dogs; each must be found as the kind that it is."""
    home, dataset = DataRoot.configured(), read("cats_dogs")
    yield _nothing_planted(dataset, "cats_dogs")
    for seed in SEEDS:
        planted = plant(dataset, home, seed, swapped=0.05, copies=20, blank=10)
        report = _examine(planted.dataset)
        for kind in planted.faults:
            yield from _found(planted, report, kind, f"cats_dogs, seed {seed}: 5 % swapped, 20 copies, 10 blank")


def swapped_labels() -> Iterator[Line]:
    """Swap labels in sets of all kinds: the more often the classifier itself is wrong, the more of it is false."""
    for name in SETS:
        planted = plant(read(name), DataRoot.configured(), 0, swapped=0.05, copies=0, blank=0)
        report = _examine(planted.dataset)
        agrees = {"classifier agrees": round(report.agreed / report.judged, 3)}
        yield from _found(planted, report, "mislabelled", f"{name}, seed 0: 5 % swapped", asked=False, more=agrees)


def spoilt_pictures() -> Iterator[Line]:
    """Spoil some pictures of each set: far too dark, and far out of focus."""
    kinds: Mapping[FindingKind, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        "dark": darkened,
        "blurred": blurred,
    }
    for name in SETS:
        dataset = read(name)
        yield _nothing_planted(dataset, name)
        for kind, change in kinds.items():
            planted = spoil(dataset, DataRoot.configured(), 0, kind, SPOILT, change)
            how = f"{name}, seed 0: {SPOILT:.0%} spoilt"
            yield from _found(planted, _examine(planted.dataset), kind, how, asked=False)


def darkened(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture at a seventh of its brightness."""
    return (pixels * 0.15).astype(np.uint8)


def blurred(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture that is so far out of focus that a fifty-sixth of its side is one place."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), min(pixels.shape[:2]) / 56), np.uint8)


def seconds() -> Iterator[Line]:
    """Time the examination of 4,000 pictures whose features are there."""
    dataset = read("cifar10")
    dataset = replace(dataset, items=tuple(replace(item, scene=None) for item in dataset.items[:SPEED_PICTURES]))
    _examine(dataset)
    started = time.perf_counter()
    _examine(dataset)
    yield figure(
        "doctor: seconds of an examination with cached features",
        time.perf_counter() - started,
        f"{SPEED_PICTURES} pictures of cifar10, near-copies looked for too",
        at_most=MAX_SECONDS,
    )


def _found(
    planted: Planted,
    report: DoctorReport,
    kind: FindingKind,
    how: str,
    *,
    asked: bool = True,
    more: Mapping[str, object] | None = None,
) -> Iterator[Line]:
    how = f"{how}, {len(planted.faults[kind])} of this kind"
    found, false = planted.found(report, kind), planted.false_alarms(report, kind)
    yield figure(f"doctor: share of {kind} pictures found", found, how, at_least=LEAST_FOUND if asked else None)
    yield figure(
        f"doctor: share of pictures reported as {kind} that are not",
        false,
        how,
        at_most=MOST_FALSE if asked else None,
        more=more,
    )


def _nothing_planted(dataset: Dataset, name: str) -> Line:
    report = _examine(dataset)
    counts = {finding.kind: len(finding.suspects) for finding in report.findings}
    return figure("doctor: pictures reported with nothing planted", sum(counts.values()), name, more=counts)


def _examine(dataset: Dataset) -> DoctorReport:
    progress = TerminalProgress()
    report = examine(dataset, ModelConfig(), progress, DataRoot.configured())
    progress.close()
    return report
