"""Colours that mean the same on every page; each has a contrast of at least 3 on white and on the dark background."""

from __future__ import annotations

import streamlit as st

# Around Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), moved to a middle lightness so
# that one list serves light and dark; neighbours in the list differ most for colour-blind eyes.
CLASS_COLORS = (
    "#0080C6",
    "#D55E00",
    "#00966C",
    "#C2609A",
    "#B5830A",
    "#7B68C8",
    "#3A96BC",
    "#A4623A",
    "#7C8C1C",
    "#C8455F",
    "#2F9393",
    "#84868C",
)

FROZEN_COLOR = "#2B83D6"
TRAINABLE_COLOR = "#DD6B10"

TRAINING_COLOR = "#14908C"
VALIDATION_COLOR = "#B8559B"

INK = {"light": "#12151C", "dark": "#E9EBF2"}
"""The theme's colour of text, for charts: Streamlit's own there is too pale for the back of a class."""

SPLIT_PATTERNS = {"train": "", "validation": "/", "test": "."}


def class_color(index: int) -> str:
    """Return the colour of a class from its `ClassLabel.color`, as `#RRGGBB`."""
    return CLASS_COLORS[index % len(CLASS_COLORS)]


def is_dark() -> bool:
    """Whether the browser shows the dark theme, for figures that choose their own colours."""
    return st.context.theme.type == "dark"
