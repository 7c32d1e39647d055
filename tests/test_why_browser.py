"""The why of an answer in a real browser: the heat map, and a part that is covered with a mouse, a finger and keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.browser import PageWatch, open_context, sign_in
from tests.coloured_pictures import write_colours_with_mistakes
from tests.ready_projects import ReadyProject, make_project
from tests.server import AppServer, serving
from tests.test_accessibility import violations, wait_until_still
from tlcore.config import TrainingConfig
from tlcore.home import DataRoot

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.slow

OWNER = "w" * 24
SAID = re.compile(r"(red|blue)(: .+ becomes .+| stays at .+)\.")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, common_home: DataRoot) -> Iterator[AppServer]:
    with serving(DataRoot(tmp_path_factory.mktemp("why") / "home"), prepared=common_home) as server:
        yield server


@pytest.fixture(scope="module")
def project(app: AppServer, engine: sa.Engine, tmp_path_factory: pytest.TempPathFactory) -> ReadyProject:
    """A project with a trained run; some pictures lie in the wrong class, so there are mistakes."""
    archive = tmp_path_factory.mktemp("pictures") / "colours.zip"
    write_colours_with_mistakes(archive)
    return make_project(engine, app.home, OWNER, "Colours", archive=archive, training=TrainingConfig(epochs=2))


@pytest.fixture(params=["mouse in the light", "finger in the dark"])
def page(request: pytest.FixtureRequest, browser: Browser, app: AppServer) -> Iterator[Page]:
    by_finger = request.param == "finger in the dark"
    more = {"color_scheme": "dark", "has_touch": True, "width": 390} if by_finger else {}
    context = open_context(browser, **more)
    sign_in(context, app.address, OWNER)
    watch = PageWatch(context, app.address)
    yield context.new_page()
    watch.check()
    context.close()
    assert "Traceback" not in app.log


def open_picture_to_cover(page: Page) -> Locator:
    page.get_by_text("Cover a part yourself").click()
    stage = page.get_by_role("application", name="Cover a part")
    stage.wait_for()
    wait_until_still(page)
    stage.evaluate("stage => stage.scrollIntoView({ block: 'center' })")
    return stage


def cover_of(stage: Locator) -> dict[str, float]:
    """Return where the cover lies, in parts of the picture."""
    place, box = stage.bounding_box(), stage.locator(".box").bounding_box()
    assert place is not None
    assert box is not None
    return {
        "left": (box["x"] - place["x"]) / place["width"],
        "top": (box["y"] - place["y"]) / place["height"],
        "width": box["width"] / place["width"],
        "height": box["height"] / place["height"],
    }


def cover_with_a_hand(page: Page, stage: Locator) -> None:
    """Drag with the mouse from the top left to the middle, or tap a quarter from the top left with a finger."""
    box = stage.bounding_box()
    assert box is not None
    x, y = box["x"], box["y"]
    if page.evaluate("navigator.maxTouchPoints > 0"):
        page.touchscreen.tap(x + box["width"] / 4, y + box["height"] / 4)
        return
    page.mouse.move(x + 0.1 * box["width"], y + 0.1 * box["height"])
    page.mouse.down()
    page.mouse.move(x + 0.3 * box["width"], y + 0.4 * box["height"])
    page.mouse.move(x + 0.5 * box["width"], y + 0.5 * box["height"])
    page.mouse.up()


def test_an_answer_shows_its_heat_map_and_what_a_cover_does_to_it(
    app: AppServer, page: Page, project: ReadyProject
) -> None:
    page.goto(f"{app.address}/predict?project={project.id}&run={project.run_id}")
    page.get_by_text("Why this answer?").click()
    page.get_by_role("img", name=re.compile("Heat map of what speaks for (red|blue)")).wait_for()
    page.get_by_text("Strength of the map").wait_for()
    wait_until_still(page)
    assert violations(page) == []

    stage = open_picture_to_cover(page)
    cover_with_a_hand(page, stage)
    said = page.get_by_role("status").filter(has_text=SAID)
    said.wait_for()
    assert re.match(r"Cover at the top left, \d+ % wide and \d+ % high\. (red|blue)", said.inner_text())
    place = cover_of(stage)
    if page.evaluate("navigator.maxTouchPoints > 0"):
        assert place == pytest.approx({"left": 0.125, "top": 0.125, "width": 0.25, "height": 0.25}, abs=0.02)
    else:
        assert place == pytest.approx({"left": 0.1, "top": 0.1, "width": 0.4, "height": 0.4}, abs=0.02)

    stage.focus()
    for key in ("ArrowRight", "ArrowDown", "+"):
        page.keyboard.press(key)
    moved = cover_of(stage)
    assert moved["width"] > place["width"]
    assert moved["left"] > place["left"]
    assert moved["top"] > place["top"]
    page.locator(".waiting").wait_for(state="detached")  # the answer is to this cover
    said.wait_for()
    wait_until_still(page)
    assert violations(page) == []
    page.get_by_role("button", name="Uncover").click()
    stage.locator(".box").wait_for(state="hidden")
    page.get_by_role("status").filter(has_text=SAID).wait_for(state="hidden")


def test_a_mistake_opens_its_heat_map(app: AppServer, page: Page, project: ReadyProject) -> None:
    page.goto(f"{app.address}/understand?project={project.id}&run={project.run_id}")
    page.get_by_role("button", name="Why?").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("img", name=re.compile("Heat map of what speaks for (red|blue)")).wait_for()
    wait_until_still(page)
    assert violations(page) == []
    stage = open_picture_to_cover(page)
    cover_with_a_hand(page, stage)
    page.get_by_role("status").filter(has_text=SAID).wait_for()
