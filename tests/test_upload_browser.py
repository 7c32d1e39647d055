"""Folders and files that a person drops, in a real browser: sent in pieces while the page stays usable."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
import sqlalchemy as sa

from tests.browser import TIMEOUT_SECONDS, PageWatch, open_context, sign_in
from tests.coloured_pictures import png
from tests.server import AppServer, serving
from tlcore.home import DataRoot
from tlcore.jobs.control import stop_job
from tlcore.storage.datasets import current_dataset
from tlcore.storage.jobs import last_job, read_request
from tlcore.storage.projects import create_project
from tlcore.storage.requests import ImportRequest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route

pytestmark = pytest.mark.slow

OWNER = "o" * 24
SLOW_BYTES = 2_000_000
"""Bytes a second of a slow network, so that an upload lasts long enough to do something meanwhile."""

SLACK = 5.0
"""A widget answers within a second on an idle machine; these tests also run where everything else runs too."""

RAR = b"Rar!\x1a\x07\x01\x00" + bytes(600)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    with serving(DataRoot(tmp_path_factory.mktemp("uploads") / "home")) as server:
        yield server


@pytest.fixture
def project(engine: sa.Engine) -> str:
    return create_project(engine, OWNER, "Pets").id


@pytest.fixture
def context(app: AppServer, browser: Browser) -> Iterator[BrowserContext]:
    opened = open_context(browser)
    sign_in(opened, app.address, OWNER)
    yield opened
    opened.close()


@pytest.fixture
def watch(context: BrowserContext, app: AppServer) -> PageWatch:
    return PageWatch(context, app.address)


@pytest.fixture
def page(app: AppServer, context: BrowserContext, watch: PageWatch, project: str) -> Iterator[Page]:
    """The Data page of an empty project, where folders are brought."""
    page = context.new_page()
    page.goto(f"{app.address}/data?project={project}")
    choose_way(page, "Folder or ZIP")
    page.get_by_role("button", name="Choose a folder").wait_for()
    yield page
    watch.check()


def choose_way(page: Page, name: str) -> None:
    page.get_by_test_id("stMain").get_by_role("radio", name=name).click()


def make_folder(folder: Path, number: int, num_bytes: int = 0) -> Path:
    """Fill a folder with pictures of two classes, of so many bytes at least: what follows a picture is not read."""
    rng = np.random.default_rng(0)
    for index in range(number):
        path = folder / ("cat", "dog")[index % 2] / f"{index:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = png(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8))
        path.write_bytes(data + os.urandom(max(0, num_bytes - len(data))))
    return folder


def choose_folder(page: Page, folder: Path) -> None:
    page.locator("input.pick-folder").set_input_files(folder)


def drop(page: Page, *paths: Path) -> None:
    """Drop files and folders as the file manager does."""
    box = page.locator(".zone").bounding_box()
    assert box is not None
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})


def wait_until_some_came(page: Page) -> None:
    page.locator(".status").filter(has_text="left").wait_for()


def slow_down(page: Page) -> Callable[[], None]:
    """Make the network of a page slow; return what makes it fast again."""
    session = page.context.new_cdp_session(page)

    def limit(upload: int) -> None:
        conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": upload}
        session.send("Network.emulateNetworkConditions", conditions)

    limit(SLOW_BYTES)
    return lambda: limit(-1)


def wait_for_import(page: Page, engine: sa.Engine, project: str) -> ImportRequest:
    """Wait until the page shows what the import did, and return what it was asked for."""
    page.get_by_text("Last import").first.wait_for()
    job = last_job(engine, project, "import")
    assert job is not None
    assert job.state == "finished"
    return read_request(engine, job.id, ImportRequest)


def staged(app: AppServer) -> list[Path]:
    return list(app.home.imports_dir.glob("*"))


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_chosen_folder_becomes_the_data_set_and_leaves_nothing_behind(
    app: AppServer, engine: sa.Engine, page: Page, project: str, tmp_path: Path
) -> None:
    choose_folder(page, make_folder(tmp_path / "pets", 300))
    wait_for_import(page, engine, project)
    dataset = current_dataset(engine, project, app.home)[1]
    assert {label.name: len(dataset.of_class(label.id)) for label in dataset.classes} == {"cat": 150, "dog": 150}
    assert staged(app) == []
    page.get_by_text("Add more pictures").wait_for()


def test_five_thousand_files_of_100_kb_come_within_90_seconds_and_the_page_answers(
    app: AppServer, engine: sa.Engine, page: Page, project: str, tmp_path: Path
) -> None:
    [first, *_] = make_folder(tmp_path / "one", 2, 100_000).glob("*/*")
    for number in range(5000):
        path = tmp_path / "pets" / str(number % 10) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(first)  # one file on the disk, five thousand to the browser
    started = time.perf_counter()
    choose_folder(page, tmp_path / "pets")
    wait_until_some_came(page)
    asked = time.perf_counter()
    page.get_by_role("button", name="What must it look like?").click()
    page.get_by_text("One folder for each class").wait_for()
    answered = time.perf_counter() - asked
    page.get_by_test_id("stProgress").wait_for(timeout=90_000)
    seconds = time.perf_counter() - started
    print(f"5,000 files of 100 kB came in {seconds:.1f} s; meanwhile another widget answered in {answered:.2f} s")
    assert seconds < 90
    assert answered < SLACK
    job = last_job(engine, project, "import")
    assert job is not None
    assert len(read_request(engine, job.id, ImportRequest).files) == 5000
    stop_job(engine, job, app.home)
    wait_until(lambda: staged(app) == [])


def test_folders_and_zip_files_dropped_together_are_taken_and_a_rar_is_named_at_once(
    app: AppServer, engine: sa.Engine, page: Page, project: str, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "pets", 10)
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        for number in range(4):
            colours = np.full((16, 16, 3), 10 * number, np.uint8)
            archive.writestr(f"fish/{number}.png", png(colours))
    (tmp_path / "old.rar").write_bytes(RAR)
    drop(page, tmp_path / "old.rar")
    page.get_by_text("This is a RAR file").wait_for()
    assert last_job(engine, project, "import") is None

    drop(page, folder, tmp_path / "more.zip", tmp_path / "old.rar")
    request = wait_for_import(page, engine, project)
    assert [file.name for file in request.archives] == ["more.zip"]
    assert {file.name for file in request.files} == {
        f"pets/{kind}/{path.name}" for kind in ("cat", "dog") for path in (folder / kind).iterdir()
    }
    page.get_by_text("Not used: 1 file").wait_for()
    dataset = current_dataset(engine, project, app.home)[1]
    assert sorted(dataset.class_names) == ["cat", "dog", "fish"]
    assert len(dataset.items) == 14


def test_while_files_are_sent_the_page_answers_and_the_bar_outlives_other_ways_and_pages(
    app: AppServer, engine: sa.Engine, page: Page, project: str, tmp_path: Path
) -> None:
    fast = slow_down(page)
    choose_folder(page, make_folder(tmp_path / "pets", 200, 100_000))
    bar = page.get_by_role("progressbar", name="Files sent")
    bar.wait_for()
    wait_until_some_came(page)
    first = int(bar.get_attribute("aria-valuenow") or 0)

    started = time.perf_counter()
    choose_way(page, "Ready set")
    page.get_by_role("button", name="Use these").first.wait_for()
    print(f"another widget answers in {time.perf_counter() - started:.2f} s while files are sent")
    assert time.perf_counter() - started < SLACK
    choose_way(page, "Folder or ZIP")
    bar.wait_for()
    wait_until(lambda: int(bar.get_attribute("aria-valuenow") or 0) > first)

    page.get_by_role("link", name="Home").click()
    page.get_by_role("heading", name="Transfer Lab").wait_for()
    fast()
    wait_until(lambda: len(current_dataset(engine, project, app.home)[1].items) == 200)
    page.go_back()
    wait_for_import(page, engine, project)


def test_stop_takes_back_what_has_come(
    app: AppServer, engine: sa.Engine, page: Page, project: str, tmp_path: Path
) -> None:
    slow_down(page)
    choose_folder(page, make_folder(tmp_path / "pets", 200, 100_000))
    wait_until_some_came(page)
    assert len(staged(app)) == 1
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Choose a folder").wait_for()
    wait_until(lambda: staged(app) == [])
    assert last_job(engine, project, "import") is None


def test_a_reload_in_the_middle_leaves_nothing_behind(app: AppServer, page: Page, tmp_path: Path) -> None:
    slow_down(page)
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    choose_folder(page, make_folder(tmp_path / "pets", 200, 100_000))
    wait_until_some_came(page)
    page.reload()
    page.get_by_role("heading", name="Data").wait_for()
    assert asked == ["beforeunload"]
    wait_until(lambda: staged(app) == [])


def test_a_piece_that_fails_comes_again(
    app: AppServer, engine: sa.Engine, page: Page, watch: PageWatch, project: str, tmp_path: Path
) -> None:
    tries: list[str] = []

    def sometimes(route: Route) -> None:
        tries.append(route.request.method)
        if route.request.method == "PUT" and len(tries) in (2, 3, 4):
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/upload/**", sometimes)
    with watch.while_server_is_gone():
        choose_folder(page, make_folder(tmp_path / "pets", 60, 300_000))
        wait_for_import(page, engine, project)
    assert tries.count("PUT") > 5
    assert len(current_dataset(engine, project, app.home)[1].items) == 60


def test_a_file_that_vanishes_meanwhile_is_named_and_the_others_come(
    app: AppServer, engine: sa.Engine, page: Page, watch: PageWatch, project: str, tmp_path: Path
) -> None:
    fast = slow_down(page)
    folder = make_folder(tmp_path / "pets", 200, 100_000)
    choose_folder(page, folder)
    wait_until_some_came(page)
    (folder / "dog" / "00199.png").unlink()
    fast()
    wait_for_import(page, engine, project)
    page.get_by_text("Not used: 1 file").wait_for()
    assert len(current_dataset(engine, project, app.home)[1].items) == 199
    assert all("/upload/" in words for words in watch.complaints)
    watch.complaints.clear()  # the browser's own, about the file that is gone


def test_the_place_is_used_with_the_keyboard(page: Page) -> None:
    page.get_by_role("group", name="Drop a folder or ZIP files here").wait_for()
    button = page.get_by_role("button", name="Choose a folder")
    page.wait_for_function("() => document.querySelector('.stApp')?.dataset.testScriptState === 'notRunning'")
    with page.expect_file_chooser() as waiting:
        button.press("Enter")
    assert waiting.value.is_multiple()
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.shadowRoot.activeElement.textContent") == "Choose files"


def test_two_tabs_send_side_by_side(
    app: AppServer, engine: sa.Engine, page: Page, project: str, tmp_path: Path
) -> None:
    other = page.context.new_page()
    other.goto(page.url)
    choose_way(other, "Folder or ZIP")
    other.get_by_role("button", name="Choose a folder").wait_for()
    fast = [slow_down(tab) for tab in (page, other)]
    for tab, folder in ((page, "one"), (other, "two")):  # the same pictures in both, and twenty more in the second
        tab.bring_to_front()
        choose_folder(tab, make_folder(tmp_path / folder, {"one": 60, "two": 80}[folder], 100_000))
        tab.get_by_role("progressbar", name="Files sent").wait_for()
    for back in fast:
        back()
    wait_until(lambda: len(current_dataset(engine, project, app.home)[1].items) == 80)
    wait_until(lambda: staged(app) == [])


def test_a_large_zip_comes_in_pieces_and_never_into_memory(
    app: AppServer, engine: sa.Engine, page: Page, project: str, tmp_path: Path
) -> None:
    large = tmp_path / "large.zip"
    with zipfile.ZipFile(large, "w") as archive:
        for path in sorted(make_folder(tmp_path / "pets", 100, 6_000_000).glob("*/*")):
            archive.write(path, f"{path.parent.name}/{path.name}")
    server = psutil.Process(app.pid)
    before = server.memory_info().rss
    page.locator("input.pick-files").set_input_files(large)
    page.get_by_role("progressbar", name="Files sent").wait_for()
    peak = before
    while page.get_by_role("progressbar", name="Files sent").is_visible():
        peak = max(peak, server.memory_info().rss)
        page.wait_for_timeout(50)
    print(f"the server grew by {(peak - before) / 1e6:.0f} MB while {large.stat().st_size / 1e6:.0f} MB came")
    assert peak - before < 100e6
    request = wait_for_import(page, engine, project)
    assert [file.name for file in request.archives] == ["large.zip"]
    assert len(current_dataset(engine, project, app.home)[1].items) == 100
