"""Downloads of published weights: begun from any page, watched by everyone who waits for the same file."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.components.errors import errors_kept
from pages.components.job_view import request_of, watch_job
from pages.components.state import Context
from pages.components.text import label
from tlcore.backbones.registry import BackboneSpec
from tlcore.jobs.control import start_job
from tlcore.storage.jobs import last_job
from tlcore.storage.requests import WeightsDownloadRequest

KEPT = "What came so far is kept; the next download goes on from there."


def start_download(context: Context, specs: Sequence[BackboneSpec]) -> None:
    """Put a download in line; the same one that waits or works already, for whomever, is watched instead.

    Meant for callbacks.
    """
    request = WeightsDownloadRequest(tuple(spec.name for spec in specs))
    key = " ".join(request.backbones)
    with errors_kept():
        start_job(context.engine, context.home, "weights_download", context.project.id, request, key=key)


def watch_downloads(context: Context, place: str) -> bool:
    """Show the download that works, for whomever; return whether one does.

    Args:
        context: What the page works on.
        place: Where on the page it is shown, since it may be shown in two.
    """
    active = context.active_jobs("weights_download", of_everyone=True)
    if active:
        job_id = active[0].id
        watch_job(context, job_id, key=f"stop-{place}-{job_id}", hint=KEPT)
    return bool(active)


def show_failed_download(context: Context, *, of_chosen: bool) -> None:
    """Say why the project's last download failed, if it did.

    Args:
        context: What the page works on.
        of_chosen: Whether a download of the chosen backbone is meant, or one of others.
    """
    job = last_job(context.engine, context.project.id, "weights_download")
    if job is None or job.state != "failed":
        return
    request = request_of(context, job, WeightsDownloadRequest)
    if request is not None and (context.project.config.model.backbone in request.backbones) == of_chosen:
        st.error(label(job.message), icon=":material/cloud_off:")
