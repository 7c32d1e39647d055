"""The threshold in a real browser: dragged on Understand, obeyed by Predict and by the camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.browser import PageWatch, open_context, sign_in
from tests.ready_projects import make_project
from tests.server import AppServer, serving
from tlcore.config import TrainingConfig
from tlcore.home import DataRoot
from tlcore.storage.model_settings import change_model_settings, read_model_settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

OWNER = "o" * 24


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, common_home: DataRoot) -> Iterator[AppServer]:
    with serving(DataRoot(tmp_path_factory.mktemp("threshold") / "home"), prepared=common_home) as server:
        yield server


def test_a_threshold_that_is_dragged_is_obeyed_by_predict_and_the_camera(
    app: AppServer, browser: Browser, engine: sa.Engine
) -> None:
    made = make_project(engine, app.home, OWNER, "Surfaces", sample="surfaces", training=TrainingConfig(epochs=2))
    assert made.run_id is not None
    # Unsure enough for every threshold, whatever this short training reached.
    change_model_settings(engine, made.id, made.run_id, lambda before: replace(before, temperature=20.0))
    context = open_context(browser)
    sign_in(context, app.address, OWNER)
    watch = PageWatch(context, app.address)
    page = context.new_page()
    page.goto(f"{app.address}/understand?project={made.id}&run={made.run_id}")
    page.get_by_text("It answers 100 % of the").wait_for()
    handle = page.get_by_role("slider", name="Answer only from this probability on")
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 2000, box["y"], steps=10)
    page.mouse.up()
    page.get_by_text("It answers none of the").wait_for()
    assert read_model_settings(engine, made.id, made.run_id).threshold == 0.99
    page.goto(f"{app.address}/predict?project={made.id}&run={made.run_id}")
    page.get_by_text("the model's best guess is").wait_for()
    page.get_by_text("Use the camera", exact=True).click()
    page.locator(".unknown", has_text="I don't know: the model's best guess is").wait_for()
    page.locator(".heard", has_text="I don't know").wait_for(state="attached")
    watch.check()
    context.close()
