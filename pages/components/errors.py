"""Errors as a person sees them: at once, or kept until the page is drawn anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from pages.components.text import label
from tlcore.errors import TransferLabError
from tlcore.home import without_places

_KEPT = "kept-error"


def show_error(error: TransferLabError | str) -> None:
    """Show what happened and what to do next."""
    st.error(label(without_places(str(error))), icon=":material/error:")


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show an error that ends what is done inside; the page goes on below."""
    try:
        yield
    except TransferLabError as error:
        show_error(error)


@contextmanager
def errors_kept() -> Iterator[None]:
    """Keep an error that ends what is done inside for the page that is drawn after it."""
    try:
        yield
    except TransferLabError as error:
        st.session_state[_KEPT] = error


def show_kept_error() -> None:
    """Say once why the last change was not stored; the page below shows what is stored."""
    error = st.session_state.pop(_KEPT, None)
    if error is not None:
        show_error(error)
