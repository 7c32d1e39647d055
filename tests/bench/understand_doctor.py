"""How many of the faults that are planted in real pictures the check of the pictures finds, and how long it takes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.bench.accuracy import read
from tests.planted_faults import Planted, plant, spoil
from tlcore.config import ModelConfig
from tlcore.dataset import Dataset
from tlcore.doctor.examination import examine
from tlcore.doctor.findings import DoctorReport, FindingKind
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.progress import TerminalProgress

SEEDS = range(5)
LEAST_FOUND = 0.8
MOST_FALSE = 0.1
SPEED_PICTURES = 4000
MAX_SECONDS = 60.0
SETS = ("cats_dogs", "flowers17", "brain_mri", "mnist", "cifar10")
SPOILT = 0.03


def measure() -> Iterator[dict[str, object]]:
    """Yield each figure: what, what was measured, what is asked of it, and how it was measured."""
    with tempfile.TemporaryDirectory() as home:
        before = os.environ.get(ENVIRONMENT_VARIABLE)
        os.environ[ENVIRONMENT_VARIABLE] = home
        try:
            yield from planted_faults()
            yield from swapped_labels()
            yield from spoilt_pictures()
            yield from seconds()
        finally:
            if before is None:
                del os.environ[ENVIRONMENT_VARIABLE]
            else:
                os.environ[ENVIRONMENT_VARIABLE] = before


def planted_faults() -> Iterator[dict[str, object]]:
    """Plant faults in the photographs of cats and dogs; each must be found as the kind that it is."""
    home, dataset = DataRoot.configured(), read("cats_dogs")
    yield {"what": "doctor: reported in cats_dogs with nothing planted", "measured": _counts(_examine(dataset))}
    for seed in SEEDS:
        planted = plant(dataset, home, seed, swapped=0.05, copies=20, blank=10)
        report = _examine(planted.dataset)
        for kind in planted.faults:
            yield _found(planted, report, kind, f"cats_dogs, seed {seed}: 5 % swapped, 20 copies, 10 blank")


def swapped_labels() -> Iterator[dict[str, object]]:
    """Swap labels in sets of all kinds: the more often the classifier itself is wrong, the more of it is false."""
    for name in SETS:
        planted = plant(read(name), DataRoot.configured(), 0, swapped=0.05, copies=0, blank=0)
        report = _examine(planted.dataset)
        found = planted.found(report, "mislabelled"), planted.false_alarms(report, "mislabelled")
        yield {
            "what": "doctor: swapped labels found, and false ones among those reported",
            "measured": {
                "found": round(found[0], 3),
                "false": round(found[1], 3),
                "classifier agrees": round(report.agreed / report.judged, 3),
            },
            "how": f"{name}, seed 0: 5 % swapped",
        }


def spoilt_pictures() -> Iterator[dict[str, object]]:
    """Spoil some pictures of each set: far too dark, and far out of focus."""
    kinds: Mapping[FindingKind, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        "dark": darkened,
        "blurred": blurred,
    }
    for name in SETS:
        dataset = read(name)
        yield {"what": f"doctor: reported in {name} with nothing planted", "measured": _counts(_examine(dataset))}
        for kind, change in kinds.items():
            planted = spoil(dataset, DataRoot.configured(), 0, kind, SPOILT, change)
            yield _found(planted, _examine(planted.dataset), kind, f"{name}, seed 0: {SPOILT:.0%} spoilt")


def darkened(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture at a seventh of its brightness."""
    return (pixels * 0.15).astype(np.uint8)


def blurred(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture that is so far out of focus that a fifty-sixth of its side is one place."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), min(pixels.shape[:2]) / 56), np.uint8)


def seconds() -> Iterator[dict[str, object]]:
    """Time the examination of 4,000 pictures whose features are there."""
    dataset = read("cifar10")
    dataset = replace(dataset, items=tuple(replace(item, scene=None) for item in dataset.items[:SPEED_PICTURES]))
    _examine(dataset)
    started = time.perf_counter()
    _examine(dataset)
    yield {
        "what": "doctor: seconds of an examination with cached features",
        "measured": round(time.perf_counter() - started, 1),
        "asked": f"at most {MAX_SECONDS:.0f}",
        "how": f"{SPEED_PICTURES} pictures of cifar10, near-copies looked for too",
    }


def _found(planted: Planted, report: DoctorReport, kind: FindingKind, how: str) -> dict[str, object]:
    return {
        "what": f"doctor: {kind} pictures found, and false ones among those reported",
        "measured": {
            "found": round(planted.found(report, kind), 3),
            "false": round(planted.false_alarms(report, kind), 3),
        },
        "asked": {"found": f"at least {LEAST_FOUND}", "false": f"at most {MOST_FALSE}"},
        "how": f"{how}, {len(planted.faults[kind])} of this kind",
    }


def _examine(dataset: Dataset) -> DoctorReport:
    progress = TerminalProgress()
    report = examine(dataset, ModelConfig(), progress, DataRoot.configured())
    progress.close()
    return report


def _counts(report: DoctorReport) -> dict[str, int]:
    return {finding.kind: len(finding.suspects) for finding in report.findings}
