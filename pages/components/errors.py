"""Errors as a person sees them: at once, or kept until the page is drawn anew."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from pages.components.text import label
from tlcore.errors import GuestError, ShutOutError, TransferLabError
from tlcore.home import without_places

_KEPT = "kept-error"
_LOG = logging.getLogger(__name__)

UNFORESEEN = (
    "Something went wrong that Transfer Lab did not expect. What was stored before is still there. Reload the page, or "
    "go back and try another way. If it happens again, tell whoever looks after this server the number **{}**: it "
    "stands in the server's log, with what happened."
)
"""The number goes in between."""


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


def show_unforeseen(error: Exception) -> bool:
    """Show an error that nobody foresaw in our own words; what it says goes into the log alone, under a number.

    Meant for `on_script_error` of `st.App`, which calls it where a page, a part of one or a callback has failed.

    Returns:
        True: Streamlit's own words are not shown too.
    """
    # A page that does not know its guest, or is older than the end of a right: nothing was changed, and that is all.
    if isinstance(error, GuestError | ShutOutError):
        show_error(error)
        return True
    number = f"{secrets.randbelow(900_000) + 100_000}"
    _LOG.error("Unforeseen error, number %s", number, exc_info=error)
    st.error(UNFORESEEN.format(number), icon=":material/error:")
    return True


@contextmanager
def one_part() -> Iterator[None]:
    """Let what is drawn inside fail alone: even an error that nobody foresaw leaves the rest of the page as it is."""
    try:
        yield
    except TransferLabError as error:
        show_error(error)
    except Exception as error:  # noqa: BLE001 - it is logged with its traceback
        show_unforeseen(error)
