"""A project on its way from one computer to another, in a real browser: taken from Share, opened on Home."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.browser import PageWatch, open_context, sign_in
from tests.damaged_root import DamagedRoot
from tests.server import AppServer, serving
from tests.test_travel import leave
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.storage.database import open_database, projects, writing
from tlcore.storage.projects import read_projects
from tlcore.storage.runs import list_runs

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ANN, BEN = "a" * 24, "b" * 24


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DamagedRoot]:
    with pytest.MonkeyPatch.context() as patched:
        home = DataRoot(tmp_path_factory.mktemp("travel") / "home")
        patched.setenv(ENVIRONMENT_VARIABLE, str(home.path))
        made = DamagedRoot.make(home)
        with writing(made.engine) as connection:
            connection.execute(sa.update(projects).values(owner=ANN))
        yield made


@pytest.fixture(scope="module")
def here(root: DamagedRoot) -> Iterator[AppServer]:
    server = AppServer(root.home)
    server.start()
    yield server
    server.clean_up()


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    with serving(DataRoot(tmp_path_factory.mktemp("there") / "home")) as server:
        yield server


@pytest.mark.slow
def test_from_one_computer_to_another(
    here: AppServer, there: AppServer, root: DamagedRoot, browser: Browser, tmp_path: Path
) -> None:
    own, other = open_context(browser), open_context(browser, width=400)
    watches = [PageWatch(own, here.address), PageWatch(other, there.address)]
    sign_in(own, here.address, ANN)
    sign_in(other, there.address, BEN)
    page = own.new_page()
    page.goto(f"{here.address}/data?project={root.project_id}")
    page.get_by_role("button", name="Share").click()
    page.get_by_role("button", name="Take the whole project").click()
    page.get_by_text("Pictures that you have deleted stay here").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    path = tmp_path / download.value.suggested_filename
    assert path.name == "Drawn shapes.transferlab.zip"
    download.value.save_as(path)

    cut = tmp_path / "cut.transferlab.zip"
    cut.write_bytes(path.read_bytes()[:-2000])
    page = other.new_page()
    page.goto(there.address)
    page.get_by_role("button", name="Open a project file").click()
    page.get_by_text("Drop the file of a project here").wait_for()
    page.locator("input.pick-files").set_input_files(cut)
    page.get_by_text("or only a part of one").first.wait_for()
    page.goto(there.address)
    page.get_by_text("was not opened, and nothing of it is here").wait_for()
    engine = open_database(there.home)
    assert read_projects(engine, BEN) == ([], [])
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")

    page.get_by_role("button", name="Open a project file").click()
    page.get_by_text("Drop the file of a project here").wait_for()
    page.locator("input.pick-files").set_input_files(path)
    page.get_by_role("button", name="Share").wait_for()
    page.get_by_text("Last import: 35 pictures added").wait_for()
    [project] = read_projects(engine, BEN)[0]
    assert f"project={project.id}" in page.url
    assert (project.name, project.version) == ("Drawn shapes", 4)
    assert [run.has_model for run in list_runs(engine, project.id)].count(True) == 3
    again = leave(engine, project.id, there.home, tmp_path / "again.zip")
    assert again.read_bytes() == path.read_bytes()
    picture = page.locator('[data-testid="stImage"] img, img[src*="/thumbnail/"]').first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("image => image.naturalWidth > 0", arg=picture.element_handle())
    engine.dispose()
    # The browser notes the refusal of the cut file by itself.
    watches[1].complaints = [complaint for complaint in watches[1].complaints if "/upload/new/" not in complaint]
    for watch in watches:
        watch.check()
