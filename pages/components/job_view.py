"""A job while it works: how far it is, and a way to stop it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import streamlit as st

from pages.components.amounts import duration
from pages.components.errors import errors_shown
from pages.components.frame import job_progress
from pages.components.job_words import trouble_words
from pages.components.pace import pace_of, seconds_left
from pages.components.state import Context
from pages.components.text import label
from tlcore.errors import NotFoundError, UnreadableError
from tlcore.jobs import control
from tlcore.storage.jobs import JobStatus, get_job, read_request

POLL_SECONDS = 0.5

T = TypeVar("T")


@st.fragment(run_every=POLL_SECONDS)
def watch_job(
    context: Context, job_id: str, *, key: str = "", hint: str = "", on_end: Callable[[], object] | None = None
) -> None:
    """Show a job that is there until it ends; draw the whole page anew then.

    Args:
        context: What the page works on.
        job_id: The job.
        key: As in `draw_job`.
        hint: As in `draw_job`.
        on_end: Called once before the page is drawn anew.
    """
    with errors_shown():
        try:
            job = get_job(context.engine, job_id)
        except NotFoundError:
            st.rerun()
        if not job.is_active:
            if on_end is not None:
                on_end()
            st.rerun()
        draw_job(context, job, key=key, hint=hint)


def request_of(context: Context, job: JobStatus, kind: type[T]) -> T | None:
    """Return what a job was asked for; `None` when this version cannot read it."""
    with suppress(UnreadableError):
        return read_request(context.engine, job.id, kind)
    return None


def draw_job(context: Context, job: JobStatus, *, key: str = "", hint: str = "") -> None:
    """Draw how far a job is, with a button that stops it; the work of somebody else is only shown.

    Args:
        context: What the page works on.
        job: The job, which waits or works.
        key: Of the button, for a job that is shown in two places of a page; otherwise it has one of its own.
        hint: What to know before one stops it.
    """
    with errors_shown():
        if not context.is_guest:
            control.ensure_runner(context.home)  # it may have died with the computer
        text, fraction = job_progress(context, job)
        st.progress(fraction, text=label(text + _time_left(job)))
        trouble = trouble_words(job, context.home)
        if trouble:
            st.caption(trouble)
        if job.project_id != context.project.id and not control.may_stop(context.engine, job):
            return
        stopping = job.stop_requested is not None
        key = key or f"stop-{job.id}"
        if st.button(
            "Stop", key=key, icon=":material/stop_circle:", disabled=stopping or context.is_guest, help=hint or None
        ):
            control.stop_job(context.engine, job, context.home)
            st.rerun()


def _time_left(job: JobStatus) -> str:
    """Say how long the present phase will still take; nothing where that is not known, or no longer of interest."""
    is_moving = job.stop_requested is None and not job.silent and job.state != "queued"
    if not job.phase or job.total <= 0 or not is_moving:
        return ""
    left = seconds_left(pace_of(job, job.done), job.done, job.total, time.monotonic())
    return "" if left is None else f", {duration(left)} left"
