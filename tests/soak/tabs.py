"""Three tabs edit the data set of one project as fast as they can: every confirmed edit is in the last version."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import sqlalchemy as sa

from tests.bench.figures import Line, figure
from tests.coloured_pictures import coloured_dataset
from tlcore.dataset import with_class
from tlcore.errors import ConflictError
from tlcore.home import DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version, current_dataset, get_version
from tlcore.storage.projects import create_project

TABS, EDITS = 3, 60
OWNER = "ann"


def measure(home: DataRoot) -> Iterator[Line]:
    """Let each tab add classes of its own; a tab that is told of a conflict looks again."""
    engine = open_database(home)
    project = create_project(engine, OWNER, "0")
    commit_version(engine, project.id, coloured_dataset(home, 2), "made", parent=None, home=home)

    together = threading.Barrier(TABS)

    def edit(tab: int) -> int:
        mine, conflicts = open_database(home), 0
        together.wait()
        for number in range(EDITS):
            conflicts += _until_confirmed(partial(_add_class, mine, home, project.id, f"{tab} {number}"))
        return conflicts

    with ThreadPoolExecutor(TABS) as tabs:
        conflicts = sum(tabs.map(edit, range(TABS)))
    number, dataset = current_dataset(engine, project.id, home)
    names = set(dataset.class_names)
    lost = [f"{tab} {one}" for tab in range(TABS) for one in range(EDITS) if f"{tab} {one}" not in names]
    how = f"{TABS} tabs with {EDITS} edits each of the data set, each confirmed"
    yield figure("tabs: conflicts that a tab was told of", conflicts, how, at_least=1)
    yield figure(
        "tabs: confirmed edits of the data set that were lost", len(lost), how, at_most=0, more={"lost": lost[:5]}
    )
    parents = [get_version(engine, project.id, one).parent for one in range(2, (number or 0) + 1)]
    forked = sum(parent != one for one, parent in enumerate(parents, start=1))
    yield figure("tabs: versions that were made from another than the one before", forked, how, at_most=0)


def _until_confirmed(edit: Callable[[], object]) -> int:
    """Repeat an edit until it is confirmed; return how many conflicts it met."""
    conflicts = 0
    while True:
        try:
            edit()
        except ConflictError:
            conflicts += 1
        else:
            return conflicts


def _add_class(engine: sa.Engine, home: DataRoot, project_id: str, name: str) -> None:
    number, dataset = current_dataset(engine, project_id, home)
    edited, _ = with_class(dataset, name)
    commit_version(engine, project_id, edited, name, parent=number, home=home)
