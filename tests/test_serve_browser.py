"""The pages of the prediction service in Chromium: a picture is tried there, on wide and narrow screens."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from axe_playwright_python.sync_playwright import Axe

from tests.browser import PageWatch, open_context
from tests.coloured_pictures import picture, png
from tests.ready_bundle import model_files, write_bundle
from tests.service import serving_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def test_a_picture_is_tried_on_every_screen(browser: Browser, tmp_path: Path) -> None:
    files = {"litert": model_files(tmp_path)["litert"]}
    (tmp_path / "green.png").write_bytes(png(picture("green", 1, width=48, height=48)))
    with serving_model(write_bundle(tmp_path / "model.zip", files)) as service:
        address = f"http://127.0.0.1:{service.port}"
        for scheme, width in itertools.product(SCHEMES, (1280, 320)):
            context = open_context(browser, width=width, color_scheme=scheme)
            watch, page = PageWatch(context, address), context.new_page()
            page.goto(address)
            page.get_by_label("A picture").set_input_files(tmp_path / "green.png")
            page.get_by_role("button", name="Ask the model").click()
            page.get_by_role("status").get_by_text("green (7").wait_for()
            for path in ("", "docs"):
                if path:
                    page.get_by_role("link", name="how they do that").click()
                    page.get_by_role("heading", name="POST /predict").wait_for()
                found = Axe().run(page).response["violations"]
                assert not found, [(one["id"], one["nodes"][0]["html"]) for one in found]
                assert page.evaluate("document.documentElement.scrollWidth") <= width
            watch.check()
            context.close()
