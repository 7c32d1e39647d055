"""How quickly the teacher's page is drawn again with a class of thirty, 600 projects and 3,000 jobs."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator

from pages.components.teacher import disk
from pages.server.asgi import warm_up
from pages.server.teacher import TEACHERS
from tests.bench.figures import Line, figure
from tests.full_class import fill
from tests.page_tests import OWNER, check, open_app
from tlcore.home import DataRoot
from tlcore.setup.passwords import TEACHER_VARIABLE, hash_password
from tlcore.storage.database import open_database

SECTIONS = ("work", "people", "hand_out", "class", "disk")
REDRAWS = 7
MOST_SECONDS = 0.5


def measure() -> Iterator[Line]:
    """Yield each figure."""
    home, password = DataRoot.configured(), "horse battery staple"
    os.environ[TEACHER_VARIABLE] = str(hash_password(password))
    fill(open_database(home), home)
    warm_up()
    TEACHERS.log_in(OWNER, password)
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
