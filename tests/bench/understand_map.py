"""How soon the map of 5,000 pictures is there, what is sent for it, and how smoothly it moves in a browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pages.components.figures.picture_map import MapPoint, map_figure
from tests.bench.accuracy import read
from tests.bench.figures import Line, figure
from tests.browser import open_browser, open_context, sign_in
from tests.finished_runs import Finished
from tests.server import serving
from tlcore.config import AugmentationConfig, ModelConfig
from tlcore.dataset import Dataset, Item
from tlcore.features.compiled import ensure_compiled
from tlcore.features.extractor import FeatureExtractor
from tlcore.home import DataRoot
from tlcore.images.views import ViewRequest
from tlcore.mapping.maps import PictureMap, Places, backbone_of_map, make_map, map_at_once
from tlcore.mapping.sample import map_sample
from tlcore.model.cut import plan_model
from tlcore.progress import TerminalProgress
from tlcore.results.evaluation import VALIDATION_FILE_NAME, save_evaluation
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.projects import create_project

if TYPE_CHECKING:
    from playwright.sync_api import Page

OWNER = "o" * 24
SET = "cifar10"
WRONG = 0.1
MAX_SECONDS_AT_ONCE = 2.0
LEAST_FRAMES = 20.0
"""A second; fewer look like single pictures."""
STEPS, REACH = 120, 150

NOTED_FRAMES = """() => {
  const times = window.frames_at = [];
  const note = (now) => {
    times.push(now);
    if (window.frames_at === times) requestAnimationFrame(note);
  };
  requestAnimationFrame(note);
}"""


def measure() -> Iterator[Line]:
    """Yield each figure."""
    home, dataset = DataRoot.configured(), read(SET)
    backbone, items = backbone_of_map(ModelConfig()), map_sample(dataset)
    _compute_features(items, backbone, home)
    how = f"{len(items):,} of {len(dataset.items):,} pictures of {SET}, features cached"
    yield from _seconds(dataset, items, backbone, home, how)
    yield from _in_browser(dataset, home, how)


def _compute_features(items: tuple[Item, ...], backbone: ModelConfig, home: DataRoot) -> None:
    progress, plan = TerminalProgress(), plan_model(backbone)
    ensure_compiled(plan, progress, home)
    extractor = FeatureExtractor(plan, AugmentationConfig(), home)
    extractor.table([ViewRequest(item.image) for item in items], progress, "features")
    progress.close()


def _seconds(
    dataset: Dataset, items: tuple[Item, ...], backbone: ModelConfig, home: DataRoot, how: str
) -> Iterator[Line]:
    map_at_once(items[:100], backbone, home)  # scikit-learn is imported, as for all but the first of a server
    started = time.perf_counter()
    found = map_at_once(items, backbone, home)
    seconds = time.perf_counter() - started
    assert found is not None
    yield figure(
        "map: seconds until it is there by principal components",
        seconds,
        how,
        at_most=MAX_SECONDS_AT_ONCE,
        more={"neighbours of the same class": _same_class(items, found.pca)},
    )
    started, progress = time.perf_counter(), TerminalProgress()
    whole = make_map(dataset, backbone, progress, home)
    seconds = time.perf_counter() - started
    progress.close()
    more = {"neighbours of the same class": _same_class(items, whole.tsne)}
    yield figure("map: seconds of t-SNE, as a job", seconds, how, more=more)
    yield figure("map: kilobytes of the drawing", len(_drawing(dataset, items, whole)) / 1000, how)


def _drawing(dataset: Dataset, items: tuple[Item, ...], found: PictureMap) -> str:
    rows = enumerate(zip(items, found.tsne, strict=True))
    points = [MapPoint(number, item.image, item.class_id, place) for number, (item, place) in rows]
    return json.dumps(map_figure(points, dataset.classes, zoom="a", selection="b"))


def _same_class(items: tuple[Item, ...], places: Places) -> float:
    """Return the share of pictures whose nearest one on the map is of their class."""
    from sklearn.neighbors import NearestNeighbors

    labels = np.array([item.class_id for item in items])
    nearest = NearestNeighbors(n_neighbors=1).fit(np.array(places)).kneighbors(return_distance=False)[:, 0]
    return round(float((labels[nearest] == labels).mean()), 3)


def _in_browser(dataset: Dataset, home: DataRoot, how: str) -> Iterator[Line]:
    engine = open_database(home)
    project = create_project(engine, OWNER, SET)
    version = commit_version(engine, project.id, dataset, "made", parent=None, home=home)
    finished = Finished(engine, home, project.id, dataset, version)
    run_id = finished.add_run(names=dataset.class_names)
    answers = finished.answers("validation", (), dataset.class_names)
    wrong = np.random.default_rng(0).random(answers.total) < WRONG
    answers.probabilities[wrong] = np.roll(answers.probabilities[wrong], 1, axis=1)
    save_evaluation(answers, home.run_dir(run_id), VALIDATION_FILE_NAME)
    how = f"{how}; t-SNE, {int(wrong.sum())} rings; Chromium without a graphics card (WebGL in software)"
    with serving(home) as app, open_browser() as browser:
        context = open_context(browser)
        sign_in(context, app.address, OWNER)
        page = context.new_page()
        page.goto(f"{app.address}/understand?project={project.id}&run={run_id}")
        opener = page.get_by_text("Map of the pictures")
        opener.wait_for()
        started = time.perf_counter()
        opener.click()
        area = page.locator(".st-key-map .nsewdrag").first
        area.wait_for()
        yield figure("map: seconds from the tap that opens it to the drawing", time.perf_counter() - started, how)
        area.scroll_into_view_if_needed()
        page.get_by_text("Draw around points").wait_for()
        yield figure("map: frames a second while it is moved", _frames(page, "Pan"), how, at_least=LEAST_FRAMES)
        yield figure("map: frames a second while points are drawn around", _frames(page, "Lasso Select"), how)
        yield figure("map: seconds from the end of the lasso to the pictures below", _selected(page), how)
        context.close()


def _frames(page: Page, tool: str) -> float:
    """Return how many frames a second there are while the pointer draws circles with a tool."""
    page.locator(f'.st-key-map .modebar-btn[data-title="{tool}"]').click()
    box = page.locator(".st-key-map .nsewdrag").first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(NOTED_FRAMES)
    for step in range(STEPS):
        angle = 6.283 * step / STEPS
        page.mouse.move(x + REACH * np.sin(angle), y + REACH * (1 - np.cos(angle)) / 2)
    times = page.evaluate("() => { const times = window.frames_at; delete window.frames_at; return times; }")
    page.mouse.up()
    return 1000 * (len(times) - 1) / (times[-1] - times[0])


def _selected(page: Page) -> float:
    """Return how long it took from the last lasso until what can be done with its pictures was there."""
    started = time.perf_counter()
    page.get_by_role("button", name="Remove them", exact=True).wait_for()
    return time.perf_counter() - started
