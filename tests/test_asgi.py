"""What the web server adds around the pages: an identity per browser, safe headers."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Sequence
from http.cookies import SimpleCookie
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from pages.components import state
from pages.server import private_asyncio
from pages.server.asgi import USER_COOKIE, content_policy, is_user, middleware
from tests.asgi_request import request
from tests.page_tests import ROOT_DIR
from tlcore.errors import NotFoundError


async def page(_request: object) -> Response:
    """Answer as a page does."""
    return HTMLResponse("<p>page</p>")


async def data(_request: object) -> Response:
    """Answer as a script's request is answered."""
    return JSONResponse({})


def ask(path: str, headers: Sequence[tuple[bytes, bytes]] = (), scheme: str = "http") -> Headers:
    """Send one request through the middleware and return the headers of its answer."""
    server = Starlette(routes=[Route("/page", page), Route("/data", data)], middleware=list(middleware()))
    return request(server, path, headers, scheme)[1]


def test_a_new_browser_gets_an_unguessable_identity_that_scripts_cannot_read() -> None:
    cookies = [SimpleCookie(ask("/page")["set-cookie"])[USER_COOKIE] for _ in range(3)]
    assert all(is_user(cookie.value) for cookie in cookies)
    assert len({cookie.value for cookie in cookies}) == 3
    assert all(cookie["httponly"] and cookie["samesite"] == "Lax" and not cookie["secure"] for cookie in cookies)


def test_over_https_the_identity_stays_on_https() -> None:
    assert SimpleCookie(ask("/page", scheme="https")["set-cookie"])[USER_COOKIE]["secure"]


def test_a_known_browser_keeps_its_identity() -> None:
    given = SimpleCookie(ask("/page")["set-cookie"])[USER_COOKIE].value
    assert "set-cookie" not in ask("/page", [(b"cookie", f"a=b; {USER_COOKIE}={given}".encode())])


@pytest.mark.parametrize("other", ['foo={"a":1}', "foo=bar baz", "flag", "version=2", "path=/", "x=\xe9"])
def test_a_cookie_of_another_program_in_front_hides_nobody(other: str) -> None:
    given = SimpleCookie(ask("/page")["set-cookie"])[USER_COOKIE].value
    assert "set-cookie" not in ask("/page", [(b"cookie", f"{other}; {USER_COOKIE}={given}".encode("latin-1"))])


@pytest.mark.parametrize("cookies", [{}, {USER_COOKIE: "local"}])
def test_browsers_without_a_cookie_are_not_one_person(monkeypatch: pytest.MonkeyPatch, cookies: dict[str, str]) -> None:
    browser = SimpleNamespace(cookies=cookies, headers={"Host": "localhost"})
    monkeypatch.setattr(state, "st", SimpleNamespace(context=browser))
    with pytest.raises(NotFoundError, match="Allow cookies for this address"):
        state.read_owner()
    browser.cookies = {USER_COOKIE: "o" * 24}
    assert state.read_owner() == "o" * 24


@pytest.mark.parametrize("value", ["", "anon", "../../etc/passwd", "x" * 500])
def test_an_identity_that_was_not_given_out_is_replaced(value: str) -> None:
    assert "set-cookie" in ask("/page", [(b"cookie", f"{USER_COOKIE}={value}".encode())])


def test_only_pages_give_an_identity() -> None:
    assert "set-cookie" not in ask("/data")


@pytest.mark.parametrize("path", ["/page", "/data"])
def test_every_answer_carries_safe_headers(path: str) -> None:
    headers = ask(path)
    assert headers["x-content-type-options"] == "nosniff"
    assert "camera=(self)" in headers["permissions-policy"]
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_a_page_may_load_from_and_talk_to_this_server_alone() -> None:
    rules = dict(rule.split(" ", 1) for rule in ask("/page")["content-security-policy"].split("; "))
    assert rules["frame-ancestors"] == rules["default-src"] == "'self'"
    assert rules["object-src"] == "'none'"
    assert "'unsafe-" not in rules["script-src"]
    places = {place for sources in rules.values() for place in sources.split() if not place.startswith("'")}
    assert places <= {"data:", "blob:", "ws://localhost:8501", "wss://localhost:8501"}


def test_no_host_can_write_into_the_rules() -> None:
    rules = ask("/page", [(b"host", b"localhost; script-src *")])["content-security-policy"]
    assert rules == content_policy("")


def test_small_answers_do_not_wait_for_more() -> None:
    # As Streamlit binds it: without the name of the protocol, which asyncio asks for.
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))

    async def connect() -> int:
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()

        class Answer(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                ours = transport.get_extra_info("socket")
                accepted.set_result(ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        private_asyncio.patch(loop)
        async with await loop.create_server(Answer, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            no_delay = await accepted
            writer.close()
            return int(no_delay)

    assert asyncio.run(connect())


def test_pandas_is_whole_before_the_first_visitor_comes() -> None:
    program = (
        "import sys\nfrom pages.server.asgi import warm_up\nwarm_up()\n"
        "print(hasattr(sys.modules.get('pandas'), 'Series'))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT_DIR, capture_output=True, text=True, timeout=300)
    assert done.stdout.split()[-1:] == ["True"], done.stderr
