"""Room is freed in a real browser: nothing goes before the question, with the mouse or by the keyboard alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser import PageWatch, open_context, sign_in
from tests.finished_runs import OWNER, Finished
from tests.server import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


def test_a_model_is_freed_after_a_question(browser: Browser, make_finished: Callable[..., Finished]) -> None:
    finished = make_finished(owner=OWNER)
    first, second = (finished.home.run_dir(finished.add_run()) / "model.keras" for _ in range(2))
    with serving(finished.home) as app:
        context = open_context(browser)
        sign_in(context, app.address, OWNER)
        watch = PageWatch(context, app.address)
        page = context.new_page()
        page.goto(app.address)
        page.get_by_role("link", name="Storage").click()
        page.get_by_text("Colours: ").click()
        page.get_by_text("Model of run 1").click()
        main = page.get_by_role("button", name="Free up to 3.0 MB")
        main.click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("Its curves and its results stay").wait_for()
        dialog.get_by_role("button", name="Close").click()
        dialog.wait_for(state="detached")
        page.get_by_text("Model of run 2").click()  # the question does not come back by itself
        page.get_by_role("button", name="Free up to 6.0 MB").wait_for()
        assert dialog.count() == 0
        page.get_by_text("Model of run 1").click()
        main.wait_for()
        assert first.exists()
        assert second.exists()
        main.focus()
        page.keyboard.press("Enter")
        free = dialog.get_by_role("button", name="Free it")
        free.focus()
        page.keyboard.press("Enter")
        dialog.wait_for(state="detached")
        page.get_by_text("Model of run 2").wait_for(state="detached")
        assert first.exists()
        assert not second.exists()
        assert page.get_by_role("button", name="Free room").is_disabled()
        watch.check()
        context.close()
