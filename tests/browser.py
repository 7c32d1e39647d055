"""A real Chromium for tests, with a pretended camera, and a watch over everything that its pages do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.chromium import find_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
# No sandbox: containers run tests as root.
ARGUMENTS = ("--no-sandbox", "--disable-gpu", *FAKE_CAMERA)
TIMEOUT_SECONDS = 120
"""Patience with a computer that does other things too; only what does not come at all costs so long."""
LOCAL_SCHEMES = ("data", "blob", "about")
CONNECTION_WORDS = (
    "ERR_CONNECTION",
    "WebSocket",
    "ERR_EMPTY_RESPONSE",
    "ERR_INCOMPLETE",
    "ERR_SOCKET",
    "disconnected",
    "reaching server",
    "not responding",
)
"""What a browser says when a server is gone."""

SEARCHED_PATHS = ("/_stcore/health", "/_stcore/host-config")
"""Streamlit looks for its server below the address of a page first, and says on the console that it is not there."""

TRACEBACK_WORDS = ("Traceback (most recent call last)", "Traceback:", 'File "', "StreamlitAPIException")


@contextlib.contextmanager
def open_browser(*options: str) -> Iterator[Browser]:
    """Start a browser and end it afterwards.

    Args:
        *options: More of Chromium's options than all tests need.

    Raises:
        LookupError: If this machine has none, or Playwright is missing.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise LookupError("Playwright is not installed") from error
    chromium = find_chromium()
    if chromium is None:
        raise LookupError("no Chromium or Chrome is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=[*ARGUMENTS, *options])
        yield browser
        browser.close()


def open_context(browser: Browser, *, width: int = 1280, height: int = 900, **options: Any) -> BrowserContext:
    """Open a browser profile of its own: another person, with a camera that may be used."""
    viewport = {"width": width, "height": height}
    context = browser.new_context(viewport=viewport, permissions=["camera"], accept_downloads=True, **options)
    context.set_default_timeout(1000 * TIMEOUT_SECONDS)
    return context


def see_live_answers(page: Page) -> int:
    """Wait until the camera shows answers, and return how many a second it says they are."""
    words = page.get_by_text(re.compile(r"[1-9]\d* answers? a second"))
    words.wait_for()
    found = re.search(r"(\d+) answers? a second", words.inner_text())
    assert found is not None
    return int(found[1])


def sign_in(context: BrowserContext, address: str, owner: str) -> None:
    """Make a browser profile the one to which the projects of an owner belong."""
    from tests.server import home_at
    from tests.signing import COOKIE, signed

    context.add_cookies([{"name": COOKIE, "value": signed(owner, home_at(address)), "url": address}])


class PageWatch:
    """Notes what no page may do: ask another machine for something, complain on the console, show a traceback."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self._host = urlsplit(address).netloc
        self._context = context
        self._server_may_be_gone = False
        self.foreign_requests: list[str] = []
        self.complaints: list[str] = []
        context.on("request", lambda request: self._note_request(request.url))
        context.on("page", self._watch_page)
        context.on("console", self._note_console)
        context.on("weberror", lambda error: self.complaints.append(f"uncaught: {error.error}"))

    @contextlib.contextmanager
    def while_server_is_gone(self) -> Iterator[None]:
        """Accept, for a while, that connections fail."""
        self._server_may_be_gone = True
        yield
        self._server_may_be_gone = False

    def check(self) -> None:
        """Assert that nothing forbidden has happened so far, and that no open page shows a traceback."""
        for page in self._context.pages:
            text = page.locator("body").inner_text()
            assert not [words for words in TRACEBACK_WORDS if words in text], text
            assert page.locator('[data-testid="stException"]').count() == 0, text
        assert not self.foreign_requests, self.foreign_requests
        assert not self.complaints, self.complaints

    def _watch_page(self, page: Page) -> None:
        page.on("websocket", lambda websocket: self._note_request(websocket.url))

    def _note_request(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in LOCAL_SCHEMES and parts.netloc != self._host:
            self.foreign_requests.append(url)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        url = message.location["url"]
        is_search = "404" in message.text and url.endswith(SEARCHED_PATHS)
        is_connection = any(words in message.text for words in CONNECTION_WORDS)
        if not is_search and not (self._server_may_be_gone and is_connection):
            self.complaints.append(f"{message.text} ({url})")
