"""What became of the last import."""

from __future__ import annotations

import streamlit as st

from pages.components.data.bring import STARTED_IMPORT
from pages.components.data.reading_panel import draw_folders
from pages.components.errors import show_error
from pages.components.state import Context
from pages.components.text import count, label
from tlcore.errors import UnreadableError
from tlcore.storage.jobs import JobStatus, read_result
from tlcore.storage.requests import ImportSummary


def show_import(context: Context, job: JobStatus) -> None:
    """Show what an import did; open at first when this tab started it, one tap away later."""
    if job.state == "failed":
        show_error(job.message or "The import failed. Bring the pictures again.")
        return
    try:
        summary = read_result(context.engine, job.id, ImportSummary)
    except UnreadableError as error:
        st.caption(f"What the last import did cannot be shown. {label(str(error))}")
        return
    if summary is None:
        if st.session_state.get(STARTED_IMPORT) == job.id:
            st.info(label(job.message or "The import was stopped. Nothing was added."), icon=":material/info:")
        return
    is_new = st.session_state.get(STARTED_IMPORT) == job.id
    noteworthy = bool(summary.refused or summary.notes)
    with st.expander(import_headline(summary), expanded=is_new and noteworthy, icon=":material/download_done:"):
        if not noteworthy:
            st.markdown("Nothing was refused.")
        if summary.folders:
            st.markdown(f"**{label(summary.reading)}**")
            draw_folders(summary.folders)
        for note in summary.notes:
            st.markdown(f"- {label(note)}")
        if summary.refused:
            st.markdown(f"**Not used: {count(len(summary.refused), 'file')}**")
            st.dataframe(
                {"File": [file.name for file in summary.refused], "Why": [file.reason for file in summary.refused]},
                hide_index=True,
                column_config={"Why": st.column_config.TextColumn(width="large")},
            )


def import_headline(summary: ImportSummary) -> str:
    """Say in one line what an import did."""
    parts = [f"Last import: {count(summary.added, 'picture')} added"]
    if summary.already_there:
        parts.append(f"{summary.already_there:,} already there")
    if summary.refused:
        parts.append(f"{count(len(summary.refused), 'file')} not used")
    return ", ".join(parts)
