"""A question before something goes for good: asked where the button stands, one at a time."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages.components.errors import errors_kept

_ASKED = "teacher-asked"


def ask(question: str) -> None:
    """Ask a question from now on; meant for callbacks.

    Args:
        question: Names it, as in `draw_question`.
    """
    st.session_state[_ASKED] = question


def draw_question(question: str, words: str, *, keep: str, go_on: str, icon: str, act: Callable[[], None]) -> None:
    """Draw a question if it was asked, with the two answers.

    Args:
        question: Names it.
        words: What goes, and that it cannot be undone.
        keep: What the button says that changes nothing.
        go_on: What the other one says.
        icon: Of that one.
        act: What it does; an error is shown on the page that is drawn next.
    """
    if st.session_state.get(_ASKED) != question:
        return

    def do() -> None:
        _answered()
        with errors_kept():
            act()

    with st.container(border=True, key="teacher-question"):
        st.markdown(words)
        with st.container(horizontal=True):
            st.button(keep, key="teacher-no", on_click=_answered)
            st.button(go_on, key="teacher-yes", icon=icon, on_click=do)


def _answered() -> None:
    st.session_state.pop(_ASKED, None)
