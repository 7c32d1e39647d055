"""Who is asking: an anonymous, signed identity per browser, and pictures that go to their owner alone."""

from __future__ import annotations

import re

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.server.private_streamlit import USER_COOKIE, may_see
from tlcore.home import DataRoot
from tlcore.storage.identities import read_identities

COOKIE_SECONDS = 365 * 24 * 3600

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
                    secure = "; Secure" if scope["scheme"] == "https" else ""
                    headers.append(
                        "set-cookie",
                        f"{USER_COOKIE}={given}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax{secure}",
                    )
            await send(message)

        if scope["type"] == "http":
            await self._app(without_conditions(scope), receive, send_with_cookie)
        else:
            await self._app(scope, receive, send)


class OwnMedia:
    """Give what Streamlit keeps for pages, such as pictures, to the browsers for whom it was drawn.

    Whoever has no identity of ours may bring no files either: their bodies would be read into memory first.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer as if nothing were there."""
        _, is_media, file = scope["path"].rpartition("/media/") if scope["type"] == "http" else ("", "", "")
        if is_media and "/static/" not in scope["path"] and not may_see(file, owner_of(Headers(scope=scope))):
            await PlainTextResponse("This file is not here.", 404)(scope, receive, send)
        elif _brings_file(scope) and owner_of(Headers(scope=scope)) is None:
            await PlainTextResponse("Reload the page and try again.", 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def cookie_of(headers: Headers) -> str:
    """Return our cookie as the browser brings it, empty without one."""
    # Not Python's own parser: it drops everything after one cookie of another program that it does not understand.
    return cookie_parser(headers.get("cookie", "")).get(USER_COOKIE, "")


def owner_of(headers: Headers) -> str | None:
    """Return the browser that asks, `None` when it carries no identity of ours."""
    return read_identities(DataRoot.configured()).owner_of(cookie_of(headers))


def without_conditions(scope: Scope) -> Scope:
    """Return the request without its "only if changed", since an unchanged page is answered without a type."""
    conditions = (b"if-none-match", b"if-modified-since")
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0].lower() not in conditions]}


def _brings_file(scope: Scope) -> bool:
    return scope["type"] == "http" and "/_stcore/upload_file/" in scope["path"]


def _with_cookie(scope: Scope, value: str) -> Scope:
    changed = {**scope, "headers": list(scope["headers"])}
    headers = MutableHeaders(scope=changed)
    headers["cookie"] = _OUR_COOKIE.sub(f" {USER_COOKIE}={value}", headers["cookie"]).strip()
    return changed
