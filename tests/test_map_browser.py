"""The map of the pictures in a real browser: looked at, drawn around, edited, brought back, and arranged otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.browser import PageWatch, open_context, sign_in
from tests.coloured_pictures import RecordingProgress
from tests.finished_runs import Finished
from tests.server import serving
from tests.test_pages_map import BACKBONE, cache_features
from tlcore.mapping import maps
from tlcore.storage.datasets import current_dataset

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

OWNER = "o" * 24
REACH = 14
"""Pixels around a point that are drawn around with it; more than the edge of its mark."""

PLACES = """chart => chart.data.flatMap(trace => trace.x.map((x, index) => {
  const area = chart.querySelector('.nsewdrag').getBoundingClientRect(), layout = chart._fullLayout;
  return [trace.customdata[index], area.x + layout.xaxis.d2p(x), area.y + layout.yaxis.d2p(trace.y[index])];
}))"""

COUNTING = """() => {
  window.contexts = new Set();
  const getContext = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
    const context = getContext.call(this, kind, ...more);
    if (context && kind === 'webgl') window.contexts.add(context);
    return context;
  };
}"""
"""Lets a page remember the WebGL contexts that were made on it."""
CHART_CONTEXTS = 2
"""Plotly has one for all marks and one for those that are drawn around."""
LIVE_CONTEXTS = "() => [...window.contexts].filter(context => !context.isContextLost()).length"

MARKED = """number => {
  const chart = document.querySelector('.st-key-map .js-plotly-plot');
  const marked = chart?.data.flatMap(trace => (trace.selectedpoints ?? []).map(index => trace.customdata[index]));
  return marked?.includes(number) && !chart.layout.selections?.length;
}"""


def places(page: Page) -> dict[int, tuple[float, float]]:
    """Return where each picture is on the screen."""
    return {int(number): (x, y) for number, x, y in page.locator(".st-key-map .js-plotly-plot").evaluate(PLACES)}


def loneliest(found: dict[int, tuple[float, float]]) -> int:
    """Return the picture that is farthest from its nearest neighbour."""
    at = np.array(list(found.values()))
    distances = np.linalg.norm(at[:, None] - at[None], axis=2) + np.diag(np.full(len(at), np.inf))
    assert distances.min(axis=1).max() > 2 * REACH
    return list(found)[int(distances.min(axis=1).argmax())]


def draw_around(page: Page, x: float, y: float) -> None:
    page.mouse.move(x - REACH, y - REACH)
    page.mouse.down()
    for across, up in ((1, -1), (1, 1), (-1, 1), (-1, -1)):
        page.mouse.move(x + across * REACH, y + up * REACH, steps=4)
    page.mouse.up()


def test_a_point_is_looked_at_drawn_around_removed_and_brought_back(
    browser: Browser,
    make_finished: Callable[..., Finished],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished = make_finished(OWNER)
    run_id = finished.add_run(wrong=(0,))
    cache_features(finished.home, finished.dataset)
    # Not t-SNE itself, which takes its time on a busy machine, but another arrangement.
    monkeypatch.setattr(maps, "neighbour_embedding", lambda features, _told: features[:, 10:12])
    maps.make_map(finished.dataset, BACKBONE, RecordingProgress(), finished.home)

    def images() -> set[str]:
        found = current_dataset(finished.engine, finished.project_id, finished.home)[1]
        return {item.image for item in found.items}

    with serving(finished.home) as app:
        context = open_context(browser)
        sign_in(context, app.address, OWNER)
        watch, page = PageWatch(context, app.address), context.new_page()
        page.add_init_script(f"({COUNTING})()")
        page.goto(f"{app.address}/understand?project={finished.project_id}&run={run_id}")
        page.get_by_text("Map of the pictures").click()
        panel: Any = page.locator(".st-key-map")
        panel.locator(".nsewdrag").first.scroll_into_view_if_needed()
        panel.get_by_text("Draw around points").wait_for()
        lonely = loneliest(places(page))
        image = finished.dataset.items[lonely].image
        # What lies under the pointer is shown, with its class.
        x, y = places(page)[lonely]
        page.mouse.move(x - 40, y)
        page.mouse.move(x, y, steps=4)
        picture = panel.locator(".live-plot-picture")
        picture.wait_for()
        class_name = finished.dataset.find_class(finished.dataset.items[lonely].class_id).name
        assert class_name in picture.inner_text()
        page.wait_for_function("() => document.querySelector('.st-key-map .live-plot-picture img').naturalWidth > 0")
        draw_around(page, x, y)
        panel.get_by_text("1 picture: ").wait_for()
        panel.get_by_role("button", name="Remove them", exact=True).click()
        undo = panel.get_by_role("button", name="Undo: removed 1 picture", exact=True)
        undo.wait_for()
        assert images() == {item.image for item in finished.dataset.items} - {image}
        page.wait_for_function(
            "number => !document.querySelector('.st-key-map .js-plotly-plot')?.data"
            ".some(trace => trace.customdata.includes(number) || trace.selectedpoints?.length)",
            arg=lonely,
        )
        undo.click()
        undo.wait_for(state="detached")
        assert image in images()
        page.wait_for_function(
            "number => document.querySelector('.st-key-map .js-plotly-plot')?.data"
            ".some(trace => trace.customdata.includes(number))",
            arg=lonely,
        )
        watch.check()
        # What is drawn around in one arrangement is marked in the other, where it lies then.
        x, y = places(page)[lonely]
        draw_around(page, x, y)
        panel.get_by_role("button", name="Remove them", exact=True).wait_for()
        panel.get_by_text("Widest spread (PCA)").click()
        panel.get_by_text("These two directions hold").wait_for()
        page.wait_for_function(MARKED, arg=lonely)
        panel.get_by_role("button", name="Clear the selection").click()
        panel.get_by_text("Draw around points").wait_for()
        page.wait_for_function(
            "() => document.querySelector('.st-key-map .js-plotly-plot')?.data.every(trace => !trace.selectedpoints)"
        )
        # One chart was changed all the time, and made anew by no edit; beside it the browser was asked once.
        assert page.evaluate("() => window.contexts.size") == CHART_CONTEXTS + 1
        assert page.evaluate(LIVE_CONTEXTS) == CHART_CONTEXTS
        page.get_by_text("Map of the pictures").click()
        panel.locator(".js-plotly-plot").wait_for(state="detached")
        page.wait_for_function(f"() => ({LIVE_CONTEXTS})() === 0")
        watch.check()
        context.close()
