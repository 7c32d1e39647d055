"""Somebody walks through all pages in a real browser and notes every error that one shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pages.components.frame import OTHER_PAGES
from tests.test_accessibility import wait_until_still

if TYPE_CHECKING:
    from playwright.sync_api import Page

BESIDE = tuple(name for name, _, _ in OTHER_PAGES)
STEPS = ("data", "augment", "model", "train", "understand", "predict", "export")
ERRORS = '[data-testid="stAlertContentError"], [data-testid="stException"]'


def walk(page: Page, address: str, runs: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Open Home, the pages beside the steps, and every step of some projects; yield each page's name and its errors.

    Args:
        page: Of a browser to which the projects belong.
        address: Of the server.
        runs: A run of each project, by the project's id.
    """
    yield "home", _errors(page, address)
    for name in BESIDE:
        yield name, _errors(page, f"{address}/{name}")
    for number, (project_id, run_id) in enumerate(runs.items(), start=1):
        for step in STEPS:
            shown = _errors(page, f"{address}/{step}?project={project_id}&run={run_id}")
            title = step.capitalize()
            missing = [] if page.get_by_role("heading", name=title, exact=True).count() else [f"no heading {title}"]
            yield f"{step} of project {number}", shown + missing


def _errors(page: Page, address: str) -> list[str]:
    page.goto(address)
    wait_until_still(page)
    return page.locator(ERRORS).all_inner_texts()
