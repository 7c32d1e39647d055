"""What the web server adds around the pages: an identity per browser, safe headers."""

import asyncio
import json
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Sequence
from http.cookies import Morsel, SimpleCookie
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from pages.components import state
from pages.server import private_asyncio
from pages.server.asgi import content_policy, middleware
from pages.server.private_streamlit import USER_COOKIE
from tests.asgi_request import request
from tests.page_tests import ROOT_DIR
from tests.signing import signed
from tlcore.errors import NotFoundError, StorageError
from tlcore.home import DataRoot
from tlcore.storage import identities
from tlcore.storage.database import open_database
from tlcore.storage.identities import EarlierOwners, Identities, read_identities
from tlcore.storage.projects import create_project


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


pytestmark = pytest.mark.usefixtures("home")


def given(headers: Headers) -> Morsel[str]:
    """The identity that an answer gives."""
    return SimpleCookie(headers["set-cookie"])[USER_COOKIE]


def seen(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Who a page takes the browser for that sends these headers."""
    server = Starlette(routes=[Route("/who", who)], middleware=list(middleware()))
    return json.loads(request(server, "/who", headers)[2])  # type: ignore[no-any-return]


async def who(asked: Request) -> Response:
    """Answer with whom a page sees, as it finds out itself."""
    return JSONResponse(read_identities(DataRoot.configured()).owner_of(asked.cookies.get(USER_COOKIE, "")))


def brought(value: str) -> list[tuple[bytes, bytes]]:
    """The headers of a browser that keeps this identity."""
    return [(b"cookie", f"{USER_COOKIE}={value}".encode("latin-1"))]


def test_a_new_browser_gets_an_unguessable_identity_that_scripts_cannot_read() -> None:
    cookies = [given(ask("/page")) for _ in range(3)]
    assert len({cookie.value.partition(".")[0] for cookie in cookies}) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{24}\.[A-Za-z0-9_-]{43}", cookie.value) for cookie in cookies)
    assert all(cookie["httponly"] and cookie["samesite"] == "Lax" and not cookie["secure"] for cookie in cookies)


def test_over_https_the_identity_stays_on_https() -> None:
    assert given(ask("/page", scheme="https"))["secure"]


def test_a_known_browser_keeps_its_identity() -> None:
    value = given(ask("/page")).value
    assert "set-cookie" not in ask("/page", [(b"cookie", f"a=b; {USER_COOKIE}={value}".encode())])
    assert seen(brought(value)) == value.partition(".")[0]


@pytest.mark.parametrize("other", ['foo={"a":1}', "foo=bar baz", "flag", "version=2", "path=/", "x=\xe9"])
def test_a_cookie_of_another_program_in_front_hides_nobody(other: str) -> None:
    value = given(ask("/page")).value
    assert "set-cookie" not in ask("/page", [(b"cookie", f"{other}; {USER_COOKIE}={value}".encode("latin-1"))])


@pytest.mark.parametrize("value", [None, "local", "o" * 24, "o" * 24 + "." + "A" * 43])
def test_browsers_without_a_cookie_of_ours_are_not_one_person(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    cookies = {} if value is None else {USER_COOKIE: value}
    browser = SimpleNamespace(cookies=cookies, headers={"Host": "localhost"})
    monkeypatch.setattr(state, "st", SimpleNamespace(context=browser))
    with pytest.raises(NotFoundError, match="Allow cookies for this address"):
        state.read_owner()
    browser.cookies = {USER_COOKIE: signed("o" * 24)}
    assert state.read_owner() == "o" * 24


@pytest.mark.parametrize(
    "value", ["", "anon", "../../etc/passwd", "x" * 500, "o" * 24, "o" * 24 + ".", "\xe9" * 24 + ".\xe9"]
)
def test_an_identity_that_was_not_given_out_is_replaced(value: str) -> None:
    headers = brought(value)
    assert given(ask("/page", headers)).value.partition(".")[0] != value.partition(".")[0]
    assert seen(headers) is None


def test_nobody_is_somebody_else_by_another_signature(home: DataRoot) -> None:
    mine, other = (given(ask("/page")).value.split(".") for _ in range(2))
    assert seen(brought(f"{mine[0]}.{other[1]}")) is None
    stolen = Identities(bytes(32), EarlierOwners("", ()), home).signed(mine[0])
    assert seen(brought(stolen)) is None


def test_a_browser_from_before_there_were_signatures_is_taken_over_once(home: DataRoot) -> None:
    owner, stranger = "o" * 24, "p" * 24
    create_project(open_database(home), owner, "From before")
    old = brought(owner)
    assert seen(old) == owner  # as a tab does that was open
    new = given(ask("/page", old)).value
    assert new == signed(owner)
    assert given(ask("/page", old)).value == new  # the answer may be lost on its way
    create_project(open_database(home), stranger, "From after")
    assert seen(brought(stranger)) is None
    assert seen(brought(new)) == owner
    assert seen(old) is None  # whoever learns the old cookie from now on is nobody
    assert given(ask("/page", old)).value.partition(".")[0] != owner
    read_identities.cache_clear()  # the server starts anew
    assert (seen(old), seen(brought(new))) == (None, owner)


def test_nobody_is_taken_over_for_ever(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "TAKE_OVER_DAYS", -1)
    create_project(open_database(home), "o" * 24, "From before")
    assert seen(brought("o" * 24)) is None


def test_a_lost_secret_loses_nobody(home: DataRoot) -> None:
    value = given(ask("/page")).value
    owner = value.partition(".")[0]
    create_project(open_database(home), owner, "Mine")
    home.secret_path.unlink()
    read_identities.cache_clear()
    assert seen(brought(value)) == owner
    new = given(ask("/page", brought(value))).value
    assert new not in (value, owner)
    assert seen(brought(new)) == owner
    assert seen(brought(value)) is None


def test_a_secret_that_cannot_be_kept_is_good_until_the_server_ends(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(identities, "write_atomically", refuse)
    value = given(ask("/page")).value
    assert seen(brought(value)) == value.partition(".")[0]
    assert not home.secret_path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="accounts are kept apart in another way")
def test_the_secret_is_for_this_account_alone(home: DataRoot) -> None:
    given(ask("/page"))
    assert stat.S_IMODE(home.secret_path.stat().st_mode) == 0o600
    home.secret_path.chmod(0o644)
    read_identities.cache_clear()
    given(ask("/page"))
    assert stat.S_IMODE(home.secret_path.stat().st_mode) == 0o600


def test_files_of_streamlit_come_from_nobody_unknown() -> None:
    server = Starlette(routes=[Route("/{path:path}", data, methods=["PUT"])], middleware=list(middleware()))
    address = "/_stcore/upload_file/session/file"
    assert request(server, address, method="PUT", body=b"x")[0] == 403
    assert request(server, address, brought(signed("o" * 24)), method="PUT", body=b"x")[0] == 403  # no page asked


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
    assert "'unsafe-inline'" not in rules["script-src"]
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
