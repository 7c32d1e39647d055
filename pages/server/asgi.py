"""What the web server does around the pages: who is asking, safe headers, routes of its own."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import re
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from PIL import Image
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import cookie_parser
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import pages.components
from pages.server import private_asyncio, private_streamlit
from pages.server.downloads import answers_route, download_route
from pages.server.frontend_files import FrontendFiles
from pages.server.plotly_script import plotly_route
from pages.server.thumbnails import thumbnail_route
from pages.server.uploads import upload_routes
from tlcore.errors import StorageError
from tlcore.home import DataRoot
from tlcore.jobs.control import ensure_runner
from tlcore.storage.database import open_database
from tlcore.storage.jobs import ACTIVE_STATES, list_jobs
from tlcore.storage.staging import remove_abandoned

USER_COOKIE = "lab_user"
USER_BYTES = 18
"""Random bytes of an identity: 144 bits, 24 characters in the cookie."""

COOKIE_SECONDS = 365 * 24 * 3600


class UserCookie:
    """Give every browser an anonymous identity: one random cookie that scripts cannot read.

    Only answers that are web pages set it, so that the first pictures and scripts of a page do not race for it.
    Pages read it with `st.context.cookies`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and set the cookie on the page that answers it."""
        if scope["type"] != "http" or owner_of(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    secure = "; Secure" if scope["scheme"] == "https" else ""
                    headers.append(
                        "set-cookie",
                        f"{USER_COOKIE}={secrets.token_urlsafe(USER_BYTES)}; Path=/; Max-Age={COOKIE_SECONDS}; "
                        f"HttpOnly; SameSite=Lax{secure}",
                    )
            await send(message)

        await self._app(without_conditions(scope), receive, send_with_cookie)


class SafeHeaders:
    """Tell browsers to trust declared types only, to keep addresses to themselves, and who may use the camera.

    Addresses hold project ids. The camera is lent to this app's own pages only.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add the headers to its answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                headers.setdefault("Permissions-Policy", "camera=(self), microphone=(), geolocation=()")
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def is_user(value: str) -> bool:
    """Whether a cookie's value has the shape of an identity that this server gave out."""
    return re.fullmatch(r"[A-Za-z0-9_-]{24}", value) is not None


def owner_of(headers: Headers) -> str | None:
    """Return the browser that asks, `None` when it carries no identity of ours."""
    # Not Python's own parser: it drops everything after one cookie of another program that it does not understand.
    value = cookie_parser(headers.get("cookie", "")).get(USER_COOKIE, "")
    return value if is_user(value) else None


def without_conditions(scope: Scope) -> Scope:
    """Return the request without its "only if changed", since an unchanged page is answered without a type."""
    conditions = (b"if-none-match", b"if-modified-since")
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0].lower() not in conditions]}


def routes() -> Sequence[BaseRoute]:
    """Return the addresses that are answered without a page."""
    answered_by_files = [plotly_route(), download_route(owner_of), answers_route(owner_of), thumbnail_route(owner_of)]
    return [*answered_by_files, *upload_routes(owner_of)]


def middleware() -> Sequence[Middleware]:
    """Return what every request passes through, outermost first."""
    return [Middleware(SafeHeaders), Middleware(UserCookie), Middleware(FrontendFiles)]


def warm_up() -> None:
    """Import what the pages import, which would otherwise cost the first visitor of each page up to a second."""
    # Plotly asks of each value whether it is a table, by whatever pandas is at that moment: a chart that is drawn while
    # another visitor's first table still imports pandas would fail.
    importlib.import_module("pandas")
    for module in pkgutil.walk_packages(pages.components.__path__, "pages.components."):
        importlib.import_module(module.name)
    Image.preinit()  # Pillow would look for its file formats at the first picture


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any] | None]:
    """Surround the life of the web server: get ready for the first visitor, and look after unfinished jobs."""
    private_streamlit.check()
    warm_up()
    private_asyncio.patch(asyncio.get_running_loop())
    home = DataRoot.configured()
    try:
        engine = open_database(home)
        if list_jobs(engine, states=ACTIVE_STATES):
            ensure_runner(home)
        remove_abandoned(engine, home)
        engine.dispose()
    except StorageError as error:  # every page says the same, and works as soon as it is mended
        print(error, file=sys.stderr, flush=True)
    yield None
