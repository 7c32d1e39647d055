"""Who is asking: an anonymous, signed identity per browser, and pictures that go to their owner alone."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlencode

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.server.private_streamlit import USER_COOKIE, may_bring, may_see, most_upload_bytes
from pages.server.teacher import TEACHERS, token_of
from pages.server.tickets import Tickets
from tlcore.errors import StorageError
from tlcore.home import DataRoot, without_places
from tlcore.storage.admission import is_admitted
from tlcore.storage.database import open_database
from tlcore.storage.identities import read_identities
from tlcore.storage.people import bring_along

COOKIE_SECONDS = 365 * 24 * 3600

TAKE_PATH = "/identity/take"

_OUR_COOKIE = re.compile(rf"(?:^|(?<=;))\s*{USER_COOKIE}=[^;]*")


class UserCookie:
    """Give every browser an anonymous identity: one random signed cookie that scripts cannot read.

    Only answers that are web pages set it, so that the first pictures and scripts of a page do not race for it.
    Pages read it with `st.context.cookies`; they see a signed one even where the browser comes from before there were
    signatures and gets its own with this page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and set the cookie on the page that answers it where it is missing."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        identities, value = read_identities(DataRoot.configured()), cookie_of(Headers(scope=scope))
        if identities.is_signed(value):
            if identities.is_awaited(value):
                await run_in_threadpool(identities.note_return, value)
            await self._app(scope, receive, send)
            return
        owner = identities.owner_of(value)
        given = identities.new() if owner is None else identities.signed(owner)
        if owner is not None:
            scope = _with_cookie(scope, given)

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", _cookie(given, scope))
            await send(message)

        if scope["type"] == "http":
            await self._app(without_conditions(scope), receive, send_with_cookie)
        else:
            await self._app(scope, receive, send)


class OwnMedia:
    """Give what Streamlit keeps for pages, such as pictures, to the browsers for whom it was drawn.

    For whoever has not said the class code yet, only the page that asks for it was drawn.
    Nobody may bring a file that no page of theirs has asked for: its body would be read into memory first, and stay.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer as if nothing were there."""
        _, is_media, file = scope["path"].rpartition("/media/") if scope["type"] == "http" else ("", "", "")
        if is_media and "/static/" not in scope["path"] and not may_see(file, person_of(Headers(scope=scope))):
            await PlainTextResponse("This file is not here.", 404)(scope, receive, send)
        elif refused := _refused_file(scope):
            await refused(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def cookie_of(headers: Headers) -> str:
    """Return our cookie as the browser brings it, empty without one."""
    # Not Python's own parser: it drops everything after one cookie of another program that it does not understand.
    return cookie_parser(headers.get("cookie", "")).get(USER_COOKIE, "")


def owner_of(headers: Headers) -> str | None:
    """Return the browser that asks, `None` when it carries no identity of ours, or has not said the class code yet.

    What is answered without a page goes to nobody else: every route asks this.
    """
    home, owner = DataRoot.configured(), person_of(headers)
    if owner is None or not home.database_path.is_file():  # where no code can be set, and nothing is to be had
        return owner
    try:
        return owner if is_admitted(_engine(home), owner) else None
    except StorageError:
        return None


def person_of(headers: Headers) -> str | None:
    """Return the browser that asks, also before it has said the class code; `None` without an identity of ours."""
    return read_identities(DataRoot.configured()).owner_of(cookie_of(headers))


@lru_cache(maxsize=4)
def _engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


def without_conditions(scope: Scope) -> Scope:
    """Return the request without its "only if changed", since an unchanged page is answered without a type."""
    conditions = (b"if-none-match", b"if-modified-since")
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0].lower() not in conditions]}


@dataclass(frozen=True, slots=True)
class Change:
    """How a browser becomes somebody else.

    Attributes:
        to: Who it becomes.
        brings: Whether what it has comes along.
    """

    to: str
    brings: bool


TICKETS: Tickets[Change] = Tickets()

_left: dict[str, float] = {}
_lock = threading.Lock()


def take_address(owner: str, to: str, *, brings: bool) -> str:
    """Return the address at which a browser becomes somebody else, once and within a minute.

    Args:
        owner: Who the browser is now.
        to: Who it becomes; that it may was decided before.
        brings: Whether what it has comes along.
    """
    return f"{TAKE_PATH}?{urlencode({'ticket': TICKETS.give(owner, Change(to, brings))})}"


def left_since(owner: str, began: float) -> bool:
    """Whether a browser of this identity became somebody else after a page began: the page may be one of its tabs.

    Args:
        owner: Whom the page is for.
        began: When, by the monotonic clock.
    """
    return _left.get(owner, float("-inf")) >= began


def take_route() -> Route:
    """Return the route for `take_address`: it gives the browser another cookie and leads to Home."""

    # Not `async`: Starlette then runs it in a thread, where the database may wait.
    def take(request: Request) -> Response:
        home = DataRoot.configured()
        owner = person_of(request.headers)
        change = TICKETS.use(request, owner)
        if owner is None or change is None:
            return PlainTextResponse(
                "This way to another identity is over, or was not made for this browser; nothing was changed. Go back "
                "to Transfer Lab and enter the code once more.",
                403,
            )
        if change.brings:
            try:
                bring_along(_engine(home), owner, change.to)
            except StorageError as error:
                return PlainTextResponse(without_places(str(error)), 507)
        with _lock:
            _left[owner] = time.monotonic()
        TEACHERS.log_out(owner, token_of(request.headers))  # whoever this browser is from now on logs in anew
        answer = RedirectResponse("../", 303, {"Cache-Control": "no-store"})
        answer.headers.append("set-cookie", _cookie(read_identities(home).signed(change.to), request.scope))
        return answer

    return Route(TAKE_PATH, take)


def _cookie(value: str, scope: Scope) -> str:
    secure = "; Secure" if scope["scheme"] == "https" else ""
    return f"{USER_COOKIE}={value}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax{secure}"


def _refused_file(scope: Scope) -> Response | None:
    """Return why Streamlit shall not read the file that a request brings; `None` where it brings none, or may."""
    _, is_file, place = scope["path"].rpartition("/_stcore/upload_file/") if scope["type"] == "http" else ("", "", "")
    if not is_file:
        return None
    headers, owner = Headers(scope=scope), owner_of(Headers(scope=scope))
    session, _, file = place.partition("/")
    if owner is None or (scope["method"] == "PUT" and not may_bring(session, file, owner)):
        return PlainTextResponse("Reload the page and try again.", 403, _CLOSE)
    if scope["method"] != "PUT":
        return None
    length = headers.get("content-length", "")
    if not length.isdecimal():
        return PlainTextResponse("How long the file is must be said before it comes.", 411, _CLOSE)
    if int(length) > most_upload_bytes():
        return PlainTextResponse("This file is too large.", 413, _CLOSE)
    return None


_CLOSE = {"Connection": "close"}
"""Whoever goes on sending sends to nobody."""


def _with_cookie(scope: Scope, value: str) -> Scope:
    changed = {**scope, "headers": list(scope["headers"])}
    headers = MutableHeaders(scope=changed)
    headers["cookie"] = _OUR_COOKIE.sub(f" {USER_COOKIE}={value}", headers["cookie"]).strip()
    return changed
