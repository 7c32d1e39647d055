"""Edits of the data set: store them as a new version, take the last one back."""

from __future__ import annotations

import streamlit as st

from pages.components.errors import errors_kept, errors_shown
from pages.components.state import Context
from pages.components.text import label, plain
from tlcore.dataset import Dataset
from tlcore.storage.datasets import can_undo, commit_version, get_version, newest_instead, take_instead, undo_version


def save_edit(context: Context, dataset: Dataset, note: str) -> None:
    """Make an edited data set the project's current version and draw the page anew.

    Args:
        context: What the page works on; the edit started from its version.
        dataset: The edited data set.
        note: What changed, in words that follow `Undo:`.
    """
    project = context.project
    with errors_kept():
        commit_version(context.engine, project.id, dataset, note, parent=project.version, home=context.home)
    st.rerun()


def undo_button(context: Context, *, key: str = "undo") -> None:
    """Draw the button that takes back the last change, and says which one that is; `key` tells two on a page apart."""
    project = context.project
    if project.version is None or context.is_guest:
        return
    if not can_undo(context.engine, project.id, project.version):
        return
    note = get_version(context.engine, project.id, project.version).note
    text = label(plain(note, 60)) or "last change"
    if st.button(f"Undo: {text}", key=f"{key}-{project.version}", icon=":material/undo:"):
        with errors_kept():
            undo_version(context.engine, project.id, current=project.version)
        st.rerun()


def way_back(context: Context) -> None:
    """Draw how to go on where the data set cannot be read: with the newest version that is there, or by an undo."""
    project = context.project
    if project.version is None or context.is_guest:
        return
    newest = newest_instead(context.engine, project.id, project.version)
    if newest is None:
        with errors_shown():
            undo_button(context)
    elif st.button("Go on with the newest version that is there", key="newest", icon=":material/history:"):
        with errors_kept():
            take_instead(context.engine, project.id, newest, lost=project.version)
        st.rerun()
