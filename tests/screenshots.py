"""Pictures of every page, light and dark, wide and narrow: `python -m tests.screenshots FOLDER`."""

from __future__ import annotations

import argparse
import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser import PageWatch, open_browser, open_context, see_live_answers, sign_in
from tests.conftest import SHARED_DATA
from tests.ready_projects import LONG_TRAINING, ReadyProject, begin_run, make_project, wait_for_end, wait_for_phase
from tests.server import AppServer, prepare_home, serving
from tlcore.config import FineTuningConfig, TrainingConfig
from tlcore.home import DataRoot
from tlcore.jobs.control import start_job
from tlcore.storage.database import open_database
from tlcore.storage.datasets import current_dataset
from tlcore.storage.ensembles import list_ensembles
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import request_stop
from tlcore.storage.projects import create_project
from tlcore.storage.requests import CrossValidationRequest, SettingsRequest, SimpleHeadsRequest
from tlcore.storage.runs import get_run, read_metrics
from tlcore.storage.simple_heads import frozen_backbone

if TYPE_CHECKING:
    import sqlalchemy as sa
    from playwright.sync_api import Browser, FilePayload, Page

OWNER = "s" * 24
NEWCOMER = "n" * 24
SCHEMES = ("light", "dark")
WIDTHS = (1280, 390)
LOOK_HEIGHT = 900
MAX_HEIGHT = 6000
SHOWN_PICTURES = 8
SETTLE_MILLISECONDS = 900
"""Streamlit grows widgets and charts softly into their places."""

INSTANT_MILLISECONDS = 60_000


class Photographer:
    """Opens pages in one browser profile and takes full pictures of them."""

    def __init__(self, page: Page, watch: PageWatch, address: str, folder: Path, suffix: str) -> None:
        self._page = page
        self._watch = watch
        self._address = address
        self._folder = folder
        self._suffix = suffix

    def open(self, path: str, name: str) -> Page:
        """Open a page, take its picture, and return it for more."""
        self._page.goto(self._address + path)
        return self.take(name)

    def take(self, name: str) -> Page:
        """Take a picture of the whole page as it is now."""
        page = self._page
        page.wait_for_function("() => document.querySelector('.stApp')?.dataset.testScriptState === 'notRunning'")
        page.wait_for_load_state("networkidle")
        page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')")
        page.wait_for_timeout(SETTLE_MILLISECONDS)
        size = page.viewport_size
        assert size is not None
        # The page scrolls inside of itself, so the window grows until nothing is left to scroll.
        needed = page.evaluate(
            "() => innerHeight + Math.max(...[...document.querySelectorAll('[data-testid=stMain], section')]"
            ".map(part => part.scrollHeight - part.clientHeight), 0)"
        )
        page.set_viewport_size({**size, "height": min(MAX_HEIGHT, max(LOOK_HEIGHT, int(needed)))})
        page.wait_for_timeout(SETTLE_MILLISECONDS)
        page.screenshot(path=self._folder / f"{name}-{self._suffix}.png")
        wide = page.evaluate("() => document.scrollingElement.scrollWidth - innerWidth")
        if wide > 0:
            print(f"{name}-{self._suffix}: {wide} px are cut at the right")
        page.set_viewport_size({**size, "height": LOOK_HEIGHT})
        self._watch.check()
        return page


@contextmanager
def photographers(browser: Browser, app: AppServer, folder: Path, owner: str) -> Iterator[list[Photographer]]:
    """Open one browser profile for each colour scheme and width."""
    contexts, found = [], []
    for scheme, width in itertools.product(SCHEMES, WIDTHS):
        context = open_context(browser, width=width, height=LOOK_HEIGHT, color_scheme=scheme)
        sign_in(context, app.address, owner)
        watch = PageWatch(context, app.address)
        found.append(Photographer(context.new_page(), watch, app.address, folder, f"{scheme}-{width}"))
        contexts.append(context)
    yield found
    for context in contexts:
        context.close()


def photograph_everything(app: AppServer, browser: Browser, folder: Path) -> None:
    """Make real projects and runs, and take the pictures on the way."""
    engine = open_database(app.home)
    archive = SHARED_DATA / "cats_dogs.zip"
    source = {"archive": archive} if archive.is_file() else {"sample": "surfaces"}
    empty = create_project(engine, NEWCOMER, "Leaves in our park")
    project = make_project(engine, app.home, OWNER, "Cats and dogs", **source)  # type: ignore[arg-type]
    with photographers(browser, app, folder, "v" * 24) as visitors:
        for visitor in visitors:
            visitor.open("/", "home-empty")
    with photographers(browser, app, folder, NEWCOMER) as newcomers:
        for newcomer in newcomers:
            newcomer.open(f"/data?project={empty.id}", "data-empty")
            newcomer.open(f"/train?project={empty.id}", "train-without-pictures")
            newcomer.open(f"/understand?project={project.id}", "not-here")
    with photographers(browser, app, folder, OWNER) as owners:
        for owner in owners:
            owner.open(f"/data?project={project.id}", "data")
            owner.open(f"/train?project={project.id}", "train-before")
        run_id = begin_run(engine, app.home, project, LONG_TRAINING)
        wait_for_phase(engine, run_id, "training")
        while not read_metrics(engine, run_id):
            time.sleep(0.2)
        for owner in owners:
            owner.open(f"/train?project={project.id}&run={run_id}", "train-during")
            owner.open(f"/model?project={project.id}", "model-while-training")
        request_stop(engine, run_id)
        wait_for_end(engine, run_id)
        wait_for_end(engine, begin_run(engine, app.home, project, TrainingConfig(epochs=8)))
        photograph_results(owners, project, run_id, pictures_of(engine, app.home, project))
        learn_more(engine, app.home, project)
        photograph_more(owners, engine, project)


def photograph_results(
    owners: list[Photographer], project: ReadyProject, run_id: str, pictures: list[FilePayload]
) -> None:
    """Take the pictures of the pages that need a trained model."""
    for owner in owners:
        owner.open("/", "home")
        owner.open("/storage", "storage")
        page = owner.open(f"/augment?project={project.id}", "augment-none")
        page.get_by_text("Strong", exact=True).click()
        page.wait_for_timeout(SETTLE_MILLISECONDS)
        owner.take("augment")
        page.get_by_text("None", exact=True).first.click()
        page.wait_for_timeout(SETTLE_MILLISECONDS)
        page = owner.open(f"/model?project={project.id}", "model")
        owner.open(f"/train?project={project.id}&run={run_id}", "train-after")
        owner.open(f"/train?project={project.id}", "train-with-runs")
        page = owner.open(f"/understand?project={project.id}&run={run_id}", "understand")
        if page.get_by_role("button", name="Open the exam").count():
            page.get_by_role("button", name="Open the exam").click()
        else:
            page.get_by_text("Exam (test pictures)", exact=True).click()
        page.get_by_text("Test accuracy").first.wait_for()
        owner.take("understand-exam")
        page.get_by_text("Map of the pictures", exact=True).click()
        page.locator(".st-key-map .js-plotly-plot").wait_for()
        owner.take("understand-map")
        page = owner.open(f"/predict?project={project.id}&run={run_id}", "predict")
        page.locator('[data-testid="stFileUploader"] input[type="file"]').set_input_files(pictures)
        page.locator(".st-key-answer-3 button").wait_for()
        owner.take("predict-many")
        page.locator(".st-key-answer-3 button").click()
        page.get_by_role("dialog").locator(".js-plotly-plot").wait_for()
        owner.take("predict-one-of-many")
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="detached")
        page.get_by_text("Ask about a ZIP file or a whole folder").click()
        page.locator("input.pick-files").set_input_files(pictures)
        page.get_by_test_id("stDataFrame").first.wait_for()
        owner.take("predict-table")
        page.get_by_text("Use the camera", exact=True).click()
        see_live_answers(page)
        owner.take("predict-camera")
        owner.open(f"/export?project={project.id}&run={run_id}", "export")


def learn_more(engine: sa.Engine, home: DataRoot, project: ReadyProject, *, epochs: int = 6, splits: int = 5) -> None:
    """Train in two phases, on other splits too, search a learning rate, and train simple heads."""
    tuning = FineTuningConfig(first_trainable="block7a", epochs=epochs // 2)
    run_id = begin_run(engine, home, project, TrainingConfig(epochs=epochs, fine_tuning=tuning))
    wait_for_end(engine, run_id)
    run = get_run(engine, run_id)
    wait_for_end(engine, start_job(engine, home, "search", project.id, SettingsRequest(run.version, run.config)))
    asked = CrossValidationRequest(run.id, splits)
    wait_for_end(engine, start_job(engine, home, "cross_validation", project.id, asked, key=asked.key))
    request = SimpleHeadsRequest(run.version, frozen_backbone(run.config.model))
    wait_for_end(engine, start_job(engine, home, "simple_heads", project.id, request))


def photograph_more(owners: list[Photographer], engine: sa.Engine, project: ReadyProject) -> None:
    """Take the pictures of what lies behind a fold, of runs side by side, and of a group."""
    for owner in owners:
        page = owner.open(f"/data?project={project.id}", "data-folded")
        page.get_by_text("Instant answers", exact=True).click()
        page.locator(".st-key-instant-way").wait_for(timeout=INSTANT_MILLISECONDS)
        for step in ("data", "train", "model", "understand"):
            if step != "data":
                page = owner.open(f"/{step}?project={project.id}&compare=1-2-3", f"{step}-folded")
            folds = page.locator("details > summary")
            for number in range(folds.count()):
                folds.nth(number).click()
                page.wait_for_timeout(SETTLE_MILLISECONDS)
            owner.take(f"{step}-unfolded")
    page.locator(".st-key-make-group button").click()
    page.wait_for_url("**run=group.*")
    group = list_ensembles(engine, project.id)[0]
    for owner in owners:
        owner.open(f"/understand?project={project.id}&run={group.id}", "understand-group")


def pictures_of(engine: sa.Engine, home: DataRoot, project: ReadyProject) -> list[FilePayload]:
    """Return some test pictures of a project, as files to upload."""
    items = current_dataset(engine, project.id, home)[1].subset("test")
    chosen = items[:: max(1, len(items) // SHOWN_PICTURES)][:SHOWN_PICTURES]
    images = ImageStore(home)
    return [{"name": Path(item.name).name, "mimeType": "", "buffer": images.read(item.image)} for item in chosen]


def main() -> None:
    """Prepare a data root of its own, serve it, and take the pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    home = DataRoot(Path(tempfile.mkdtemp(prefix="screenshots-")))
    try:
        prepare_home(home)
        with serving(home) as app, open_browser() as browser:
            photograph_everything(app, browser, folder)
    finally:
        shutil.rmtree(home.path, ignore_errors=True)


if __name__ == "__main__":
    main()
