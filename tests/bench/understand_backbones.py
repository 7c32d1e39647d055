"""Every backbone built, saved, loaded and trained a step, where the tests take the smallest one of each family."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.figures import Line, figure
from tlcore.backbones.registry import BACKBONES


class _Failed:
    """What pytest tells it: which tests failed, and how many passed."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.passed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.names.append(report.nodeid)
        self.passed += report.when == "call" and report.passed


def measure() -> Iterator[Line]:
    """Yield how many checks of any backbone fail."""
    failed = _Failed()
    pytest.main(["-q", "--every-backbone", "tests/test_every_backbone.py"], plugins=[failed])
    yield figure(
        "checks of a backbone that fail",
        len(failed.names) if failed.passed else 1,
        f"{len(BACKBONES)} backbones with random weights at their smallest size: shapes, weights, preprocessing, "
        "freeze line, saving and loading, one training step",
        at_most=0,
        more={"passed": failed.passed, "failed": failed.names},
    )
