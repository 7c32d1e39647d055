"""What it takes to hand a whole project to a class: how long each copy takes, and how much room."""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Iterator

import sqlalchemy as sa

from tests.bench.figures import Line, figure
from tests.queued_run import create_run
from tlcore.config import RunConfig
from tlcore.dataset import ClassLabel, Dataset, Item
from tlcore.home import DataRoot
from tlcore.storage.copies import copy_project
from tlcore.storage.database import metrics, open_database, writing
from tlcore.storage.datasets import commit_version
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import claim_job, end_job
from tlcore.storage.projects import create_project

STUDENTS = 30
PICTURES = 5_000
RUNS = 20
MODEL_BYTES = 15_000_000
POINTS = 400
"""Of the curves of each run."""

MOST_SECONDS = 1.0
MOST_MEGABYTES = 2.0


def measure() -> Iterator[Line]:
    """Yield each figure."""
    home = DataRoot.configured()
    engine = open_database(home)
    source = _make(engine, home)
    before, taken = _used_bytes(home), []
    for number in range(STUDENTS):
        began = time.perf_counter()
        copy_project(engine, source, f"{number:024}", home, with_runs=True)
        taken.append(time.perf_counter() - began)
    how = (
        f"{PICTURES:,} pictures, {RUNS} runs of {MODEL_BYTES / 1e6:.0f} MB with {POINTS} points each, {STUDENTS} copies"
    )
    most = {"slowest": round(max(taken), 3)}
    yield figure("seconds of a copy of everything", statistics.median(taken), how, at_most=MOST_SECONDS, more=most)
    each = (_used_bytes(home) - before) / STUDENTS / 1e6
    yield figure("megabytes that a copy of everything takes", each, how, at_most=MOST_MEGABYTES)


def _make(engine: sa.Engine, home: DataRoot) -> str:
    images, items = ImageStore(home), []
    for number in range(PICTURES):
        key = images.add(hashlib.sha256(str(number).encode()).digest(), b"small")
        items.append(Item(key, f"class{number % 2}", "train", f"{number}.png"))
    classes = (ClassLabel("class0", "cat", 0), ClassLabel("class1", "dog", 1))
    project_id = create_project(engine, "t" * 24, "Pets").id
    version = commit_version(engine, project_id, Dataset(classes, tuple(items)), "made", parent=None, home=home)
    for _ in range(RUNS):
        run_id = create_run(engine, project_id, version, RunConfig())
        job = claim_job(engine, "run")
        assert job is not None
        folder = home.run_dir(run_id)
        folder.mkdir(parents=True)
        (folder / "model.keras").write_bytes(os.urandom(MODEL_BYTES))
        points = [{"job_id": run_id, "epoch": float(one), "name": "loss", "value": 0.5} for one in range(POINTS)]
        with writing(engine) as connection:
            connection.execute(sa.insert(metrics), points)
        end_job(engine, run_id, job.attempt, "finished")
    return project_id


def _used_bytes(home: DataRoot) -> int:
    """Return what all files take, each once however many names it has."""
    found = {}
    for path in home.path.rglob("*"):
        if path.is_file():
            status = path.stat()
            found[status.st_ino] = status.st_size
    return sum(found.values())
