"""Leaving a page for good: the browser loads another address, or the same one anew, with a new session."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import streamlit as st

_component = st.components.v2.component(
    "transfer_lab_leaving", js=Path(__file__).with_name("leaving.js").read_text(encoding="utf-8")
)


def leave_for(address: str) -> NoReturn:
    """Let the browser go to an address of this server."""
    st.markdown("One moment")
    _component(key="leaving", data={"address": address})
    st.stop()


def load_anew() -> NoReturn:
    """Let the browser load this page anew, because a code has changed who somebody is, here or in another browser."""
    st.markdown("A code of somebody was used since this page was opened, so the page comes anew.")
    _component(key="leaving", data={"address": ""})
    st.stop()
