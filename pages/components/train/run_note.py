"""What a person expects of a run: written before it begins, shown beside what happened."""

from __future__ import annotations

import streamlit as st

from pages.components.state import Context
from pages.components.text import label
from pages.components.train.run_list import result_words
from tlcore.storage.runs import MAX_NOTE_LENGTH, Run


def _key(context: Context) -> str:
    return f"note-{context.project.id}"


def draw_note_field(context: Context) -> None:
    """Draw the line in which a person may write what the next run will show."""
    st.text_input(
        "What do you expect? (optional)",
        key=_key(context),
        max_chars=MAX_NOTE_LENGTH,
        placeholder="I expect that ...",
        help="Write it down before you look, as scientists do: the field's term is a hypothesis. It is kept with the "
        "run and cannot be changed once the run has begun.",
        persist_state="session",
    )


def take_note(context: Context) -> str:
    """Return what was written and clear the line for the run after; before the line is drawn."""
    note: str = st.session_state.get(_key(context), "")
    st.session_state[_key(context)] = ""
    return note


def draw_note(run: Run) -> None:
    """Show what was expected, and what happened."""
    if not run.note:
        return
    with st.container(border=True, key="note"):
        st.markdown(f":material/edit_note: **You expected:** {label(run.note)}")
        if not run.job.is_active:
            happened = f"validation accuracy: {result_words(run)}" if run.has_model else f"the run {run.job.state}"
            st.markdown(f":material/visibility: **What happened:** {happened}")
