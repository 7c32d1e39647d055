"""The cookie of a teacher's login: a route gives it to one browser, and a page takes a dead one away."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.server import teacher
from pages.server.identity import person_of, without_conditions
from pages.server.teacher import LOGIN_SECONDS, TEACHER_COOKIE, TEACHER_PAGE, is_teachers_request, token_of
from pages.server.tickets import Tickets

COME_IN_PATH = "/identity/teacher"

TICKETS: Tickets[bool] = Tickets()


def come_in_address(owner: str) -> str:
    """Return the address at which a browser becomes a teacher's, once and within a minute.

    Args:
        owner: Its identity; that somebody there has logged in was found out before.

    Raises:
        TransferLabError: If too many come at once.
    """
    return f"{COME_IN_PATH}?{urlencode({'ticket': TICKETS.give(owner, True)})}"


def come_in_route() -> Route:
    """Return the route for `come_in_address`: it gives the browser the cookie and leads to the teacher's page."""

    async def come_in(request: Request) -> Response:
        owner = person_of(request.headers)
        if owner is None or not TICKETS.use(request, owner):
            return PlainTextResponse("This login is over, or was not made for this browser. Log in once more.", 403)
        answer = RedirectResponse(f"../{TEACHER_PAGE}", 303, {"Cache-Control": "no-store"})
        if not is_teachers_request(owner, request.headers):  # its other tabs hold on to the login that there is
            token = teacher.TEACHERS.let_in(owner)
            answer.headers.append("set-cookie", _cookie(token, round(LOGIN_SECONDS), request.scope))
        return answer

    return Route(COME_IN_PATH, come_in)


class EndedLogins:
    """Take the cookie of a login that has ended away from the browser, with the next page that it loads."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and take the cookie away with the page that answers it."""
        token = token_of(Headers(scope=scope)) if scope["type"] == "http" else ""
        if not token or teacher.TEACHERS.knows(token):
            await self._app(scope, receive, send)
            return

        async def send_without_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", _cookie("", 0, scope))
            await send(message)

        await self._app(without_conditions(scope), receive, send_without_cookie)


def _cookie(token: str, seconds: int, scope: Scope) -> str:
    secure = "; Secure" if scope["scheme"] == "https" else ""
    return f"{TEACHER_COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
