"""Who is a teacher: whoever has said the password, or has signed in with one of the addresses that count.

A login is kept in the memory of this server alone, for one browser and a school day: a restart ends it. The browser
keeps a second cookie for it, beside its identity, which a code carries to other browsers: both are asked for each time.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping

import streamlit as st
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from pages.server.guesses import Guesser, Guesses
from tlcore.errors import TransferLabError
from tlcore.setup.passwords import MAX_LENGTH, TEACHER_VARIABLE, read_hash

TEACHER_PAGE = "teacher"
"""Its address; Home leads there only where somebody can log in."""

TEACHERS_VARIABLE = "TRANSFER_LAB_TEACHERS"

TEACHER_COOKIE = "lab_teacher"

LOGIN_SECONDS = 12 * 3600.0
SIGN_IN_SECONDS = 600.0
"""How long a teacher may take on the page of the school's login."""


class LoginError(TransferLabError):
    """The login did not succeed."""


class Teachers:
    """Who is logged in as a teacher, and who guesses the password.

    Args:
        clock: Seconds that only grow; the clock on the wall can be set.
        pause: Waits for some seconds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._logins: dict[str, tuple[str, float]] = {}
        self._guesses = Guesses("passwords", free=2, of_address=10, of_all=30, clock=clock, pause=pause)
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

    def check_password(self, who: Guesser, password: str) -> None:
        """Check that somebody says the password; it may wait for its turn among others who guess.

        Raises:
            LoginError: If it is wrong, or none is set.
            TransferLabError: If it comes too soon after wrong ones.
        """
        line = os.environ.get(TEACHER_VARIABLE, "")
        if not line:
            raise LoginError("No teacher's password is set on this server.")
        expected = read_hash(line)

        def fits() -> bool:
            with self._hashing:  # one at a time, as each takes memory
                return len(password) <= MAX_LENGTH and expected.fits(password)

        if not self._guesses.guess(who, fits):
            raise LoginError("This is not the teacher's password.")

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
        if mark == old or self._clock() - since > SIGN_IN_SECONDS or why_no_teacher(claims):
            return False
        self._sign_ins.pop(owner, None)
        return True


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


def why_no_teacher(claims: Mapping[str, object]) -> str:
    """Return why what a login says about a person makes nobody a teacher, as a sentence; empty where it does.

    The provider must say that the mail address is the person's: by `email_verified`, or, where that is absent as with
    Microsoft Entra, by `xms_edov` (the owner of the domain is verified), which Entra writes in several ways.
    """
    mail = claims.get("email")
    if not isinstance(mail, str) or not mail:
        return "Its login says no mail address: the claim `email` is missing."
    if "email_verified" in claims:
        if claims["email_verified"] is not True:
            return "Its login does not say that the mail address is verified: the claim `email_verified` is not true."
    elif "xms_edov" not in claims:
        return (
            "Its login does not say that the mail address is verified: the claim `email_verified` is missing, and so "
            "is `xms_edov`, an optional claim with which Microsoft Entra says the same once it is added there."
        )
    elif str(claims["xms_edov"]).casefold() not in ("true", "1"):
        return "Its login does not say that the mail address is verified: the claim `xms_edov` is not true."
    if mail.casefold() not in teachers_mails():
        return f"Its mail address is not among those that count as teachers' here (`{TEACHERS_VARIABLE}`)."
    return ""


def _is_provider_set() -> bool:
    from streamlit.auth_util import get_secrets_auth_section

    try:
        section = get_secrets_auth_section()
    except Exception:  # noqa: BLE001 - a file of secrets that cannot be read offers no login
        return False
    return bool(section) and all(section.get(name) for name in ("redirect_uri", "cookie_secret"))
