"""Prepare for offline: a teacher ticks backbones and downloads them before class."""

from __future__ import annotations

import streamlit as st

from pages.components.model.weights_download import show_failed_download, start_download, watch_downloads
from pages.components.state import Context
from pages.components.text import count
from tlcore.backbones.registry import BACKBONES
from tlcore.backbones.weights.status import weights_status
from tlcore.downloading import megabytes


def draw_offline_panel(context: Context) -> None:
    """Say which backbones need no network any more, and fetch those of the others that are ticked."""
    with st.expander("Prepare for offline", icon=":material/cloud_download:"):
        missing = {
            spec.name: (spec, status.download_bytes)
            for spec in BACKBONES
            if not (status := weights_status(spec, context.home)).ready_offline
        }
        ready = [spec.title for spec in BACKBONES if spec.name not in missing]
        st.markdown(
            "Before a lesson without internet, download the backbones that the class will try. "
            "They stay on this computer, for all projects."
        )
        st.caption(f"Ready: {', '.join(ready) or 'none'}.")
        works = watch_downloads(context, "offline")
        show_failed_download(context, of_chosen=False)
        if not missing:
            st.success("All backbones are on this computer.", icon=":material/check_circle:")
            return
        # A backbone that has come is not there to be ticked; the other ticks stay.
        st.session_state["offline"] = [name for name in st.session_state.get("offline", ()) if name in missing]
        ticked = st.pills(
            "Tick what shall be downloaded",
            list(missing),
            format_func=lambda name: f"{missing[name][0].title}, {megabytes(missing[name][1])}",
            selection_mode="multi",
            key="offline",
        )
        total = sum(missing[name][1] for name in ticked)
        text = f"Download {count(len(ticked), 'backbone')}, {megabytes(total)}" if ticked else "Download"
        st.button(
            text,
            key="download_ticked",
            icon=":material/download:",
            disabled=works or not ticked,
            on_click=start_download,
            args=(context, [missing[name][0] for name in ticked]),
        )
