"""Thirty people watch a training: how long each update of their page takes."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.figures import Line, figure
from tests.bench.material import FULL
from tests.bench.viewers import measure_pages
from tlcore.home import DataRoot


def measure(home: DataRoot) -> Iterator[Line]:
    """Yield what `python3 -m tests.bench speed` measures of it."""
    for measured in measure_pages(FULL, home):
        how = f"{FULL.viewers} viewers of a running training for {FULL.load_seconds:g} s, over real web sockets"
        yield figure(
            "viewers: milliseconds of an update of the Train page, 95 % are below",
            measured.ours,
            how,
            at_most=measured.limit,
            more=measured.details,
        )
