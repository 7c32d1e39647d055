"""What this version cannot read: named where it would stand, and left as it is."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.components.text import label
from tlcore.storage.configs import Unreadable


def draw_unreadable(found: Sequence[Unreadable]) -> None:
    """Draw a line for each, with the reason and what to do."""
    for one in found:
        st.warning(f"**{label(one.title)}** cannot be shown. {label(one.reason)}", icon=":material/visibility_off:")
