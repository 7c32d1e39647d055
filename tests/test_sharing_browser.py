"""A link as two people use it, each with a browser: made, opened, looked at, copied, ended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.browser import PageWatch, open_context, sign_in
from tests.damaged_root import DamagedRoot
from tests.server import AppServer
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.storage.database import projects, writing
from tlcore.storage.projects import read_projects
from tlcore.storage.runs import list_runs

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ANN, BEN = "a" * 24, "b" * 24


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DamagedRoot]:
    with pytest.MonkeyPatch.context() as patched:
        home = DataRoot(tmp_path_factory.mktemp("sharing") / "home")
        patched.setenv(ENVIRONMENT_VARIABLE, str(home.path))
        made = DamagedRoot.make(home)
        with writing(made.engine) as connection:
            connection.execute(sa.update(projects).values(owner=ANN))
        yield made


@pytest.fixture(scope="module")
def app(root: DamagedRoot) -> Iterator[AppServer]:
    server = AppServer(root.home)
    server.start()
    yield server
    server.clean_up()


@pytest.mark.slow
def test_a_link_from_hand_to_hand(app: AppServer, root: DamagedRoot, browser: Browser) -> None:
    own, others = open_context(browser), open_context(browser, width=400)
    watches = [PageWatch(context, app.address) for context in (own, others)]
    sign_in(own, app.address, ANN)
    sign_in(others, app.address, BEN)
    page = own.new_page()
    page.goto(f"{app.address}/data?project={root.project_id}")
    page.get_by_role("button", name="Share").click()
    page.get_by_role("button", name="Make a link").click()  # the other kinds have one
    page.get_by_role("button", name="Make a link").wait_for(state="detached")
    address = page.locator("code", has_text="/shared?code=").last.inner_text()
    assert address.startswith(f"{app.address}/shared?code=")

    guest = others.new_page()
    guest.goto(address)
    guest.get_by_role("button", name="Look at it").click()
    guest.get_by_text("You look at a project of").wait_for()
    picture = guest.locator('[data-testid="stImage"] img, img[src*="/thumbnail/"]').first
    picture.scroll_into_view_if_needed()
    guest.wait_for_function("image => image.naturalWidth > 0", arg=picture.element_handle())
    assert guest.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    guest.get_by_role("button", name="Make a copy").click()
    guest.get_by_text("You look at a project of").wait_for(state="detached")
    guest.get_by_role("button", name="Share").wait_for()
    [copy] = read_projects(root.engine, BEN)[0]
    assert f"project={copy.id}" in guest.url
    assert [run.has_model for run in list_runs(root.engine, copy.id)].count(True) == 3

    guest.goto(f"{app.address}/train?project={root.project_id}")
    guest.get_by_text("You look at a project of").wait_for()
    page.get_by_role("button", name="End it").last.click()
    page.get_by_role("button", name="Make a link").wait_for()
    guest.get_by_text("This project is not here").wait_for()  # by itself
    guest.goto(f"{app.address}/data?project={root.project_id}")
    guest.get_by_text("This project is not here").wait_for()
    guest.goto(address)
    guest.get_by_text(re.compile("This link leads nowhere")).wait_for()
    for watch in watches:
        watch.check()
    own.close()
    others.close()
