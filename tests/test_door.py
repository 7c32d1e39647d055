"""The door: by which names the server answers, and which pages may ask it for something."""

from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send
from streamlit import config

from pages.server import door
from pages.server.asgi import welcome
from pages.server.door import FOREIGN_PAGE, Door, Hosts, said_addresses
from tests.asgi_request import request
from tlcore import network
from tlcore.network import HOSTS_VARIABLE, added_hosts, host_of, own_addresses, own_names


async def tell_host(called: object) -> Response:
    """Answer by whom the application thinks that it is called."""
    return PlainTextResponse(called.headers["host"])  # type: ignore[attr-defined]


def ask(hosts: Hosts, path: str = "/page", **headers: str) -> tuple[int, str]:
    """Ask through the door; return status and words of the answer. Names of headers have `_` for `-`."""
    server = Door(Starlette(routes=[Route("/{path:path}", tell_host)]), hosts)
    sent = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    status, _, body = request(server, path, sent)
    return status, body.decode()


def connect(hosts: Hosts, **headers: str) -> tuple[str, float]:
    """Open a WebSocket through the door; return whether it comes `in`, or what it is told."""
    reached, sent = [], []

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "path": "/_stcore/stream", "headers": pairs}
    asyncio.run(Door(inside, hosts)(scope, receive, send))
    return "in" if reached else sent[0]["type"], len(sent)


ALONE = Hosts()
TO_CLASS = Hosts(["lab.school.example", "*.class.example"], to_network=True)


@pytest.mark.parametrize("host", ["localhost:8501", "127.0.0.1:8501", "[::1]:8501", "LocalHost", "localhost."])
def test_a_server_for_one_answers_by_the_names_of_this_machine_alone(host: str) -> None:
    assert ask(ALONE, host=host) == (200, host)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8501", "localhost.evil.example", "localhost@evil.example"]
)
def test_a_name_that_another_site_lets_point_here_is_refused(host: str) -> None:
    for hosts in (ALONE, TO_CLASS):
        status, words = ask(hosts, host=host, origin=f"http://{host}")
        assert status == 403
        assert "was refused" in words or "--host" in words
        assert connect(hosts, host=host, origin=f"http://{host}")[0] == "websocket.close"


def test_a_wrong_name_is_told_what_to_do() -> None:
    assert "start it with --host lab.other.example" in ask(TO_CLASS, host="lab.other.example:8501")[1]


def test_no_name_and_two_names_are_refused() -> None:
    server = Door(Starlette(routes=[Route("/{path:path}", tell_host)]), ALONE)
    two = [(b"host", b"localhost"), (b"host", b"evil.example")]
    assert request(server, "/page", two)[0] == 403
    assert ask(ALONE, host="")[0] == 403


def test_a_server_for_a_network_answers_by_its_names_and_addresses_and_what_was_added() -> None:
    for name in (*own_names(), *own_addresses(), "lab.school.example", "one.class.example"):
        host = f"[{name}]:8501" if ":" in name else f"{name}:8501"
        assert ask(TO_CLASS, host=host, origin=f"http://{host}") == (200, host)
    assert ask(TO_CLASS, host="class.example")[0] == 403
    assert {ask(ALONE, host=name)[0] for name in own_names()} <= {403}


def test_an_address_that_the_machine_got_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts(to_network=True)
    assert ask(hosts, host="198.51.100.7")[0] == 403
    monkeypatch.setattr(door, "own_addresses", lambda: ("198.51.100.7",))
    assert ask(hosts, host="198.51.100.7")[0] == 403  # it does not look at every request
    monkeypatch.setattr(door, "LOOK_AGAIN_SECONDS", 0.0)
    assert ask(hosts, host="198.51.100.7")[0] == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://localhost:3000", "null", "https://lab.school.example:444", "file://"]
)
def test_what_a_page_of_another_site_asks_is_refused_before_streamlit_sees_it(origin: str) -> None:
    for hosts in (ALONE, Hosts(["*"], to_network=True)):
        assert ask(hosts, host="localhost:8501", origin=origin) == (403, FOREIGN_PAGE)
        assert connect(hosts, host="localhost:8501", origin=origin) == ("websocket.close", 1)


def test_a_page_of_ours_comes_in() -> None:
    assert connect(ALONE, host="localhost:8501", origin="http://localhost:8501") == ("in", 0)
    assert ask(ALONE, host="localhost", origin="http://localhost:80") == (200, "localhost")


def test_behind_a_proxy_streamlit_is_told_the_name_that_the_browser_called() -> None:
    page = "https://lab.school.example"
    told = ask(TO_CLASS, host="127.0.0.1:8501", origin=page, x_forwarded_host="lab.school.example")
    assert told == (200, "lab.school.example")
    assert ask(TO_CLASS, host="127.0.0.1:8501", origin=page) == (200, "lab.school.example")
    foreign = "https://evil.example"
    assert ask(TO_CLASS, host="127.0.0.1:8501", origin=foreign, x_forwarded_host="evil.example")[0] == 403
    assert ask(TO_CLASS, host="lab.school.example:8501", origin="http://lab.school.example:3000")[0] == 403


@pytest.mark.parametrize("path", ["metrics", "agent/openapi.json", "agent/mcp", "script-health-check", "../metrics"])
def test_what_no_page_needs_is_not_there(path: str) -> None:
    assert ask(ALONE, f"/_stcore/{path}")[0] == 404
    assert ask(ALONE, f"/base/_stcore/{path}")[0] == 404


@pytest.mark.parametrize("path", ["health", "host-config", "stream", "upload_file/a/b", "bidi-components/a"])
def test_what_pages_need_is_there(path: str) -> None:
    assert ask(ALONE, f"/_stcore/{path}")[0] == 200


def test_names_are_compared_in_one_form() -> None:
    assert host_of("LAB.local.:8501") == "lab.local"
    assert host_of("[0:0::1]:8501") == "::1"
    assert [host_of(wrong) for wrong in ("a b", "a/b", "u@a", "[::1", "a:b", "a;b", "")] == [None] * 7


def test_what_a_person_adds_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOSTS_VARIABLE, "Lab.local, 10.0.0.7  *.school.example")
    assert added_hosts() == ("lab.local", "10.0.0.7", "*.school.example")


def test_own_names_are_found_without_asking_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.socket, "gethostname", lambda: "Teacher.school.example")
    monkeypatch.setattr(network.socket, "getaddrinfo", lambda *_: pytest.fail("asked a name server"))
    assert own_names() == ("teacher.local", "teacher", "teacher.school.example")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Settings of Streamlit for this test."""
    chosen: dict[str, object] = {"server.address": "0.0.0.0", "server.port": 8501, "server.allowedHosts": ["localhost"]}
    monkeypatch.setattr(config, "get_option", chosen.get)
    monkeypatch.setattr(door, "own_addresses", lambda: ("192.168.1.5", "169.254.3.3", "fe80::1"))
    monkeypatch.setattr(door, "own_names", lambda: ("teacher.local", "teacher"))
    return chosen


def test_the_start_says_where_the_app_is(settings: dict[str, object]) -> None:
    others = ["http://192.168.1.5:8501", "http://teacher.local:8501"]
    assert said_addresses() == ["http://localhost:8501", *others]
    assert all(address in welcome() for address in others)
    assert "whatever name" not in welcome()
    settings |= {"server.sslCertFile": "certificate.pem", "server.port": 443}
    assert said_addresses()[1] == "https://192.168.1.5"
    settings["server.address"] = "10.0.0.7"
    assert said_addresses() == ["https://10.0.0.7"]
    settings |= {"server.address": "127.0.0.1", "server.sslCertFile": None}
    assert said_addresses() == ["http://localhost:443"]
    assert "--host" not in welcome()


def test_whoever_turns_the_check_off_is_told_what_it_means(settings: dict[str, object]) -> None:
    settings["server.allowedHosts"] = ["*"]
    assert ask(Hosts.configured(), host="whatever.example")[0] == 200
    assert "whatever name" in welcome()


def test_the_settings_decide_by_which_names_it_answers(settings: dict[str, object]) -> None:
    settings["server.allowedHosts"] = ["localhost", "lab.school.example"]
    hosts = Hosts.configured()
    assert {ask(hosts, host=host)[0] for host in ("lab.school.example", "teacher.local:8501", "192.168.1.5")} == {200}
    settings["server.address"] = "127.0.0.1"
    assert ask(Hosts.configured(), host="teacher.local")[0] == 403
    settings["server.address"] = "10.0.0.7"
    assert ask(Hosts.configured(), host="10.0.0.7")[0] == 200
