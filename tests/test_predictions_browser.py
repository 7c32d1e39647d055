"""Many pictures in a real browser: a ZIP file is brought to Predict, its table sorted, filtered and taken away."""

from __future__ import annotations

import csv
import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa

from tests.browser import PageWatch, open_context, sign_in
from tests.coloured_pictures import COLOURS, picture, png
from tests.ready_heads import make_project_with_heads
from tests.server import AppServer, serving
from tests.test_accessibility import violations, wait_until_still
from tlcore.home import DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.datasets import current_dataset

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.slow

OWNER = "o" * 24


@pytest.fixture(scope="module")
def lab(prepared_home: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> tuple[DataRoot, str, str]:
    """A data root with a project and a model of it."""
    home = DataRoot(tmp_path_factory.mktemp("predictions") / "home")
    shutil.copytree(prepared_home.path, home.path)
    engine = open_database(home)
    project_id, model_id = make_project_with_heads(engine, home, OWNER, per_class=40)
    engine.dispose()
    return home, project_id, model_id


@pytest.fixture(scope="module")
def app(lab: tuple[DataRoot, str, str]) -> Iterator[AppServer]:
    with serving(lab[0]) as server:
        yield server


@pytest.fixture
def page(app: AppServer, browser: Browser, lab: tuple[DataRoot, str, str]) -> Iterator[Page]:
    """The Predict page of the project."""
    context = open_context(browser)
    sign_in(context, app.address, OWNER)
    watch = PageWatch(context, app.address)
    page = context.new_page()
    page.goto(f"{app.address}/predict?project={lab[1]}&run={lab[2]}")
    page.get_by_role("heading", name="Predict").wait_for()
    yield page
    watch.check()
    assert "Traceback" not in app.log
    context.close()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A ZIP file of 121 pictures in folders of their colour, one in the wrong one, three of noise, a damaged file."""
    path = tmp_path / "colours.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for number in range(120):
            colour = list(COLOURS)[number % 3]
            packed.writestr(f"{colour}/{number:03d}.png", png(picture(colour, 500 + number)))
        packed.writestr("green/wrong.png", png(picture("red", 999)))
        for number in range(3):
            noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
            packed.writestr(f"noise/{number}.png", png(noise))
        packed.writestr("blue/broken.png", b"no picture")
    return path


def column(page: Page, number: int) -> list[str]:
    """Return what the first rows of the table say in a column, as a screen reader reads them."""
    cells: Locator = page.get_by_test_id("stDataFrame").first.locator(f"[role=gridcell][aria-colindex='{number}']")
    return [text.strip() for text in cells.all_text_contents()]


def test_a_zip_file_is_answered_sorted_filtered_and_taken_away(page: Page, archive: Path) -> None:
    page.get_by_text("Ask about a ZIP file or a whole folder").click()
    page.locator("input.pick-files").set_input_files(archive)
    page.get_by_text("99.2 % (95 to 100 %) right of the 121 pictures").wait_for()
    page.get_by_text("124 answers, 1 to 100 are here").wait_for()
    page.get_by_text("1 file could not be used").wait_for()
    page.get_by_test_id("stDataFrame").first.locator("[role=gridcell]").first.wait_for(state="attached")
    assert column(page, 2)[:3] == ["blue", "green", "red"]
    said = page.get_by_text(re.compile(r"\d+ of 124 pictures look like none of your classes"))
    strange = int(said.inner_text().split()[0])
    assert 3 <= strange <= 20
    assert violations(page) == []
    # The head of the second column: a tap sorts what is here.
    page.get_by_test_id("stDataFrame").first.locator(".dvn-scroller").click(position={"x": 200, "y": 18})
    page.wait_for_function(
        "() => [...document.querySelectorAll('[role=gridcell][aria-colindex=\"2\"]')].slice(0, 3)"
        ".every((cell) => cell.textContent.trim() === 'blue')"
    )
    page.get_by_test_id("stMain").get_by_text("Only wrong ones").click()
    page.get_by_text("1 of 124 answers").wait_for()
    page.wait_for_function("() => document.querySelectorAll('[role=gridcell][aria-colindex=\"4\"]').length === 1")
    assert column(page, 4) == ["green/wrong.png"]
    page.get_by_test_id("stMain").get_by_text("Only wrong ones").click()
    page.get_by_test_id("stMain").get_by_text("Only those like none of your classes").click()
    page.get_by_text(f"{strange} of 124 answers").wait_for()
    page.wait_for_function(
        f"() => document.querySelectorAll('[role=gridcell][aria-colindex=\"4\"]').length === {strange}"
    )
    assert {f"noise/{number}.png" for number in range(3)} <= set(column(page, 4))
    with page.expect_download() as waiting:
        page.get_by_role("link", name="All answers (CSV)").click()
    rows = list(csv.DictReader(io.StringIO(waiting.value.path().read_text("utf-8-sig"))))
    assert len(rows) == 125
    assert sum(row["like none of your classes"] == "yes" for row in rows) == strange
    assert sum(row["answer"] == row["folder says"] != "" for row in rows) == 120


def test_an_answer_among_many_is_corrected_in_its_window_and_taken_back(
    page: Page, engine: sa.Engine, lab: tuple[DataRoot, str, str]
) -> None:
    def names() -> set[str]:
        return {item.name for item in current_dataset(engine, lab[1], lab[0])[1].items}

    before = names()
    files = [
        {"name": f"mine {colour}.png", "mimeType": "image/png", "buffer": png(picture(colour, 800))}
        for colour in ("red", "green")
    ]
    page.locator('[data-testid="stFileUploader"] input[type="file"]').set_input_files(files)  # type: ignore[arg-type]
    page.locator(".st-key-answer-1 button").click()
    window = page.get_by_role("dialog")
    window.get_by_role("combobox", name="Is it wrong?").wait_for()
    wait_until_still(page)
    assert violations(page) == []
    window.get_by_role("combobox", name="Is it wrong?").click()
    page.get_by_role("option", name="blue").click()
    page.mouse.move(1, 1)  # where the option was lies the button, whose hint would stay in front of it
    window.get_by_role("button", name="Add it to your pictures").click()
    page.get_by_text("1 change waits for the next run").wait_for()
    assert names() - before == {"mine green.png"}
    page.get_by_role("button", name="Undo: added 1 picture to blue").click()
    page.get_by_text("1 change waits for the next run").wait_for(state="detached")
    assert names() == before
