"""The door of a running server: foreign pages are refused at once, nobody else is called, pages keep to their rules."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest
import sqlalchemy as sa
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.browser import PageWatch, open_context, sign_in
from tests.coloured_pictures import coloured_dataset
from tests.server import AppServer, serving
from tests.signing import cookie_of
from tlcore.home import DataRoot
from tlcore.storage.datasets import commit_version
from tlcore.storage.projects import create_project

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

OWNER = "o" * 24
STREAM = "/_stcore/stream"
ALL_ADDRESSES = ("--server.address", "0.0.0.0")

NAMES = (
    "teacher@school.example",
    "mailto:teacher@school.example",
    "http://evil.example",
    "see https://evil.example/a?b=c now",
    "www.evil.example",
    "ftp://evil.example",
    "xmpp:a@b.example",
    "![x](http://evil.example/x.png)",
    "<https://evil.example>",
    "[a](//evil.example)",
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """The app, open to a network as for a class: Streamlit would then look up its outside address at the start."""
    with serving(DataRoot(tmp_path_factory.mktemp("door") / "home"), options=ALL_ADDRESSES) as server:
        yield server


def status_of(address: str, **headers: str) -> tuple[int, str]:
    """Ask for an address; return status and words of the answer."""
    request = urllib.request.Request(address, headers={name.replace("_", "-"): text for name, text in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_foreign_page_is_refused_at_once_and_nobody_else_is_called(app: AppServer) -> None:
    stream = app.address.replace("http", "ws") + STREAM
    began = time.monotonic()
    for origin in ("http://evil.example", "http://192.0.2.1:8501", f"http://localhost:{app.port + 1}"):
        with pytest.raises(InvalidStatus, match="403"), connect(stream, origin=origin, proxy=None):  # type: ignore[arg-type]
            pass
        assert status_of(f"{app.address}/_stcore/health", Origin=origin)[0] == 403
    # Asking another machine that does not answer would take longer, and a busy computer answers after seconds too.
    assert time.monotonic() - began < 20
    with connect(stream, subprotocols=["streamlit"], origin=app.address, proxy=None):  # type: ignore[list-item,arg-type]
        pass
    assert app.outgoing == []


def test_the_start_tells_the_class_where_it_is(app: AppServer) -> None:
    assert f"Transfer Lab is open: http://localhost:{app.port}" in app.log
    assert "On the other computers" in app.log
    assert "External URL" not in app.log


def test_a_name_that_points_here_is_refused_in_words(app: AppServer) -> None:
    status, words = status_of(app.address, Host="evil.example")
    assert status == 403
    assert "does not answer by the name evil.example" in words


def test_visitors_learn_nothing_about_the_server(app: AppServer) -> None:
    assert status_of(f"{app.address}/_stcore/metrics")[0] == 404
    assert status_of(f"{app.address}/_stcore/agent/openapi.json")[0] == 404
    settings = json.loads(status_of(f"{app.address}/_stcore/host-config")[1])
    assert not any(settings.values()), settings


def test_pages_keep_to_their_rules_and_call_nobody(app: AppServer, engine: sa.Engine, browser: Browser) -> None:
    for name in NAMES:
        create_project(engine, OWNER, name)
    context = open_context(browser)
    sign_in(context, app.address, OWNER)
    watch = PageWatch(context, app.address)
    page = context.new_page()
    answer = page.goto(app.address)
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'self'" in policy
    assert "script-src 'self'" in policy
    page.get_by_text("teacher").nth(1).wait_for()
    assert page.locator('a[href*="evil"], a[href^="mailto"], a[href^="xmpp"]').count() == 0
    page.get_by_role("link", name="Open").first.click()
    page.get_by_role("heading", name="Data").first.wait_for()
    watch.check()
    icon = page.locator("link[rel*='icon']").get_attribute("href") or ""
    assert "/media/" in icon
    assert page.request.get(urljoin(app.address, icon)).status == 200
    assert status_of(urljoin(app.address, icon))[0] == 404
    assert status_of(urljoin(app.address, icon), Cookie=cookie_of("p" * 24, app.home))[0] == 404
    # What a page might be talked into all the same is stopped by the browser.
    assert page.evaluate("fetch('http://192.0.2.1/').catch(() => 'stopped')") == "stopped"
    assert (
        page.evaluate(
            "new Promise((done) => { const s = document.createElement('script'); s.text = 'window.ran = 1';"
            " document.head.append(s); done(window.ran ?? 'stopped'); })"
        )
        == "stopped"
    )
    assert app.outgoing == []
    context.close()


def test_tables_cannot_be_saved_as_streamlit_writes_them(app: AppServer, engine: sa.Engine, browser: Browser) -> None:
    project = create_project(engine, OWNER, "Tables")
    dataset = coloured_dataset(app.home, per_class=4)
    commit_version(engine, project.id, dataset, "made", parent=None, home=app.home)
    context = open_context(browser)
    sign_in(context, app.address, OWNER)
    page = context.new_page()
    page.goto(f"{app.address}/model?project={project.id}")
    page.get_by_text("Compare all").click()
    page.locator('[data-testid="stDataFrame"]').hover()
    page.get_by_role("button", name="Fullscreen: All backbones").wait_for()
    assert page.get_by_role("button", name="Download as CSV").count() == 0
    context.close()
