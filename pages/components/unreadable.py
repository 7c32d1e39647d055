"""What this version cannot read: named where it would stand, and left as it is."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.components.state import Context
from pages.components.text import label
from tlcore.storage.configs import Unreadable
from tlcore.storage.ensembles import read_ensembles
from tlcore.storage.runs import read_runs
from tlcore.storage.simple_heads import read_simple_heads


def draw_unreadable(found: Sequence[Unreadable]) -> None:
    """Draw a line for each, with the reason and what to do."""
    for one in found:
        st.warning(f"**{label(one.title)}** cannot be shown. {label(one.reason)}", icon=":material/visibility_off:")


def unreadable_models(context: Context) -> list[Unreadable]:
    """Return the runs, groups and simple heads of the project that cannot be read."""
    reads = (read_runs, read_ensembles, read_simple_heads)
    return [one for read in reads for one in read(context.engine, context.project.id)[1]]
