"""A data root of an earlier version in the real app: Home and every page open in a browser of before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pages.components.frame import STEPS
from tests.browser import PageWatch, open_context
from tests.old_data_root import unpack_old_data_root
from tests.server import AppServer, serving
from tests.signing import COOKIE, signed
from tlcore.home import DataRoot
from tlcore.storage.database import open_database, projects

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

OWNER = "o" * 24
UNSIGNED = {"name": COOKIE, "value": OWNER}
"""What a browser kept from an earlier version."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """The app on the old data root, which belongs to a browser here; the tests of pages have none."""
    home = unpack_old_data_root(DataRoot(tmp_path_factory.mktemp("upgrade") / "Old & 100 % Ünï"))
    with open_database(home).begin() as connection:
        connection.execute(projects.update().values(owner=OWNER))
    with serving(home) as server:
        yield server


def test_home_and_every_page_open(app: AppServer, browser: Browser) -> None:
    context = open_context(browser)
    context.add_cookies([UNSIGNED | {"url": app.address}])
    watch, page = PageWatch(context, app.address), context.new_page()
    page.goto(app.address)
    page.get_by_text("35 pictures in 3 classes").wait_for()
    watch.check()
    page.get_by_role("link", name="Open").last.click()
    for number, spec in enumerate(STEPS, start=1):
        page.get_by_role("link", name=f"{number} {spec.title}").click()
        page.get_by_role("heading", name=spec.title, exact=True).wait_for()
        page.locator('[data-testid="stStatusWidget"]').wait_for(state="detached")
        watch.check()
        assert page.get_by_role("alert").filter(has_text=re.compile("cannot be read|damaged|missing")).count() == 0
    page.get_by_role("button", name="Make the files").wait_for()
    assert [cookie["value"] for cookie in context.cookies() if cookie["name"] == COOKIE] == [signed(OWNER, app.home)]
    context.close()
    # Whoever brings the cookie of before from now on is somebody else.
    context = open_context(browser)
    context.add_cookies([UNSIGNED | {"url": app.address}])
    page = context.new_page()
    page.goto(app.address)
    page.get_by_role("button", name="Try it now").wait_for()
    page.locator('[data-testid="stStatusWidget"]').wait_for(state="detached")
    assert page.get_by_text("35 pictures in 3 classes").count() == 0
    context.close()
