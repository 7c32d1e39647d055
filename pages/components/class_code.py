"""The one page that a new browser sees where the teacher has set a class code."""

from __future__ import annotations

import streamlit as st

from pages.components.errors import errors_shown
from pages.components.frame import OTHER_PAGES, PAGES_DIR
from pages.components.state import Visit
from pages.server.guesses import CLASS_CODE_GUESSES, LOOKING, guesser_of_page
from pages.server.teacher import TEACHER_PAGE
from tlcore.storage.admission import REMOVED, is_readable, is_removed, say_class_code

MAX_TYPED = 80


def draw_class_code(visit: Visit) -> None:
    """Ask for the class code; whatever address was opened is drawn once it is right."""
    if is_removed(visit.engine, visit.owner):
        st.title("You are not in this class any more", anchor=False)
        st.info(f"{REMOVED} Your projects are kept.", icon=":material/person_off:")
        _draw_teacher_link()
        return
    if not is_readable(visit.engine):
        st.title("Nobody new can come in just now", anchor=False)
        st.warning(
            "The class code cannot be read, so Transfer Lab cannot ask you for it. Tell your teacher: the page Teacher "
            "can begin with new settings of the class. Whoever is in already can go on.",
            icon=":material/warning:",
        )
        _draw_teacher_link()
        return
    st.title("What is the class code?", anchor=False)
    st.markdown("Your teacher has it. This browser is asked only once.")
    with st.form("class-code", border=False, width=420):
        typed = st.text_input(
            "Class code",
            key="class-code-typed",
            max_chars=MAX_TYPED,
            autocomplete="off",
            placeholder="As it is written",
        )
        wants = st.form_submit_button("Come in", type="primary", icon=":material/login:", width="stretch")
    if wants:
        with errors_shown():
            if not typed.strip():
                st.info("Type the code, then press the button.", icon=":material/edit:")
            elif _is_right(visit, typed):
                st.rerun()
            else:
                st.error("This is not the class code. Look at it once more, or ask.", icon=":material/error:")
    _draw_teacher_link()


def _is_right(visit: Visit, typed: str) -> bool:
    who = guesser_of_page(visit.engine, visit.owner)
    with st.spinner(LOOKING):
        return bool(CLASS_CODE_GUESSES.guess(who, lambda: say_class_code(visit.engine, visit.owner, typed)))


def _draw_teacher_link() -> None:
    if TEACHER_PAGE in {name for name, *_ in OTHER_PAGES}:
        st.page_link(PAGES_DIR / f"{TEACHER_PAGE}.py", label="I am the teacher", icon=":material/school:")
