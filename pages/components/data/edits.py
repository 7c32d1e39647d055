"""Edits of the data set: store them as a new version, take the last one back, say when that failed."""

from __future__ import annotations

import streamlit as st

from pages.components.frame import show_error
from pages.components.state import Context
from pages.components.text import label, plain
from tlcore.dataset import Dataset
from tlcore.errors import TransferLabError
from tlcore.storage.datasets import commit_version, get_version, undo_version

_FAILED_EDIT = "failed-edit"


def save_edit(context: Context, dataset: Dataset, note: str) -> None:
    """Make an edited data set the project's current version and draw the page anew.

    Args:
        context: What the page works on; the edit started from its version.
        dataset: The edited data set.
        note: What changed, in words that follow `Undo:`.
    """
    project = context.project
    try:
        commit_version(context.engine, project.id, dataset, note, parent=project.version, home=context.home)
    except TransferLabError as error:
        st.session_state[_FAILED_EDIT] = error
    st.rerun()


def show_failed_edit() -> None:
    """Say once why the last edit was not stored; the page below shows what is there now."""
    error = st.session_state.pop(_FAILED_EDIT, None)
    if error is not None:
        show_error(error)


def undo_button(context: Context) -> None:
    """Draw the button that takes back the last change, and says which one that is."""
    project = context.project
    if project.version is None:
        return
    note = get_version(context.engine, project.id, project.version).note
    text = label(plain(note, 60)) or "last change"
    if st.button(f"Undo: {text}", key=f"undo-{project.version}", icon=":material/undo:"):
        try:
            undo_version(context.engine, project.id, current=project.version)
        except TransferLabError as error:
            st.session_state[_FAILED_EDIT] = error
        st.rerun()
