"""Programs that use the files of a model, in several languages."""

from __future__ import annotations

import streamlit as st

from tlcore.export.source import ExportSource
from tlcore.storage.requests import ExportResult


def draw_snippets(source: ExportSource, result: ExportResult) -> None:
    """Draw a tab for each program."""
    from tlcore.export.snippets import snippets_for

    snippets = snippets_for(source, result)
    if not snippets:
        return
    st.subheader("Use it in your own program", anchor=False)
    for tab, snippet in zip(st.tabs([snippet.title for snippet in snippets]), snippets, strict=True):
        with tab:
            # Coloured words would be too pale to read.
            st.code(snippet.code, language=None)
