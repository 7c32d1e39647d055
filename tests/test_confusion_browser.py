"""A cell of the confusion matrix, tapped by a mouse and by a finger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.browser import PageWatch, open_context, sign_in
from tests.finished_runs import OWNER, Finished
from tests.server import AppServer, serving
from tlcore.results.evaluation import VALIDATION_FILE_NAME, Evaluation, load_evaluation, save_evaluation

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.slow

NAMES = ("cat", "dog", "bird", "fish")

PLACE_OF_CELL = """(chart, [row, column]) => {
    const {xaxis, yaxis} = chart._fullLayout, box = chart.getBoundingClientRect();
    return [box.x + xaxis._offset + xaxis.c2p(column), box.y + yaxis._offset + yaxis.c2p(row)];
}"""
"""The middle of a cell on the screen, by its row and column in the drawing."""


@pytest.fixture
def finished(make_finished: Callable[..., Finished]) -> Finished:
    """A model that calls three cats a fish."""
    made = make_finished(owner=OWNER, names=NAMES, each=6)
    folder = made.home.run_dir(made.add_run(names=NAMES))
    now = load_evaluation(folder, VALIDATION_FILE_NAME)
    said = now.y_true.copy()
    said[np.flatnonzero(said == 0)[:3]] = 3
    probabilities = np.eye(4, dtype=np.float32)[said]
    save_evaluation(Evaluation(NAMES, now.images, now.y_true, probabilities), folder, VALIDATION_FILE_NAME)
    return made


@pytest.fixture
def app(finished: Finished) -> Iterator[AppServer]:
    with serving(finished.home) as server:
        yield server


def tap(page: Page, matrix: Locator, row: int, column: int, *, by_finger: bool) -> None:
    """Tap the middle of a cell, wherever it is drawn."""
    matrix.scroll_into_view_if_needed()
    x, y = matrix.evaluate(PLACE_OF_CELL, [row, column])
    if by_finger:
        page.touchscreen.tap(x, y)
    else:
        page.mouse.click(x, y)


def see_pictures(page: Page, number: int, alternative: str) -> None:
    """Wait until so many pictures of a cell are drawn, and none more."""
    pictures = page.locator(".st-key-confusion-pictures img")
    pictures.nth(number - 1).wait_for()
    assert [one.get_attribute("alt") for one in pictures.all()] == [alternative] * number


@pytest.mark.parametrize("by_finger", [False, True], ids=["mouse", "finger"])
def test_a_tapped_cell_shows_its_pictures_in_the_same_drawing(
    browser: Browser, app: AppServer, finished: Finished, by_finger: bool
) -> None:
    device = {"width": 390, "has_touch": True, "is_mobile": True} if by_finger else {}
    context = open_context(browser, **device)
    sign_in(context, app.address, OWNER)
    watch, page = PageWatch(context, app.address), context.new_page()
    page.goto(f"{app.address}/understand?project={finished.project_id}")
    matrix = page.locator(".st-key-confusion .js-plotly-plot")
    matrix.locator(".heatmaplayer").first.wait_for(state="attached")
    matrix.evaluate("chart => { chart.dataset.mark = 'same' }")

    tap(page, matrix, 0, 3, by_finger=by_finger)
    page.get_by_text("3 pictures of cat that the model called fish").wait_for()
    see_pictures(page, 3, "cat, taken for fish")
    tap(page, matrix, 1, 1, by_finger=by_finger)
    page.get_by_text("6 pictures of dog that the model called dog").wait_for()
    see_pictures(page, 6, "dog, answered right")

    page.get_by_text("Look-alikes together").click()
    page.wait_for_function("chart => chart.data[0].x[1] === 'fish'", arg=matrix.element_handle())
    page.get_by_role("button", name="Clear", exact=True).click()
    page.locator(".st-key-confusion-pictures").wait_for(state="detached")
    tap(page, matrix, 0, 1, by_finger=by_finger)  # where the same cell is now
    see_pictures(page, 3, "cat, taken for fish")
    assert matrix.get_attribute("data-mark") == "same"
    watch.check()
    context.close()
