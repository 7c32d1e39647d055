"""Files of a model in a real browser: a run is trained, a worker makes them, and they run where nothing of ours is."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.browser import PageWatch, open_context, sign_in
from tests.ready_projects import ReadyProject, make_project
from tests.server import AppServer, serving
from tests.test_accessibility import violations, wait_until_still
from tlcore.config import TrainingConfig
from tlcore.home import DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.exports import export_dir, read_exports

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

OWNER = "o" * 24
MAKING_MILLISECONDS = 240_000


@pytest.fixture(scope="module")
def app(prepared_home: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    home = DataRoot(tmp_path_factory.mktemp("exports") / "home")
    with serving(home, prepared=prepared_home) as server:
        yield server


@pytest.fixture(scope="module")
def own_engine(app: AppServer) -> Iterator[sa.Engine]:
    engine = open_database(app.home)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def project(app: AppServer, own_engine: sa.Engine) -> ReadyProject:
    """A project whose run a real worker has trained."""
    training = TrainingConfig(epochs=2, patience=None)
    return make_project(own_engine, app.home, OWNER, "Surfaces", sample="surfaces", training=training)


@pytest.fixture
def page(app: AppServer, browser: Browser, project: ReadyProject) -> Iterator[Page]:
    """The Export page of the project."""
    context = open_context(browser)
    sign_in(context, app.address, OWNER)
    watch = PageWatch(context, app.address)
    page = context.new_page()
    page.goto(f"{app.address}/export?project={project.id}&run={project.run_id}")
    page.get_by_role("heading", name="Export", exact=True).wait_for()
    yield page
    watch.check()
    assert "Traceback" not in app.log
    context.close()


def python_with(packages: list[str]) -> Path:
    """Return the Python of an environment that has these packages alone; made once, and kept for the next time."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = Path(tempfile.gettempdir()) / f"transfer-lab-tests-{version}-{'-'.join(sorted(packages))}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            made = Path(temporary, "environment")
            subprocess.run([sys.executable, "-m", "venv", str(made)], check=True)
            pip = [str(made / "bin" / "python"), "-m", "pip", "install", "--quiet", "--retries", "1", *packages]
            done = subprocess.run(pip, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"{packages} cannot be fetched from the package index: {done.stderr[-200:]}")
            made.rename(folder)
    return folder / "bin" / "python"


def test_files_are_made_downloaded_and_run_where_nothing_of_ours_is(
    page: Page, app: AppServer, own_engine: sa.Engine, project: ReadyProject, tmp_path: Path
) -> None:
    page.get_by_role("button", name="Make the files").click()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("Stopped, so no files were made.").wait_for(timeout=MAKING_MILLISECONDS)
    assert list(app.home.exports_dir.glob("*")) == []
    page.get_by_role("button", name="Make the files").click()
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    page.reload()  # the work is not the page's
    page.get_by_role("link", name="Download all").wait_for(timeout=MAKING_MILLISECONDS)
    [export] = read_exports(own_engine, project.id)[0]
    assert [report.format for report in export.result.reports if report.is_made] == ["keras", "litert", "litert-int8"]
    wait_until_still(page)
    assert violations(page) == []
    page.get_by_role("textbox", name="What is this model for?").fill("For *my* desk <only>")
    page.get_by_role("textbox", name="Whom can one ask about it?").fill("Room 7b")
    page.get_by_role("textbox", name="Whom can one ask about it?").press("Enter")
    page.get_by_text("Read the card").click()
    page.get_by_text("For *my* desk <only>", exact=True).last.wait_for()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download all").click()
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    assert (folder / "model.tflite").read_bytes() == (export_dir(export.job_id, app.home) / "model.tflite").read_bytes()
    assert "Room 7b" in (folder / "MODEL_CARD.md").read_text("utf-8")
    readme = (folder / "README.txt").read_text("utf-8")
    needed = re.search(r"model\.tflite +pip install (.+)", readme)
    assert needed is not None, readme
    done = subprocess.run(
        [str(python_with(needed.group(1).split())), "self_test.py"],
        cwd=folder,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for file in ("model.tflite", "model-int8.tflite"):
        assert file in done.stdout
    spoilt = bytearray((folder / "model.tflite").read_bytes())
    spoilt[len(spoilt) // 3 : len(spoilt) // 2] = bytes(len(spoilt) // 2 - len(spoilt) // 3)
    (folder / "model.tflite").write_bytes(spoilt)
    python = str(python_with(needed.group(1).split()))
    done = subprocess.run([python, "self_test.py"], cwd=folder, env={}, capture_output=True, check=False)
    assert done.returncode != 0
