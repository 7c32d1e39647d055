"""How quickly the teacher's page is drawn again with a class of thirty, 600 projects and 3,000 jobs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import pytest

from pages.components.teacher import disk
from pages.server.asgi import warm_up
from tests.bench.figures import Line, figure
from tests.full_class import fill
from tests.page_tests import check, open_app
from tests.teacher_login import be_teacher
from tlcore.home import DataRoot
from tlcore.storage.database import open_database

SECTIONS = ("work", "people", "hand_out", "class", "disk")
REDRAWS = 7
MOST_SECONDS = 0.5


def measure() -> Iterator[Line]:
    """Yield each figure."""
    home = DataRoot.configured()
    fill(open_database(home), home)
    warm_up()
    with pytest.MonkeyPatch.context() as patched:
        be_teacher(patched)
        yield from _measure_sections()


def _measure_sections() -> Iterator[Line]:
    app = open_app("teacher")
    how = "30 people, 600 projects, 3,000 jobs of which 60 wait; the page in Python, without a browser"
    for section in SECTIONS:
        disk._caches.clear()
        began = time.perf_counter()
        check(app.segmented_control(key="teacher-section").set_value(section).run())
        first = time.perf_counter() - began
        taken = []
        for _ in range(REDRAWS):
            began = time.perf_counter()
            check(app.run())
            taken.append(time.perf_counter() - began)
        what = f"seconds of a redraw of the section {section}"
        yield figure(what, statistics.median(taken), how, at_most=MOST_SECONDS, more={"first time": round(first, 3)})
