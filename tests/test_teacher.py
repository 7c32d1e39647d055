"""The teacher's password and login: kept as a hash, slow to guess, and gone after a day."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.routing import Route

from pages.server import teacher, teacher_login
from pages.server.asgi import middleware, routes
from pages.server.guesses import FORGET_SECONDS, TURN_SECONDS, Guesser
from pages.server.teacher import (
    LOGIN_SECONDS,
    SIGN_IN_SECONDS,
    TEACHER_COOKIE,
    TEACHERS_VARIABLE,
    LoginError,
    Teachers,
    has_login,
    why_no_teacher,
)
from pages.server.teacher_login import come_in_address
from pages.server.thumbnails import thumbnail_address
from tests.asgi_request import request
from tests.coloured_pictures import coloured_dataset
from tests.page_tests import ROOT_DIR
from tests.set_clock import Clock
from tests.signing import cookie_of
from tlcore.errors import TransferLabError
from tlcore.home import DataRoot
from tlcore.setup import passwords
from tlcore.setup.passwords import TEACHER_VARIABLE, PasswordHash, hash_password, read_hash
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.projects import create_project

PASSWORD = "horse battery staple"
TEACHER, STUDENT, OTHER = "t" * 24, "s" * 24, "o" * 24
Answer = tuple[int, Headers, bytes]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def teachers(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Teachers:
    """A server with a password that is quick to check."""
    monkeypatch.setattr(passwords, "COST", 16)
    monkeypatch.setenv(TEACHER_VARIABLE, str(hash_password(PASSWORD)))
    return Teachers(clock, clock.wait)


def test_only_the_right_password_fits_what_is_kept() -> None:
    line = str(hash_password(PASSWORD))
    assert PASSWORD not in line
    assert not set(line) & set("$\"' \\&;#")
    kept = read_hash(line)
    assert (kept.cost, kept.block_size, kept.lanes) == (32768, 8, 3)
    assert kept.fits(PASSWORD)
    assert not kept.fits(PASSWORD + " ")
    assert not kept.fits("")
    assert str(hash_password(PASSWORD)) != line  # salted


def test_a_known_answer_of_scrypt_fits() -> None:
    # RFC 7914, section 12: password "pleaseletmein", salt "SodiumChloride", N 16384, r 8, p 1.
    digest = bytes.fromhex(
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
    )
    kept = PasswordHash(16384, 8, 1, b"SodiumChloride", digest)
    assert read_hash(str(kept)).fits("pleaseletmein")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "horse battery staple",
        "scrypt:32768:8:3:c2FsdA",
        "scrypt:1048576:32:3:c2FsdHNhbHRzYWx0:" + "A" * 43,  # 4 GB for a guess
        "scrypt:32767:8:3:c2FsdHNhbHRzYWx0:" + "A" * 43,
        "scrypt:32768:8:3:c2FsdHNhbHRzYWx0:AAAA",
        "md5:32768:8:3:c2FsdHNhbHRzYWx0:" + "A" * 43,
    ],
)
def test_what_is_no_hash_is_refused_in_words(line: str) -> None:
    with pytest.raises(TransferLabError, match="--teacher-password"):
        read_hash(line)


def test_a_short_password_is_refused() -> None:
    with pytest.raises(TransferLabError, match="at least 8"):
        hash_password("1234567")
    with pytest.raises(TransferLabError, match="at most"):
        hash_password("1" * 1001)


def test_the_command_asks_twice_and_prints_the_line_to_set() -> None:
    # On a terminal it asks without echo; without one, Python reads from the input and warns.
    def say(*lines: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "ignore", "app.py", "--teacher-password"]
        return subprocess.run(
            command,
            cwd=ROOT_DIR,
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            timeout=60,
            start_new_session=True,
            check=False,
        )

    done = say(PASSWORD, PASSWORD)
    (line,) = {word for word in done.stdout.split() if word.startswith(TEACHER_VARIABLE)}
    assert read_hash(line.partition("=")[2]).fits(PASSWORD)
    assert PASSWORD not in done.stdout
    other = say(PASSWORD, "another one")
    assert other.returncode == 1
    assert "not the same" in other.stderr
    assert TEACHER_VARIABLE not in other.stdout


def test_a_login_ends_after_twelve_hours_and_by_leaving(teachers: Teachers, clock: Clock) -> None:
    first, second = teachers.let_in("a"), teachers.let_in("b")
    assert teachers.is_in("a", first)
    assert teachers.is_in("b", second)
    assert not teachers.is_in("a", second)
    assert not teachers.is_in("c", "")
    teachers.log_out("b", second)
    assert not teachers.is_in("b", second)
    clock.now += LOGIN_SECONDS - 1
    assert teachers.is_in("a", first)
    clock.now += 1
    assert not teachers.is_in("a", first)
    assert not teachers.knows(first)


def test_a_new_server_knows_no_login(teachers: Teachers, clock: Clock) -> None:
    assert not Teachers(clock).knows(teachers.let_in("a"))


def test_two_browsers_of_one_identity_log_in_and_leave_each_by_itself(teachers: Teachers) -> None:
    first = teachers.let_in("a")
    assert not teachers.is_in("a", "")  # the other one, which has the identity by a code
    second = teachers.let_in("a")
    assert first != second
    teachers.log_out("a", first)
    assert [teachers.is_in("a", token) for token in (first, second)] == [False, True]


@pytest.fixture
def server(home: DataRoot, teachers: Teachers, monkeypatch: pytest.MonkeyPatch) -> Starlette:
    """What answers around the pages; in place of each page, one word."""
    monkeypatch.setattr(teacher, "TEACHERS", teachers)
    teacher_login.TICKETS.clear()
    open_database(home).dispose()
    page = Route("/", lambda _: HTMLResponse("page"))
    return Starlette(routes=[*routes(), page], middleware=list(middleware()))


def visit(server: Starlette, address: str, owner: str, token: str = "", site: str = "same-origin") -> Answer:
    """Follow an address as a browser that keeps an identity and, perhaps, the token of a login."""
    parts, cookies = urlsplit(address), f"{cookie_of(owner)}; {TEACHER_COOKIE}={token}"
    sent = [(b"cookie", cookies.encode()), (b"sec-fetch-site", site.encode())]
    return request(server, parts.path, sent, query=parts.query.encode())


def test_the_way_in_gives_one_browser_a_cookie_once(server: Starlette, teachers: Teachers) -> None:
    address = come_in_address(TEACHER)
    assert visit(server, address, STUDENT)[0] == 403  # somebody else who saw the address
    for site in ("cross-site", "same-site", "none"):
        assert visit(server, address, TEACHER, site=site)[0] == 403
    status, headers, _ = visit(server, address, TEACHER)
    assert (status, headers["location"], headers["cache-control"]) == (303, "../teacher", "no-store")
    cookie = SimpleCookie(headers["set-cookie"])[TEACHER_COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    assert teachers.is_in(TEACHER, cookie.value)
    assert not teachers.is_in(STUDENT, cookie.value)
    assert visit(server, address, TEACHER)[0] == 403
    again = visit(server, come_in_address(TEACHER), TEACHER, cookie.value)  # from a tab that was open before
    assert again[0] == 303
    assert "set-cookie" not in again[1]


def test_a_page_takes_the_cookie_of_an_ended_login_away(server: Starlette, teachers: Teachers) -> None:
    token = teachers.let_in(TEACHER)
    assert "set-cookie" not in visit(server, "/", TEACHER, token)[1]
    teachers.log_out(TEACHER, token)
    cookie = SimpleCookie(visit(server, "/", TEACHER, token)[1]["set-cookie"])[TEACHER_COOKIE]
    assert (cookie.value, cookie["max-age"], cookie["samesite"]) == ("", "0", "Strict")


def test_files_go_to_the_browser_of_the_login_and_not_to_another_with_its_identity(
    server: Starlette, teachers: Teachers, home: DataRoot
) -> None:
    engine = open_database(home)
    project = create_project(engine, STUDENT, "Mine")
    commit_version(engine, project.id, coloured_dataset(home, 2), "brought", parent=None, home=home)
    address, token = thumbnail_address(project.id, 1, 0), teachers.let_in(TEACHER)
    assert visit(server, address, TEACHER, token)[0] == 200
    assert [visit(server, address, TEACHER, other)[0] for other in ("", "guessed")] == [404, 404]
    assert visit(server, address, OTHER, token)[0] == 404  # a cookie that went to somebody else


def test_without_a_password_nobody_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TEACHER_VARIABLE, raising=False)
    monkeypatch.delenv(TEACHERS_VARIABLE, raising=False)
    assert not has_login()
    with pytest.raises(LoginError, match="No teacher's password"):
        Teachers().check_password(Guesser("a"), "")


def test_wrong_passwords_are_slowed(teachers: Teachers) -> None:
    for _ in range(2):
        with pytest.raises(LoginError, match="not the teacher's password"):
            teachers.check_password(Guesser("a"), "wrong")
    with pytest.raises(TransferLabError, match=r"Too many wrong passwords were tried here\. Wait 1 second"):
        teachers.check_password(Guesser("a"), PASSWORD)  # the right one waits too: otherwise guesses could go on


def test_a_script_that_guesses_does_not_keep_the_teacher_out(teachers: Teachers, clock: Clock) -> None:
    """Also where nobody knows the teacher's browser yet, after a restart, and it comes from another address."""
    for number in range(600):
        with pytest.raises(LoginError, match="not the teacher's password"):
            teachers.check_password(Guesser(f"browser {number}", "10.0.0.9"), "wrong")
    assert clock.now - 1000 >= (600 - 30) * TURN_SECONDS - FORGET_SECONDS
    for who in (Guesser("teacher", "10.0.0.9", is_known=True), Guesser("new", "10.0.0.7")):
        asked = clock.now
        teachers.check_password(who, PASSWORD)
        assert clock.now - asked <= TURN_SECONDS


def test_guesses_at_the_same_time_count_each(teachers: Teachers) -> None:
    def guess(_: int) -> str:
        try:
            teachers.check_password(Guesser("a"), "wrong")
        except TransferLabError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(guess, range(40)))
    assert sum("not the teacher's password" in one for one in said) == 2


def test_only_a_new_login_of_a_verified_mail_makes_a_teacher(
    teachers: Teachers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TEACHERS_VARIABLE, "Ada@School.example, other@school.example")
    claims = {"email": "ada@school.example", "email_verified": True}
    assert not teachers.sign_in("a", "new", claims)  # nobody asked for it: a login of before a restart
    teachers.await_sign_in("a", "old")
    assert not teachers.sign_in("a", "old", claims)
    assert not teachers.sign_in("b", "new", claims)
    assert not teachers.sign_in("a", "new", {**claims, "email_verified": False})
    assert teachers.sign_in("a", "new", claims)
    assert not teachers.sign_in("a", "new", claims)
    teachers.await_sign_in("a", "new")
    clock.now += SIGN_IN_SECONDS + 1
    assert not teachers.sign_in("a", "newer", claims)


ADA = {"email": "ada@school.example"}


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({**ADA, "email_verified": True}, ""),
        ({**ADA, "email": "ADA@School.example", "email_verified": True}, ""),
        ({**ADA, "xms_edov": True}, ""),
        ({**ADA, "xms_edov": 1}, ""),
        ({**ADA, "xms_edov": "1"}, ""),
        ({**ADA, "xms_edov": "true"}, ""),
        ({**ADA, "email_verified": True, "xms_edov": False}, ""),
        ({**ADA, "email_verified": False, "xms_edov": True}, "`email_verified` is not true"),
        ({**ADA, "email_verified": None, "xms_edov": True}, "`email_verified` is not true"),
        ({**ADA, "email_verified": "true"}, "`email_verified` is not true"),
        ({**ADA, "xms_edov": False}, "`xms_edov` is not true"),
        ({**ADA, "xms_edov": "0"}, "`xms_edov` is not true"),
        ({**ADA, "xms_edov": [True]}, "`xms_edov` is not true"),
        (ADA, "`email_verified` is missing, and so is `xms_edov`"),
        ({"preferred_username": "ada@school.example", "xms_edov": True}, "`email` is missing"),
        ({"email": ["ada@school.example"], "email_verified": True}, "`email` is missing"),
        ({"email": "eve@school.example", "email_verified": True}, "not among those that count"),
        ({"email": "eve@school.example", "xms_edov": True}, "not among those that count"),
    ],
)
def test_a_login_that_makes_nobody_a_teacher_says_which_claim_is_missing(
    teachers: Teachers, monkeypatch: pytest.MonkeyPatch, claims: dict[str, object], why: str
) -> None:
    monkeypatch.setenv(TEACHERS_VARIABLE, "Ada@School.example, other@school.example")
    said = why_no_teacher(claims)
    assert why in said
    assert bool(said) is bool(why)
    teachers.await_sign_in("a", "old")
    assert teachers.sign_in("a", "new", claims) is not bool(why)


def test_the_pages_ask_one_and_the_same_list() -> None:
    assert isinstance(teacher.TEACHERS, Teachers)
    assert not teacher.is_teacher("local")
