"""Which formats to make: a box to tick for each, with whom it is for, and why some cannot be made."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from pages.components.forms import work_state
from pages.components.state import Context
from tlcore.export.formats import FORMATS
from tlcore.export.source import ExportSource
from tlcore.storage.requests import FormatName

USUAL: tuple[FormatName, ...] = ("keras", "litert", "litert-int8")
"""Ticked until somebody chooses: to go on with, to run everywhere, and to run quickly."""


def choose_formats(context: Context, source: ExportSource, ticked: Collection[FormatName] = USUAL) -> list[FormatName]:
    """Draw the boxes, and return the formats that are ticked and can be made.

    Args:
        context: What the page works on.
        source: The model.
        ticked: Which ones are ticked until the person chooses.
    """
    from tlcore.export.parity import unavailable

    chosen = []
    for name, spec in FORMATS.items():
        reason = unavailable(source, name)
        state = work_state(context, "download", help=f"In the ZIP as `{spec.file}`.", disabled=bool(reason))
        is_ticked = st.checkbox(
            f"**{spec.title}**: {reason or spec.sentence}",
            value=name in ticked and not reason,
            key=f"format-{source.model_id}-{name}{'-not' if reason else ''}",
            **state,
        )
        if is_ticked and not reason:
            chosen.append(name)
    return chosen
