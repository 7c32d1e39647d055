"""Two pages of one project in a real browser, and what a person sees of an error that nobody foresaw."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser import TRACEBACK_WORDS, PageWatch, open_context, sign_in
from tests.coloured_pictures import coloured_dataset
from tests.server import AppServer, serving
from tlcore.config import TrainingConfig
from tlcore.home import DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.projects import create_project, get_project

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

OWNER = "o" * 24


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    with serving(DataRoot(tmp_path_factory.mktemp("tabs")), "tests/app_with_a_fault.py") as server:
        yield server


@pytest.fixture(scope="module")
def project_id(app: AppServer) -> str:
    engine = open_database(app.home)
    project = create_project(engine, OWNER, "Pets")
    commit_version(engine, project.id, coloured_dataset(app.home), "made", parent=None, home=app.home)
    return project.id


def type_epochs(page: Page, number: int) -> None:
    field = page.get_by_role("spinbutton", name="Epochs, at most")
    field.fill(str(number))
    field.press("Enter")


def test_a_stale_page_asks_and_starts_nothing_until_it_is_answered(
    app: AppServer, browser: Browser, project_id: str
) -> None:
    context = open_context(browser)
    sign_in(context, app.address, OWNER)
    watch = PageWatch(context, app.address)
    one, two = context.new_page(), context.new_page()
    for page in (one, two):
        page.goto(f"{app.address}/train?project={project_id}")
        page.get_by_role("spinbutton", name="Epochs, at most").wait_for()
        page.locator(".st-key-price").wait_for()  # the last part of the page
    engine = open_database(app.home)

    one.get_by_text("Stop early", exact=True).click()
    one.get_by_text("Off: all epochs are trained").wait_for()
    type_epochs(two, 9)
    two.get_by_text("The settings of this project were changed in another tab").wait_for()
    drawn = two.locator(".st-key-settings-conflict tbody tr")
    drawn.nth(1).wait_for()
    rows = drawn.all_inner_texts()
    usual = TrainingConfig()
    assert [[cell.strip() for cell in row.split("\t")] for row in rows] == [
        ["Epochs at most", "9", str(usual.epochs)],
        ["Early stopping", f"after {usual.patience} epochs", "off"],
    ]
    assert two.get_by_role("spinbutton", name="Epochs, at most").input_value() == "9"
    assert two.get_by_role("button", name="Start training").is_disabled()
    two.get_by_text("Choose at the top of the page whose count").first.wait_for()
    training = get_project(engine, project_id, OWNER).config.training
    assert (training.epochs, training.patience) == (usual.epochs, None)

    two.get_by_role("button", name="Keep mine").click()
    two.locator(".st-key-settings-conflict").wait_for(state="detached")
    training = get_project(engine, project_id, OWNER).config.training
    assert (training.epochs, training.patience) == (9, usual.patience)

    # The other page is the stale one now. What it shows is not started, and it takes what is stored.
    one.get_by_role("button", name="Start training").click()
    one.get_by_text("Nothing was started. Another tab has changed the settings").first.wait_for()
    one.get_by_role("button", name="Take theirs").click()
    one.locator(".st-key-settings-conflict").wait_for(state="detached")
    one.locator('input[aria-label="Epochs, at most"][value="9"]').wait_for()
    assert one.get_by_role("button", name="Start training").is_enabled()
    watch.check()
    context.close()


def test_an_unforeseen_error_has_our_words_and_a_number_that_stands_in_the_log(
    app: AppServer, browser: Browser
) -> None:
    from tests.app_with_a_fault import SECRET, UNLUCKY_OWNER

    context = open_context(browser)
    sign_in(context, app.address, UNLUCKY_OWNER)
    page = context.new_page()
    page.goto(app.address)
    alert = page.get_by_role("alert").filter(has_text="did not expect")
    alert.wait_for()
    text = page.locator("body").inner_text()
    assert not [words for words in (*TRACEBACK_WORDS, SECRET, "KeyError") if words in text]
    number = re.search(r"the number (\d{6})", alert.inner_text())
    assert number is not None
    after = app.log.partition(f"number {number[1]}")[2]
    assert "Traceback (most recent call last)" in after
    assert f"KeyError: '{SECRET}'" in after
    context.close()
