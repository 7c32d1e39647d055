"""Whether the page is light or dark, for figures that choose their own colours."""

from __future__ import annotations

import streamlit as st


def is_dark() -> bool:
    """Return whether the browser shows the dark theme."""
    return st.context.theme.type == "dark"
