"""Which runs are compared: their numbers stand in the address, so that a reload and a link show the same."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from pages.components.forms import show_stored
from tlcore.storage.runs import Run

COMPARED = "compare"


def compared_numbers() -> set[int]:
    """Return the numbers of the runs that are ticked; what is no number in the address is left out."""
    return {int(part) for part in st.query_params.get(COMPARED, "").split("-") if part.isascii() and part.isdigit()}


def compare_runs(numbers: Iterable[int]) -> None:
    """Write into the address which runs are compared."""
    ticked = sorted(set(numbers))
    if ticked:
        st.query_params[COMPARED] = "-".join(map(str, ticked))
    else:
        st.query_params.pop(COMPARED, None)


def compare_box(run: Run) -> None:
    """Draw the box that a person ticks to compare a run with others."""
    key = f"compare-{run.id}"
    show_stored(key, run.number in compared_numbers())
    st.checkbox(
        f"Compare run {run.number}",
        key=key,
        label_visibility="collapsed",
        help="Tick two or more runs to see their curves in one picture.",
        on_change=_tick,
        args=(run.number, key),
    )


def _tick(number: int, key: str) -> None:
    others = compared_numbers() - {number}
    compare_runs(others | {number} if st.session_state[key] else others)
