"""You: the name that others see, and the code with which another browser becomes this person."""

from __future__ import annotations

import streamlit as st

from pages.components.errors import errors_kept, errors_shown, show_error, show_kept_error
from pages.components.forms import show_stored
from pages.components.frame import HOME_PAGE, primary_action
from pages.components.leaving.component import leave_for
from pages.components.shown_settings import leave_settings
from pages.components.state import Visit, read_visit
from pages.components.text import count, first_of, label
from pages.server.guesses import CODE_GUESSES, LOOKING, guesser_of_page
from pages.server.identity import take_address
from tlcore.errors import TransferLabError
from tlcore.storage.people import (
    MAX_CALLED_LENGTH,
    count_projects,
    has_code,
    new_code,
    owner_by_code,
    read_person,
    rename_person,
)
from tlcore.storage.projects import read_projects
from tlcore.storage.room import beyond_together

MINE = "They are mine: bring them along"
OF_OTHERS = "They belong to somebody else on this computer"
OTHER = "you-other"
"""The identity to which a right code led, while it is asked whose the projects of this browser are."""

CODE = "you-code"
"""The code that led there."""

REPLACED = "This code was replaced by a newer one meanwhile, so nothing was changed. Enter the newer one."

MAX_TYPED = 40
SHOWN_NAMES = 5


@st.dialog("Your code", width="medium")
def show_code(code: str, words: str) -> None:
    """Show a code that was just made; nobody can look it up afterwards."""
    with st.container(key="shown-code"):
        st.code(code, language=None)
    st.markdown(words)


def draw_name(visit: Visit) -> None:
    """Let the person choose the name that others see."""
    person = read_person(visit.engine, visit.owner)

    def rename() -> None:
        with errors_kept():
            rename_person(visit.engine, visit.owner, st.session_state["you-name"])

    st.subheader("Your name", anchor=False)
    show_stored("you-name", person.name)
    st.text_input(
        "What shall others call you?", max_chars=MAX_CALLED_LENGTH, key="you-name", on_change=rename, width=420
    )
    others = "Your teacher and those with whom you share see it."
    st.caption(others if person.name else f"{others} Without a name you are {label(person.called)}.")


def draw_code(visit: Visit) -> None:
    """Say what a code is good for, and whether there is one."""
    st.subheader("Your code", anchor=False)
    st.markdown(
        "Transfer Lab knows you only by a cookie, a small note that this browser keeps. With your code another "
        "browser, or this one after its cookies were cleared, gets your projects."
    )
    if has_code(visit.engine, visit.owner):
        st.caption("You have a code. Nobody can look it up; a new one replaces it.")


def draw_taking(visit: Visit) -> None:
    """Ask for a code that was made before, in whatever browser."""
    st.subheader("I have a code", anchor=False)
    with st.form("you-have", border=False, width=420):
        typed = st.text_input("The code", key="you-typed", max_chars=MAX_TYPED, autocomplete="off")
        wants = st.form_submit_button("Use this code", icon=":material/key:")
    if not wants:
        return
    if not typed.strip():
        st.info("Type the code, then press the button.", icon=":material/edit:")
        return
    with errors_shown():
        who = guesser_of_page(visit.engine, visit.owner)
        with st.spinner(LOOKING):
            other = CODE_GUESSES.guess(who, lambda: owner_by_code(visit.engine, typed))
        if other is None:
            st.error(
                "There is no such code. Look at every letter once more. If a newer one was made, only that one counts.",
                icon=":material/error:",
            )
        elif other == visit.owner:
            st.info("This is your own code: this browser has your projects already.", icon=":material/check:")
        elif not count_projects(visit.engine, visit.owner):
            leave_for(take_address(visit.owner, other, brings=False))
        else:
            st.session_state[OTHER], st.session_state[CODE] = other, typed
            st.rerun()


def draw_question(visit: Visit, other: str) -> None:
    """Ask whose the projects of this browser are before it becomes somebody else."""
    readable, unreadable = read_projects(visit.engine, visit.owner)
    names = [f"**{label(name)}**" for name in [*(one.name for one in readable), *(one.title for one in unreadable)]]
    theirs, called = count_projects(visit.engine, other), label(read_person(visit.engine, other).called)
    st.subheader("Whose are the projects of this browser?", anchor=False)
    st.markdown(
        f"The code is that of **{called}**, who has {count(theirs, 'project')}. This browser has "
        f"{count(len(names), 'project')} of its own: {first_of(names, SHOWN_NAMES)}."
    )
    choice = st.radio("Whose are they?", (MINE, OF_OTHERS), index=None, key="you-whose", label_visibility="collapsed")
    if choice == OF_OTHERS:
        st.info(
            "They stay as they are, but this browser opens them no more. To come back, the one to whom they belong "
            "needs the code to them, so make it now and pass it on.",
            icon=":material/key:",
        )
        if st.button("Make the code to them", key="you-theirs", icon=":material/key:"):
            with errors_shown():
                words = "For the one to whom the projects of this browser belong. Write it down: it is shown only now."
                show_code(new_code(visit.engine, visit.owner), words)
    elif choice == MINE:
        st.caption("All of them go over to that person, with their models. What runs goes on.")
        with errors_shown():
            beyond = beyond_together(visit.engine, (visit.owner, other), visit.home)
            if beyond:
                st.warning(beyond, icon=":material/database:")
    st.caption("Other tabs of this browser that are open load anew at the next click.")
    if st.button("Stay who I am", key="you-stay", type="tertiary", icon=":material/close:"):
        del st.session_state[OTHER]
        st.rerun()
    help_ = None if choice else "Say first whose they are."
    if primary_action("Go on", icon=":material/login:", disabled=choice is None, help=help_):
        with errors_shown():
            # The one to whom the code leads may have made a new one since it was typed.
            if owner_by_code(visit.engine, st.session_state.get(CODE, "")) == other:
                leave_for(take_address(visit.owner, other, brings=choice == MINE))
            else:
                del st.session_state[OTHER]
                with errors_kept():
                    raise TransferLabError(REPLACED)
                st.rerun()


leave_settings()
try:
    visit = read_visit()
except TransferLabError as error:
    show_error(error)
    st.stop()

st.page_link(HOME_PAGE, label="Home", icon=":material/home:")
show_kept_error()
st.title("You", anchor=False)
if OTHER in st.session_state:
    with errors_shown():
        draw_question(visit, st.session_state[OTHER])
else:
    with errors_shown():
        draw_name(visit)
        draw_code(visit)
        draw_taking(visit)
        new = "Make a new code" if has_code(visit.engine, visit.owner) else "Make a code"
        if primary_action(new, icon=":material/key:"):
            show_code(
                new_code(visit.engine, visit.owner),
                "Write it down: it is shown only now. With it another browser, or this one after its cookies were "
                "cleared, gets your projects; so give it to nobody. A new code replaces the old one.",
            )
