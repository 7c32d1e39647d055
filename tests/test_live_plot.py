"""The live chart in a real browser: one drawing that changes in place and keeps the viewer's zoom."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import sign_in
from tests.chromium import find_chromium
from tests.page_tests import ROOT_DIR
from tests.queued_run import create_run
from tlcore.config import RunConfig
from tlcore.dataset import ClassLabel, Dataset, Item
from tlcore.home import DataRoot
from tlcore.jobs.processes import identity_of
from tlcore.storage.database import open_database, writing
from tlcore.storage.datasets import commit_version
from tlcore.storage.jobs import claim_job, write_job
from tlcore.storage.projects import create_project, get_project
from tlcore.storage.runs import write_metrics

OWNER = "o" * 24
START_SECONDS = 60


@pytest.fixture
def server(home: DataRoot) -> Iterator[str]:
    """The address of the app, served from its own data root."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home.path.mkdir(parents=True)
    with (home.path / "server.log").open("wb") as log:
        options = ["--server.port", str(port), "--server.headless", "true"]
        command = [sys.executable, "-m", "streamlit", "run", "app.py", *options]
        process = subprocess.Popen(command, cwd=ROOT_DIR, stdout=log, stderr=log, env=dict(os.environ))
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/_stcore/health")
        yield address
    finally:
        process.terminate()
        process.wait(10)


def wait_for(address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@pytest.fixture
def page(server: str) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium or Chrome is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(chromium), args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": 1280, "height": 1000})
        sign_in(context, server, OWNER)
        context.set_default_timeout(30_000)
        page = context.new_page()
        yield page
        browser.close()


@pytest.mark.slow
def test_curves_grow_in_the_same_drawing_and_keep_the_zoom(server: str, page: Any, home: DataRoot) -> None:
    engine = open_database(home)
    project = create_project(engine, OWNER, "Live")
    items = tuple(Item(str(number) * 64, "ab"[number % 2], "train", "x.png") for number in range(4))
    dataset = Dataset((ClassLabel("a", "cat", 0), ClassLabel("b", "dog", 1)), items)
    version = commit_version(engine, project.id, dataset, "made", parent=None, home=home)
    run_id = create_run(engine, project.id, version, RunConfig())
    job = claim_job(engine, "run")
    assert job is not None

    def learn(epoch: int) -> None:
        with writing(engine) as connection:
            # This process plays the worker, so that the runner finds it alive.
            worker = {"pid": os.getpid(), "process": identity_of(os.getpid())}
            write_job(
                connection, run_id, job.attempt, **worker, state="running", phase="training", done=epoch, total=20
            )
            values = {"loss": 1 / epoch, "accuracy": 0.5, "val_loss": 1.1 / epoch, "val_accuracy": 0.5}
            write_metrics(connection, run_id, job.attempt, epoch, values)

    for epoch in range(1, 7):
        learn(epoch)
    page.goto(f"{server}/train?project={project.id}&run={run_id}")
    chart = page.locator(".st-key-loss-1 .js-plotly-plot")
    chart.wait_for()
    whole = chart.evaluate("chart => chart._fullLayout.xaxis.range")
    area = chart.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(area["x"] + 60, area["y"] + 60)
    page.mouse.down()
    page.mouse.move(area["x"] + 200, area["y"] + 160, steps=4)
    page.mouse.up()
    page.wait_for_function(
        """whole => {
            const chart = document.querySelector('.st-key-loss-1 .js-plotly-plot');
            return String(chart._fullLayout.xaxis.range) !== String(whole);
        }""",
        arg=whole,
    )
    zoomed = chart.evaluate("chart => { chart.dataset.mark = 'same'; return chart._fullLayout.xaxis.range }")
    for epoch in range(7, 12):
        learn(epoch)
        page.wait_for_function(
            "count => document.querySelector('.st-key-loss-1 .js-plotly-plot')?.data[0].x.length >= count", arg=epoch
        )
    assert chart.get_attribute("data-mark") == "same"
    assert chart.evaluate("chart => chart._fullLayout.xaxis.range") == zoomed


@pytest.mark.slow
def test_a_click_on_a_block_moves_the_freeze_line_in_the_same_drawing(server: str, page: Any, home: DataRoot) -> None:
    engine = open_database(home)
    project = create_project(engine, OWNER, "Blocks")
    dataset = Dataset((ClassLabel("a", "cat", 0),), (Item("0" * 64, "a", "train", "x.png"),))
    commit_version(engine, project.id, dataset, "made", parent=None, home=home)
    page.goto(f"{server}/model?project={project.id}")
    chart = page.locator(".st-key-network .js-plotly-plot")
    chart.wait_for()
    chart.evaluate("chart => { chart.dataset.mark = 'same' }")
    blocks = chart.evaluate("chart => chart.data[0].customdata")
    bar = chart.locator(".bars .point").nth(blocks.index("block6a"))
    bar.scroll_into_view_if_needed()
    place = bar.bounding_box()
    # Plotly's transparent layer lies above the bars, so the pointer is moved by place.
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.wait_for_timeout(300)
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.locator(".st-key-first_trainable").get_by_text("block6a").wait_for()
    assert get_project(engine, project.id, OWNER).config.model.first_trainable == "block6a"
    assert chart.get_attribute("data-mark") == "same"
