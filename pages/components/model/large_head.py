"""A warning where the head has far more weights than the pictures can teach."""

from __future__ import annotations

import streamlit as st

from pages.components.amounts import amount
from pages.components.state import Context
from pages.components.text import count

# Frozen features of a thousand numbers and two classes come to a few weights per picture; this is far beyond.
MANY_WEIGHTS_PER_PICTURE = 1000


def warn_of_large_head(context: Context) -> None:
    """Say with numbers when the head has far more weights than the pictures can teach."""
    pictures = len(context.dataset.subset("train"))
    weights = sum(layer.parameters for layer in context.model.head)
    if not pictures or weights / pictures < MANY_WEIGHTS_PER_PICTURE:
        return
    st.warning(
        f"This head has {amount(weights)} weights for {count(pictures, 'training picture')}: "
        f"{weights // pictures:,} for each. It can learn every picture by heart instead of what they have in common. "
        "One average per channel, fewer units or more pictures help.",
        icon=":material/fitness_center:",
    )
