"""The one question of an import whose folders can be read in several ways, in a real browser."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from tests.browser import PageWatch, open_context, sign_in
from tests.ready_projects import make_project
from tests.server import AppServer, serving
from tlcore.home import DataRoot
from tlcore.storage.brought import load_brought
from tlcore.storage.datasets import current_dataset

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

OWNER = "q" * 24
PER_FOLDER = 4
TREES: dict[str, tuple[str, ...]] = {
    "equal names below different folders": tuple(
        f"fruit/{name}/{state}" for name in ("apple", "banana") for state in ("fresh", "rotten")
    ),
    "a class that is called photo": tuple(
        f"set/{shop}/{kind}" for shop in ("shop_1", "shop_2") for kind in ("photo", "sketch")
    ),
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    with serving(DataRoot(tmp_path_factory.mktemp("question") / "home")) as server:
        yield server


@pytest.fixture
def page(browser: Browser, app: AppServer) -> Iterator[Page]:
    context = open_context(browser)
    sign_in(context, app.address, OWNER)
    watch = PageWatch(context, app.address)
    yield context.new_page()
    watch.check()
    context.close()


def archive(path: Path, folders: tuple[str, ...], files: dict[str, str] | None = None) -> Path:
    """A ZIP file with a few pictures in each folder."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as file:
        for folder in folders:
            for number in range(PER_FOLDER):
                buffer = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(buffer, "PNG")
                file.writestr(f"{folder}/{number}.png", buffer.getvalue())
        for name, text in (files or {}).items():
            file.writestr(name, text)
    return path


def classes(engine: sa.Engine, project_id: str, home: DataRoot) -> dict[str, int]:
    _, dataset = current_dataset(engine, project_id, home)
    names = {label.id: label.name for label in dataset.classes}
    return dict(Counter(names[item.class_id] for item in dataset.items))


def walk_all_readings(page: Page, app: AppServer, engine: sa.Engine, path: Path) -> list[str]:
    """Answer the question of an import with each reading in turn, and return their keys."""
    project = make_project(engine, app.home, OWNER, path.stem, archive=path)
    _, dataset = current_dataset(engine, project.id, app.home)
    assert dataset.question is not None
    brought = load_brought(engine, dataset.question)
    readings = brought.readings.found
    page.goto(f"{app.address}/data?project={project.id}")
    page.get_by_role("heading", name="What are the classes?").wait_for()
    answers = page.get_by_role("button", name="This is right")
    answers.last.wait_for()
    assert answers.count() == len(readings)
    assert page.get_by_role("button", name="Next: Augment").is_disabled()
    assert page.get_by_role("button", name="Train now").is_disabled()
    text = page.locator("body").inner_text()
    for reading in readings:
        assert reading.title in text
    answers.first.click()
    for number, reading in enumerate(readings):
        if number:
            page.get_by_text("Read them differently?").click()
            card = page.locator(f".st-key-reading-card-{dataset.question}-{number}")
            card.get_by_role("button", name="Read them like this").click()
        page.get_by_text(f"{reading.title}. Read them differently?").wait_for()
        expected = Counter(label.class_name for label in reading.labels)
        page.get_by_role("heading", name=f"{len(readings[0].labels)} pictures, {len(expected)} classes").wait_for()
        assert classes(engine, project.id, app.home) == expected
    page.get_by_role("button", name="Next: Augment").wait_for()
    return [reading.key for reading in readings]


@pytest.mark.parametrize("tree", TREES)
def test_every_reading_of_folders_can_be_taken_and_changed(
    tree: str, page: Page, app: AppServer, engine: sa.Engine, tmp_path: Path
) -> None:
    keys = walk_all_readings(page, app, engine, archive(tmp_path / "pictures.zip", TREES[tree]))
    assert len(keys) >= 2


def test_folders_and_a_table_that_disagree_are_asked_about(
    page: Page, app: AppServer, engine: sa.Engine, tmp_path: Path
) -> None:
    names = [f"{folder}/{number}.png" for folder in ("left", "right") for number in range(PER_FOLDER)]
    rows = [f"{name},{'cat' if index % 2 else 'dog'}" for index, name in enumerate(names)]
    path = archive(tmp_path / "pictures.zip", ("left", "right"), {"labels.csv": "\n".join(["file,animal", *rows])})
    keys = walk_all_readings(page, app, engine, path)
    assert any("labels.csv" in key for key in keys)
    assert "top" in keys
