"""Downloads of published weights: begun from any page, watched by everyone who waits for the same file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import streamlit as st

from pages.components.frame import job_progress, show_error
from pages.components.state import Context
from pages.components.text import label
from tlcore.backbones.registry import BackboneSpec
from tlcore.errors import NotFoundError, TransferLabError, UnreadableError
from tlcore.jobs.control import ensure_runner, start_job, stop_job
from tlcore.storage.jobs import ACTIVE_STATES, JobStatus, get_job, last_job, list_jobs, read_request
from tlcore.storage.requests import WeightsDownloadRequest

POLL_SECONDS = 0.5
KEPT = "What came so far is kept; the next download goes on from there."


def start_download(context: Context, specs: Sequence[BackboneSpec]) -> None:
    """Put a download in line; the same one that waits or works already, for whomever, is watched instead."""
    request = WeightsDownloadRequest(tuple(spec.name for spec in specs))
    key = " ".join(request.backbones)
    try:
        start_job(context.engine, context.home, "weights_download", context.project.id, request, key=key)
    except TransferLabError as error:
        show_error(error)
        return
    st.rerun()


def watch_downloads(context: Context, place: str) -> bool:
    """Show the download that works, for whomever; return whether one does.

    Args:
        context: What the page works on.
        place: Where on the page it is shown, since it may be shown in two.
    """
    active = [job for job in list_jobs(context.engine, states=ACTIVE_STATES) if job.kind == "weights_download"]
    if active:
        _watch(context, active[0].id, place)
    return bool(active)


def failed_download(context: Context) -> tuple[JobStatus, tuple[str, ...]] | None:
    """Return the project's last download if it failed, and the backbones that it was for."""
    job = last_job(context.engine, context.project.id, "weights_download")
    if job is None or job.state != "failed":
        return None
    with suppress(UnreadableError):
        return job, read_request(context.engine, job.id, WeightsDownloadRequest).backbones
    return None


def show_failure(job: JobStatus) -> None:
    """Say why a download failed."""
    st.error(label(job.message), icon=":material/cloud_off:")


@st.fragment(run_every=POLL_SECONDS)
def _watch(context: Context, job_id: str, place: str) -> None:
    try:
        job = get_job(context.engine, job_id)
        ensure_runner(context.home)  # it may have died with the computer
    except NotFoundError:
        st.rerun()
    except TransferLabError as error:
        show_error(error)
        return
    if not job.is_active:
        st.rerun()
    text, fraction = job_progress(context, job)
    st.progress(fraction, text=label(text))
    stops = job.stop_requested is not None
    if st.button("Stop", key=f"stop-{place}-{job.id}", icon=":material/stop:", disabled=stops, help=KEPT):
        stop_job(context.engine, job, context.home)
        st.rerun()
