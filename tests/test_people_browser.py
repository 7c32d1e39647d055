"""In a real browser: a code brings the projects of one browser to another; a class code stands before every page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.browser import PageWatch, open_context, sign_in
from tests.coloured_pictures import coloured_dataset
from tests.server import AppServer, serving
from tests.test_accessibility import violations, wait_until_still
from tlcore.home import DataRoot
from tlcore.storage.class_settings import ClassSettings, change_class_settings
from tlcore.storage.datasets import commit_version
from tlcore.storage.people import list_people
from tlcore.storage.projects import create_project, read_projects

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.slow

MIA, BEN = "m" * 24, "b" * 24


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    with serving(DataRoot(tmp_path_factory.mktemp("people") / "home")) as server:
        yield server


@contextmanager
def person(browser: Browser, app: AppServer, owner: str | None, **options: object) -> Iterator[BrowserContext]:
    """A browser profile, of somebody or new, in which nothing forbidden may happen."""
    context = open_context(browser, **options)  # type: ignore[arg-type]
    if owner is not None:
        sign_in(context, app.address, owner)
    watch = PageWatch(context, app.address)
    yield context
    watch.check()
    context.close()


def make_code(page: Page, app: AppServer) -> str:
    page.goto(f"{app.address}/you")
    page.get_by_role("button", name=re.compile("Make a (new )?code")).click()
    code = page.get_by_role("dialog").locator("code").inner_text()
    page.get_by_role("dialog").get_by_role("button", name="Copy").wait_for()  # in sight without a pointer on it
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    page.get_by_role("dialog").wait_for(state="detached")
    return code


def use_code(page: Page, app: AppServer, code: str) -> None:
    page.goto(f"{app.address}/you")
    page.get_by_label("The code").fill(code)
    page.get_by_role("button", name="Use this code").click()


def test_a_code_carries_the_projects_to_another_browser_and_only_the_newest_one(
    browser: Browser, app: AppServer, engine: sa.Engine
) -> None:
    project = create_project(engine, MIA, "Mia's leaves")
    commit_version(engine, project.id, coloured_dataset(app.home, 6), "coloured", parent=None, home=app.home)
    with person(browser, app, MIA) as at_school, person(browser, app, None) as at_home:
        mine, other = at_school.new_page(), at_home.new_page()
        old, code = make_code(mine, app), make_code(mine, app)
        use_code(other, app, old)
        other.get_by_text("There is no such code").wait_for()
        use_code(other, app, code.lower().replace("-", " "))
        other.get_by_role("heading", name="Your projects").wait_for()
        assert other.url.rstrip("/") == app.address
        other.get_by_text("Mia's leaves").wait_for()
        other.get_by_role("link", name="Open").click()
        # Pictures go to their owner alone, and this browser is the owner now.
        other.wait_for_function(
            "() => [...document.querySelectorAll('img')].filter(one => one.complete && one.naturalWidth).length > 2"
        )
        (cookie,) = [one for one in at_home.cookies() if one["name"] == "lab_user"]
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
        mine.goto(app.address)  # the browser from which it came stays who it is
        mine.get_by_text("Mia's leaves").wait_for()


def test_projects_of_the_browser_come_along_and_open_tabs_load_anew(
    browser: Browser, app: AppServer, engine: sa.Engine
) -> None:
    create_project(engine, BEN, "Ben's stones")
    with person(browser, app, BEN) as at_school, person(browser, app, None) as at_home:
        code = make_code(at_school.new_page(), app)
        tab, other = at_home.new_page(), at_home.new_page()
        tab.goto(app.address)
        tab.get_by_role("button", name="Choose a set").click()
        tab.get_by_role("heading", name="Bring your first pictures").wait_for()
        begun = tab.url
        before = len(list_people(engine))
        use_code(other, app, code)
        other.get_by_text("This browser has 1 project of its own").wait_for()
        other.get_by_text("They are mine: bring them along").click()
        other.get_by_role("button", name="Go on").click()
        other.get_by_text("Ben's stones").wait_for()
        other.get_by_text(re.compile("^Pictures of ")).wait_for()
        assert len(read_projects(engine, BEN)[0]) == 2
        assert len(list_people(engine)) == before - 1
        # The tab is still connected as the one who left; at its next click it comes anew, as the one who came.
        wait_until_still(tab)
        with tab.expect_navigation():
            tab.locator("header, body").first.evaluate(
                "() => [...document.querySelectorAll('button')].find(one => /Folder|ZIP/.test(one.innerText)).click()"
            )
        tab.get_by_role("heading", name="Bring your first pictures").wait_for()
        assert tab.url == begun


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_class_code_stands_before_every_page_and_is_asked_for_once(
    browser: Browser, app: AppServer, engine: sa.Engine, scheme: str
) -> None:
    change_class_settings(engine, lambda _before: ClassSettings(code="Room 7b"))
    try:
        with person(browser, app, None, width=400, color_scheme=scheme) as context:
            page = context.new_page()
            page.goto(f"{app.address}/you")
            page.get_by_role("heading", name="What is the class code?").wait_for()
            wait_until_still(page)
            assert violations(page) == []
            assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
            page.get_by_label("Class code").press_sequentially("room 7B")
            page.keyboard.press("Enter")
            page.get_by_role("heading", name="Your code").wait_for()
            page.goto(app.address)
            page.get_by_role("button", name="Use the camera").wait_for()
    finally:
        change_class_settings(engine, lambda _before: ClassSettings())
