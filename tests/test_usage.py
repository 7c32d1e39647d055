"""What projects take: known sizes by project and kind, each picture once, and quick the second time."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

from tests.coloured_pictures import coloured_dataset
from tests.queued_run import create_run
from tlcore.config import ModelConfig, RunConfig
from tlcore.dataset import ClassLabel, Dataset, Item
from tlcore.home import DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version, content_path, get_version
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import create_job
from tlcore.storage.projects import create_project
from tlcore.storage.requests import SimpleHeadsRequest
from tlcore.storage.usage import caches_of, usage_of

SECOND_TIME_SECONDS = 0.3
"""For 20,000 pictures."""


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


def bytes_of(home: DataRoot, dataset: Dataset) -> int:
    return sum(ImageStore(home).num_bytes(key) for key in {item.image for item in dataset.items})


def list_bytes(engine: sa.Engine, home: DataRoot, project_id: str, number: int) -> int:
    return content_path(get_version(engine, project_id, number).content, home).stat().st_size


def test_each_kind_and_each_picture_once(engine: sa.Engine, home: DataRoot) -> None:
    mine, second, others = (create_project(engine, owner, "P").id for owner in ("ann", "ann", "bob"))
    more, fewer = coloured_dataset(home, 3), coloured_dataset(home, 2)
    commit_version(engine, mine, more, "made", parent=None, home=home)
    commit_version(engine, mine, fewer, "fewer", parent=1, home=home)
    commit_version(engine, second, fewer, "made", parent=None, home=home)
    commit_version(engine, others, coloured_dataset(home, 5), "made", parent=None, home=home)
    files = {
        home.run_dir(create_run(engine, mine, 2, RunConfig())) / "model.keras": 1000,
        home.simple_heads_dir
        / create_job(engine, "simple_heads", mine, SimpleHeadsRequest(2, ModelConfig()))
        / "k": 200,
        home.predictions_dir / create_job(engine, "prediction", mine) / "answers.sqlite": 30,
        home.exports_dir / create_job(engine, "export", mine) / "saved_model" / "saved_model.pb": 4,
        home.features_dir / "a" / "b.features": 7,
    }
    for path, size in files.items():
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(size))
    for _ in range(2):  # what is remembered is the same
        usage = usage_of(engine, "ann", home)
        assert [project.id for project in usage.projects] == [mine, second]
        pictures = bytes_of(home, fewer) + list_bytes(engine, home, mine, 2)
        history = bytes_of(home, more) - bytes_of(home, fewer) + list_bytes(engine, home, mine, 1)
        parts = {"pictures": pictures, "history": history, "runs": 1000, "simple_heads": 200, "predictions": 30}
        parts["exports"] = 4
        assert usage.projects[0].by_kind == parts
        assert usage.projects[1].by_kind == {"pictures": pictures, "history": 0}
        assert usage.total == sum(project.total for project in usage.projects) - bytes_of(home, fewer)
        assert (usage.pictures, usage.projects[0].pictures, usage.projects[1].pictures) == (9, 9, 6)
    commit_version(engine, second, coloured_dataset(home, 4), "more", parent=1, home=home)
    assert usage_of(engine, "ann", home).pictures == 12
    assert caches_of(home)["features"] == 7
    assert usage_of(engine, "nobody", home).total == 0


def test_thousands_of_pictures_are_quick_the_second_time(engine: sa.Engine, home: DataRoot) -> None:
    project_id = create_project(engine, "ann", "P").id
    items = tuple(Item(f"{number:064x}"[::-1], "cat", "train", f"{number}.jpg") for number in range(20_000))
    dataset = Dataset((ClassLabel("cat", "cat", 0),), items)
    for number in range(10):
        commit_version(engine, project_id, dataset, "made", parent=number or None, home=home)
        dataset = Dataset(dataset.classes, dataset.items[:-1])
    assert usage_of(engine, "ann", home).pictures == 20_000
    began = time.perf_counter()
    usage = usage_of(engine, "ann", home)
    seconds = time.perf_counter() - began
    print(f"usage of 20,000 pictures in 10 versions: {seconds:.3f} s")
    assert usage.projects[0].pictures == 20_000
    assert seconds < SECOND_TIME_SECONDS
