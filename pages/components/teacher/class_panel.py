"""What holds for the whole class: the class code, and what is locked."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from pages.components.errors import errors_kept, show_error
from pages.components.forms import show_stored
from pages.components.state import Visit
from pages.components.text import count
from pages.server.private_streamlit import end_sessions
from pages.server.teacher import check_teacher, is_teacher
from tlcore.errors import TransferLabError, UnreadableError
from tlcore.settings.locks import LOCKS
from tlcore.storage.admission import is_admitted
from tlcore.storage.class_settings import (
    ClassSettings,
    change_class_settings,
    read_class_settings,
    reset_class_settings,
)
from tlcore.storage.people import CODE_LETTERS
from tlcore.storage.projects import printable_line

MAX_CODE_LENGTH = 40
MIN_CODE_LENGTH = 6
MIN_CODE_DIGITS = 8
"""Where it is digits alone. With 1,200 guesses an hour at most (`pages/server/guesses.py`), these take years."""

MADE_UP_LENGTH = 6


def draw_class(visit: Visit) -> None:
    """Draw the class code and the locks; where they cannot be read, say so and offer to begin anew."""
    try:
        settings = read_class_settings(visit.engine)
    except UnreadableError as error:
        _draw_damage(visit, error)
        return
    _draw_code(visit, settings)
    _draw_locks(visit, settings)


def _draw_damage(visit: Visit, error: UnreadableError) -> None:
    show_error(error)
    st.markdown(
        "What you had set for the class cannot be read. So nothing is locked at the moment, and nobody new comes in if "
        "there was a class code. Begin anew, then set both again."
    )

    def begin_anew() -> None:
        with errors_kept():
            check_teacher(visit.owner)
            reset_class_settings(visit.engine)

    st.button("Begin anew", key="class-reset", icon=":material/restart_alt:", on_click=begin_anew)


def _draw_code(visit: Visit, settings: ClassSettings) -> None:
    st.subheader("Class code", anchor=False)
    if settings.code is None:
        st.markdown("There is none: everybody who reaches this server comes in.")
    else:
        st.markdown("A new browser says it once. Whoever is in already stays, also when you change it.")
    show_stored("class-code", settings.code or "")

    def set_typed() -> None:
        with errors_kept():
            code = clean_code(st.session_state["class-code"])
            _change(visit, lambda stored: replace(stored, code=code))

    def make_up() -> None:
        code = "".join(secrets.choice(CODE_LETTERS) for _ in range(MADE_UP_LENGTH))
        with errors_kept():
            _change(visit, lambda stored: replace(stored, code=code))

    def take_away() -> None:
        with errors_kept():
            _change(visit, lambda stored: replace(stored, code=None))

    st.text_input(
        "Class code",
        key="class-code",
        max_chars=MAX_CODE_LENGTH,
        on_change=set_typed,
        placeholder="Nobody is asked",
        help=f"At least {MIN_CODE_LENGTH} letters and digits, or {MIN_CODE_DIGITS} digits alone. "
        "Write it on the board. Capitals, spaces and dashes do not matter. An empty field takes it away.",
        width=320,
    )
    with st.container(horizontal=True):
        st.button("Make one up", key="class-code-new", icon=":material/casino:", on_click=make_up)
        st.button(
            "Take it away",
            key="class-code-none",
            icon=":material/lock_open:",
            disabled=settings.code is None,
            on_click=take_away,
        )


def clean_code(typed: str) -> str | None:
    """Return a class code as it is kept; `None` where nothing was typed.

    Raises:
        TransferLabError: If it is so short that anybody guesses it.
    """
    code = printable_line(typed, MAX_CODE_LENGTH)
    counting = [character for character in code if character.isalnum()]
    least = MIN_CODE_DIGITS if all(character.isdigit() for character in counting) else MIN_CODE_LENGTH
    if code and len(counting) < least:
        raise TransferLabError(
            f"A class code needs at least {MIN_CODE_LENGTH} letters and digits, or {MIN_CODE_DIGITS} digits alone, "
            "so nothing was changed. Make one up."
        )
    return code or None


def _draw_locks(visit: Visit, settings: ClassSettings) -> None:
    st.subheader("Locked controls", anchor=False)
    locked = sum(spec.name in settings.locked for spec in LOCKS)
    st.markdown(
        "What you lock stays as it is in every project of the class; yours are free. "
        + (f"{count(locked, 'lock')} on." if locked else "Nothing is locked.")
    )

    def turn(name: str) -> None:
        wanted = st.session_state[f"lock-{name}"]
        with errors_kept():
            _change(visit, lambda stored: with_lock(stored, name, wanted=wanted))

    with st.grid(min_column_width=260, gap="small", key="locks") as grid:
        for spec in LOCKS:
            with grid.cell():
                key = f"lock-{spec.name}"
                show_stored(key, spec.name in settings.locked)
                st.toggle(spec.title, key=key, on_change=turn, args=(spec.name,))
                st.caption(spec.sentence)

    def unlock_all() -> None:
        with errors_kept():
            _change(visit, lambda stored: replace(stored, locked=()))

    st.button("Unlock all", key="unlock-all", icon=":material/lock_open:", disabled=not locked, on_click=unlock_all)


def with_lock(settings: ClassSettings, name: str, *, wanted: bool) -> ClassSettings:
    """Return what is set with one lock on or off; names of another version stay."""
    others = tuple(one for one in settings.locked if one != name)
    return replace(settings, locked=(*others, name) if wanted else others)


def _change(visit: Visit, change: Callable[[ClassSettings], ClassSettings]) -> None:
    check_teacher(visit.owner)
    was_open = False

    def noted(stored: ClassSettings) -> ClassSettings:
        nonlocal was_open
        was_open = stored.code is None
        return change(stored)

    if change_class_settings(visit.engine, noted).code is not None and was_open:
        end_sessions(lambda owner, _project: not is_teacher(owner) and not is_admitted(visit.engine, owner))
