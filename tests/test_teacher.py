"""The teacher's password and login: kept as a hash, slow to guess, and gone after a day."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from pages.server import teacher
from pages.server.teacher import (
    FORGET_SECONDS,
    LOGIN_SECONDS,
    SIGN_IN_SECONDS,
    TEACHERS_VARIABLE,
    LoginError,
    Teachers,
    has_login,
)
from tests.page_tests import ROOT_DIR
from tlcore.errors import TransferLabError
from tlcore.setup import passwords
from tlcore.setup.passwords import TEACHER_VARIABLE, PasswordHash, hash_password, read_hash

PASSWORD = "horse battery staple"


class Clock:
    """Seconds that a test lets go by."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def teachers(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Teachers:
    """A server with a password that is quick to check."""
    monkeypatch.setattr(passwords, "COST", 16)
    monkeypatch.setenv(TEACHER_VARIABLE, str(hash_password(PASSWORD)))
    return Teachers(clock)


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
    teachers.log_in("a", PASSWORD)
    teachers.log_in("b", PASSWORD)
    assert "a" in teachers
    assert "b" in teachers
    assert "c" not in teachers
    teachers.log_out("b")
    assert "b" not in teachers
    clock.now += LOGIN_SECONDS - 1
    assert "a" in teachers
    clock.now += 1
    assert "a" not in teachers


def test_a_new_server_knows_no_login(teachers: Teachers, clock: Clock) -> None:
    teachers.log_in("a", PASSWORD)
    assert "a" not in Teachers(clock)


def test_without_a_password_nobody_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TEACHER_VARIABLE, raising=False)
    monkeypatch.delenv(TEACHERS_VARIABLE, raising=False)
    assert not has_login()
    with pytest.raises(LoginError, match="No teacher's password"):
        Teachers().log_in("a", "")


def test_a_browser_that_guesses_waits_twice_as_long_each_time(teachers: Teachers, clock: Clock) -> None:
    waits = []
    for _ in range(10):
        waited = 0
        while True:
            try:
                teachers.log_in("a", "wrong")
            except LoginError as error:
                if "not the teacher's password" in str(error):
                    break
            clock.now += 1
            waited += 1
        waits.append(waited)
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]
    with pytest.raises(LoginError, match=r"Wait 60 s"):
        teachers.log_in("a", PASSWORD)  # the right one waits too: otherwise guesses could go on
    clock.now += FORGET_SECONDS
    teachers.log_in("a", PASSWORD)
    assert "a" in teachers


def test_a_new_cookie_for_each_guess_helps_little(teachers: Teachers, clock: Clock) -> None:
    teachers.log_in("teacher", PASSWORD)
    teachers.log_out("teacher")
    checked = 0
    for number in range(600):
        with pytest.raises(LoginError) as caught:
            teachers.log_in(f"browser {number}", "wrong")
        checked += "not the teacher's password" in str(caught.value)
        clock.now += 0.1
    assert checked <= 10 + 60 / 3  # a minute
    teachers.log_in("teacher", PASSWORD)  # who was in before is not kept out by them
    assert "teacher" in teachers


def test_guesses_at_the_same_time_count_each(teachers: Teachers) -> None:
    def guess(_: int) -> str:
        try:
            teachers.log_in("a", "wrong")
        except LoginError as error:
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
    assert not teachers.sign_in("a", "new", {**claims, "email_verified": "true"})
    assert not teachers.sign_in("a", "new", {"email": "ada@school.example"})
    assert not teachers.sign_in("a", "new", {**claims, "email": "eve@school.example"})
    assert "a" not in teachers
    assert teachers.sign_in("a", "new", claims)
    assert "a" in teachers
    teachers.log_out("a")
    assert not teachers.sign_in("a", "new", claims)
    teachers.await_sign_in("a", "new")
    clock.now += SIGN_IN_SECONDS + 1
    assert not teachers.sign_in("a", "newer", claims)


def test_the_pages_ask_one_and_the_same_list() -> None:
    assert isinstance(teacher.TEACHERS, Teachers)
    assert not teacher.is_teacher("local")
