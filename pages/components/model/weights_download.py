"""Downloads of published weights: begun from any page, watched by everyone who waits for the same file."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.components.frame import job_progress, show_error
from pages.components.state import Context
from pages.components.text import label
from tlcore.backbones.registry import BackboneSpec
from tlcore.errors import NotFoundError, TransferLabError
from tlcore.jobs.control import ensure_runner, start_job, stop_job
from tlcore.storage.jobs import ACTIVE_STATES, JobStatus, get_job, last_job, list_jobs
from tlcore.storage.requests import WeightsDownloadRequest

POLL_SECONDS = 0.5


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


def watch_downloads(context: Context) -> bool:
    """Show the download that works, or why this project's last one failed; return whether one works."""
    active = [job for job in list_jobs(context.engine, states=ACTIVE_STATES) if job.kind == "weights_download"]
    if active:
        _watch(context, active[0].id)
        return True
    last = last_job(context.engine, context.project.id, "weights_download")
    if last is not None and last.state == "failed":
        st.error(label(last.message), icon=":material/cloud_off:")
    return False


@st.fragment(run_every=POLL_SECONDS)
def _watch(context: Context, job_id: str) -> None:
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
    _offer_stop(context, job)


def _offer_stop(context: Context, job: JobStatus) -> None:
    stopping = job.stop_requested is not None
    if st.button("Stop", key=f"stop-{job.id}", icon=":material/stop:", disabled=stopping, help="What came is kept."):
        stop_job(context.engine, job, context.home)
        st.rerun()
