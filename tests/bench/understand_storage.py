"""How long the page Storage looks for what takes room, and what a daily sweep of a whole class takes."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator

import sqlalchemy as sa

from tests.bench.figures import Line, figure
from tlcore.dataset import ClassLabel, Dataset, Item
from tlcore.home import DataRoot
from tlcore.storage import usage
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.images import ImageStore
from tlcore.storage.leftovers import remove_leftovers
from tlcore.storage.projects import create_project
from tlcore.storage.usage import usage_of

PICTURES = 20_000
VERSIONS = 10
STUDENTS = 30
PICTURES_OF_A_STUDENT = 1000
SECOND_TIME_SECONDS = 0.3


def measure() -> Iterator[Line]:
    """Yield the lines."""
    home = DataRoot.configured()
    engine = open_database(home)
    _make_project(engine, home, "ann", PICTURES, VERSIONS)
    how = f"{PICTURES:,} pictures as files of 100 bytes, {VERSIONS} versions"
    first, second = (_seconds(lambda: usage_of(engine, "ann", home)) for _ in range(2))
    yield figure("seconds to say what a person's projects take, the first time", first, how)
    yield figure("the same, the second time", second, how, at_most=SECOND_TIME_SECONDS)
    for student in range(STUDENTS):
        _make_project(engine, home, f"student {student}", PICTURES_OF_A_STUDENT, VERSIONS)
    usage._remembered.clear()
    tracemalloc.start()
    seconds = _seconds(lambda: remove_leftovers(engine, home))
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    how += f"; {STUDENTS} students with {PICTURES_OF_A_STUDENT:,} pictures each, {VERSIONS} versions; nothing to remove"
    yield figure("seconds of a sweep", seconds, how, more={"peak MB of its own memory": round(peak, 1)})


def _make_project(engine: sa.Engine, home: DataRoot, owner: str, pictures: int, versions: int) -> None:
    images, project_id = ImageStore(home), create_project(engine, owner, "P").id
    keys = [images.add(f"{owner} {number}".encode().ljust(100), b"thumbnail") for number in range(pictures)]
    items = tuple(Item(key, "cat", "train", f"{number}.jpg") for number, key in enumerate(keys))
    for number in range(versions):
        dataset = Dataset((ClassLabel("cat", "cat", 0),), items[number:])
        commit_version(engine, project_id, dataset, "made", parent=number or None, home=home)


def _seconds(work: object) -> float:
    began = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - began
