"""The teacher's login: by password, by an account of the school, or how to make one."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import NoReturn

import streamlit as st

from pages.components.errors import errors_shown, show_error
from pages.components.frame import primary_action
from pages.components.leaving.component import leave_for
from pages.components.state import Visit
from pages.server.guesses import LOOKING, guesser_of_page
from pages.server.teacher import (
    TEACHER_PAGE,
    TEACHERS,
    TEACHERS_VARIABLE,
    has_login,
    has_password,
    has_sign_in,
    is_teacher,
    log_out,
    why_no_teacher,
)
from pages.server.teacher_login import come_in_address
from tlcore.documents import to_json
from tlcore.errors import StorageError, TransferLabError
from tlcore.setup.passwords import TEACHER_VARIABLE
from tlcore.storage.database import unguarded
from tlcore.storage.people import admit

_PASSWORD = "teacher-password"
_WRONG = "teacher-wrong-password"
_WAY = "teacher-way"
"""The address at which this browser gets the cookie of its login, or loses it."""


HOW_TO = (
    "This server has no teacher's login, so nothing is open here. Whoever runs the server makes one in a minute: "
    "`python3 app.py --teacher-password` asks for a password and prints a line with "
    f"`{TEACHER_VARIABLE}` to set before the start. Only its hash is kept."
)
HOW_TO_SIGN_IN = (
    "Or let teachers sign in with their school's account (OpenID Connect): put its `[auth]` section into "
    f"`~/.streamlit/secrets.toml`, and the teachers' mail addresses into `{TEACHERS_VARIABLE}`."
)


def draw_login(visit: Visit) -> None:
    """Let a teacher log in, or say how such a login is made."""
    if not has_login():
        st.info(HOW_TO, icon=":material/lock:")
        st.markdown(HOW_TO_SIGN_IN)
        return
    st.markdown("Who works on what, the queue, the disk, and what the class may change.")
    if has_password():
        _draw_password(visit)
    if has_sign_in():
        _draw_sign_in(visit)
    st.caption("A login holds for this browser, for twelve hours at most, and ends when the server is started anew.")


def come_back(visit: Visit) -> None:
    """Let a teacher in who has logged in here, or comes back from the school's login."""
    if has_sign_in() and st.user.is_logged_in and TEACHERS.sign_in(visit.owner, _mark(), st.user.to_dict()):
        with errors_shown():
            _come_in(visit)
    if _WAY in st.session_state and not is_teacher(visit.owner):
        leave_for(st.session_state[_WAY])  # again where the page is drawn anew before the browser has gone


def leave(visit: Visit) -> NoReturn:
    """End the login of this browser, that of the school's account too, and draw what anybody sees."""
    log_out(visit.owner)
    if has_sign_in() and st.user.is_logged_in:
        st.logout()  # the browser goes there and comes back to Home; a page drawn anew would be in its way
        st.stop()
    st.session_state[_WAY] = f"/{TEACHER_PAGE}"  # loaded anew: with that the cookie goes
    st.rerun()


def _draw_password(visit: Visit) -> None:
    def log_in() -> None:
        typed, st.session_state[_PASSWORD] = st.session_state.get(_PASSWORD, ""), ""
        if not typed:
            return
        # Kept until the next try: leaving the field tries, and the tap on the button draws the page once more.
        st.session_state[_WRONG] = ""
        try:
            with st.spinner(LOOKING):
                TEACHERS.check_password(guesser_of_page(visit.engine, visit.owner), typed)
            _come_in(visit)
        except TransferLabError as error:
            st.session_state[_WRONG] = str(error)

    # Enter in the field logs in too; the button is for those who look for one.
    st.text_input(
        "Teacher's password",
        type="password",
        key=_PASSWORD,
        autocomplete="current-password",
        on_change=log_in,
        width=420,
    )
    if st.session_state.get(_WRONG):
        show_error(st.session_state[_WRONG])
    primary_action("Log in", key="teacher-log-in", icon=":material/login:")


def _come_in(visit: Visit) -> None:
    """Let the teacher's browser into the class, where it is not asked for a class code, and make its way in.

    Raises:
        TransferLabError: If too many come in at once.
    """
    st.session_state[_WAY] = come_in_address(visit.owner)
    with suppress(StorageError):  # on a full disk the login counts all the same
        admit(unguarded(visit.engine), visit.owner)  # the guard of a page lets nobody write who is not in yet


def _draw_sign_in(visit: Visit) -> None:
    if st.button("Sign in with the school's account", key="teacher-sign-in", icon=":material/account_circle:"):
        TEACHERS.await_sign_in(visit.owner, _mark())
        st.login()
    if st.user.is_logged_in:
        why = why_no_teacher(st.user.to_dict()) or "Its login is from before: sign in once more."
        st.warning(f"The account that is signed in now opens nothing here. {why}", icon=":material/account_circle:")


def _mark() -> str:
    """Return what tells one login from another; empty without one."""
    return hashlib.sha256(to_json(st.user.to_dict()).encode()).hexdigest() if st.user.is_logged_in else ""
