"""Who is a teacher: whoever has said the password, or has signed in with one of the addresses that count.

A login is kept in the memory of this server alone, for one browser and a school day: a restart ends it. The browser
keeps a second cookie for it, beside its identity, which a code carries to other browsers: both are asked for each time.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import streamlit as st
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from tlcore.errors import TransferLabError
from tlcore.setup.passwords import MAX_LENGTH, TEACHER_VARIABLE, read_hash

TEACHER_PAGE = "teacher"
"""Its address; Home leads there only where somebody can log in."""

TEACHERS_VARIABLE = "TRANSFER_LAB_TEACHERS"

TEACHER_COOKIE = "lab_teacher"

LOGIN_SECONDS = 12 * 3600.0
SIGN_IN_SECONDS = 600.0
"""How long a teacher may take on the page of the school's login."""

FREE_TRIES = 2
"""So many wrong passwords of a browser cost no waiting, as anybody mistypes."""

LONGEST_WAIT = 60.0
FORGET_SECONDS = 900.0
"""After so long a wrong password is forgotten."""

TRIES_OF_ALL = 10
WAIT_OF_ALL = 3.0
"""Whoever throws the cookie away is a new browser: after ten wrong passwords of all, one guess every three seconds."""


class LoginError(TransferLabError):
    """The login did not succeed."""


@dataclass(slots=True)
class _Wrong:
    """The wrong passwords of one browser: how many, and when the last one came."""

    number: int = 0
    last: float = 0.0


class Teachers:
    """Who is logged in as a teacher, and who guesses.

    Args:
        clock: Seconds that only grow; the clock on the wall can be set.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logins: dict[str, tuple[str, float]] = {}
        self._known: set[str] = set()
        self._wrong: dict[str, _Wrong] = {}
        self._wrong_of_all: deque[float] = deque(maxlen=1000)
        self._last_of_all = float("-inf")
        self._sign_ins: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()
        self._hashing = threading.Lock()

    def is_in(self, owner: str, token: str) -> bool:
        """Whether the browser that brings this identity and this token is a teacher's now."""
        of_owner, since = self._logins.get(token, ("", float("-inf")))
        return of_owner == owner and self._clock() - since < LOGIN_SECONDS

    def knows(self, token: str) -> bool:
        """Whether a token is that of a login that goes on."""
        return token in self._logins and self.is_in(self._logins[token][0], token)

    def let_in(self, owner: str) -> str:
        """Make a browser a teacher's, of which that was found out before; return the token that it has to keep."""
        token, now = secrets.token_urlsafe(24), self._clock()
        with self._lock:
            for old in [one for one, (_, since) in self._logins.items() if now - since >= LOGIN_SECONDS]:
                del self._logins[old]
            self._logins[token] = (owner, now)
        return token

    def check_password(self, owner: str, password: str) -> None:
        """Check that somebody says the password.

        Raises:
            LoginError: If it is wrong, comes too soon after a wrong one, or none is set.
        """
        line = os.environ.get(TEACHER_VARIABLE, "")
        if not line:
            raise LoginError("No teacher's password is set on this server.")
        expected = read_hash(line)
        with self._lock:
            wait = self._wait(owner)
            if wait > 0:
                raise LoginError(
                    f"There were wrong passwords. Wait {max(1, round(wait))} s, then try again. So nobody can guess it."
                )
            self._note_wrong(owner)  # before the answer is known: guesses at the same time count too
        with self._hashing:  # one at a time, as each takes memory
            is_right = len(password) <= MAX_LENGTH and expected.fits(password)
        if not is_right:
            raise LoginError("This is not the teacher's password.")
        with self._lock:
            self._wrong.pop(owner, None)
            if self._wrong_of_all:
                self._wrong_of_all.pop()
            self._known.add(owner)

    def log_out(self, owner: str, token: str) -> None:
        """End the login of a browser."""
        self._logins.pop(token, None)
        self._sign_ins.pop(owner, None)

    def await_sign_in(self, owner: str, mark: str) -> None:
        """Note that a browser goes to the school's login.

        Args:
            owner: The browser.
            mark: What tells the login that it may still have from the one that it will come back with.
        """
        self._sign_ins[owner] = (self._clock(), mark)

    def sign_in(self, owner: str, mark: str, claims: Mapping[str, object]) -> bool:
        """Return whether a browser is a teacher's that has just come back from the school's login.

        Args:
            owner: The browser.
            mark: What tells its login from earlier ones: an old one alone makes nobody a teacher again.
            claims: What the login says about the person.
        """
        since, old = self._sign_ins.get(owner, (float("-inf"), mark))
        if mark == old or self._clock() - since > SIGN_IN_SECONDS or not is_teachers_mail(claims):
            return False
        self._sign_ins.pop(owner, None)
        return True

    def _wait(self, owner: str) -> float:
        now = self._clock()
        wrong = self._wrong.get(owner)
        wait = 0.0
        if wrong is not None and now - wrong.last < FORGET_SECONDS and wrong.number >= FREE_TRIES:
            wait = min(LONGEST_WAIT, 2.0 ** (wrong.number - FREE_TRIES)) - (now - wrong.last)
        while self._wrong_of_all and now - self._wrong_of_all[0] > FORGET_SECONDS:
            self._wrong_of_all.popleft()
        # Whoever has been the teacher since the server began is not kept out by a class that guesses.
        if len(self._wrong_of_all) >= TRIES_OF_ALL and owner not in self._known:
            wait = max(wait, WAIT_OF_ALL - (now - self._last_of_all))
        return wait

    def _note_wrong(self, owner: str) -> None:
        now = self._clock()
        for old in [one for one, wrong in self._wrong.items() if now - wrong.last > FORGET_SECONDS]:
            del self._wrong[old]
        wrong = self._wrong.setdefault(owner, _Wrong())
        wrong.number, wrong.last = wrong.number + 1, now
        self._wrong_of_all.append(now)
        self._last_of_all = now


TEACHERS = Teachers()
"""Those of this server."""


def token_of(headers: Headers) -> str:
    """Return the token of a login that a browser brings, empty without one."""
    return cookie_parser(headers.get("cookie", "")).get(TEACHER_COOKIE, "")


def token_of_page() -> str:
    """Return the token of a login that the browser brought for whom this page is drawn, empty without one."""
    token = st.context.cookies.get(TEACHER_COOKIE)
    return token if isinstance(token, str) else ""


def is_teacher(owner: str) -> bool:
    """Whether the browser for which a page is drawn is logged in as a teacher's. Costs nothing.

    Args:
        owner: Its identity.
    """
    return TEACHERS.is_in(owner, token_of_page())


def is_teachers_request(owner: str, headers: Headers) -> bool:
    """Whether a request that no page answers comes from a browser that is logged in as a teacher's.

    Args:
        owner: Its identity.
        headers: Those of the request.
    """
    return TEACHERS.is_in(owner, token_of(headers))


def log_out(owner: str) -> None:
    """End the login of the browser for which a page is drawn.

    Args:
        owner: Its identity.
    """
    TEACHERS.log_out(owner, token_of_page())


def check_teacher(owner: str) -> None:
    """Check, where a teacher acts, that a browser is one's at this moment.

    Raises:
        LoginError: If it is not, or not any more.
    """
    if not is_teacher(owner):
        raise LoginError("You are not logged in as a teacher, or not any more, so nothing was done. Log in again.")


def has_password() -> bool:
    """Whether the server has a password for teachers."""
    return bool(os.environ.get(TEACHER_VARIABLE))


def teachers_mails() -> frozenset[str]:
    """Return the mail addresses that count as teachers'."""
    return frozenset(mail.casefold() for mail in os.environ.get(TEACHERS_VARIABLE, "").replace(",", " ").split())


def has_sign_in() -> bool:
    """Whether teachers can sign in with an account of the school."""
    return bool(teachers_mails()) and _is_provider_set()


def has_login() -> bool:
    """Whether anybody can become a teacher on this server at all."""
    return has_password() or has_sign_in()


def is_teachers_mail(claims: Mapping[str, object]) -> bool:
    """Whether a login says that a mail address belongs to the person, verified, and it is one that counts."""
    mail = claims.get("email")
    return claims.get("email_verified") is True and isinstance(mail, str) and mail.casefold() in teachers_mails()


def _is_provider_set() -> bool:
    from streamlit.auth_util import get_secrets_auth_section

    try:
        section = get_secrets_auth_section()
    except Exception:  # noqa: BLE001 - a file of secrets that cannot be read offers no login
        return False
    return bool(section) and all(section.get(name) for name in ("redirect_uri", "cookie_secret"))
