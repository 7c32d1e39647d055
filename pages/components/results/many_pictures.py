"""Many pictures at once: bring a ZIP file or a folder for a job that asks the model, and choose what it answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import streamlit as st

from pages.components.errors import errors_kept, show_error
from pages.components.forms import GUEST_CANNOT
from pages.components.job_view import watch_job
from pages.components.results.trained_models import Model, list_models, short_name
from pages.components.state import Context
from pages.components.text import count, label, plain
from pages.components.upload.file_drop import file_drop
from tlcore.settings.locks import LOCKED
from tlcore.storage.jobs import last_job
from tlcore.storage.predictions import Prediction, delete_prediction, read_predictions

_CHOSEN = "many-chosen"
_NEXT = "many-next"
"""What the choice shall be when the page is drawn next: once drawn, the choice is the person's alone."""


def many_pictures(context: Context, model: Model) -> Prediction | None:
    """Draw the place for many pictures, the jobs that work on some, and the choice of earlier answers.

    Returns:
        The answers to show; `None` when none are chosen, and for guests: what the owner asked about is not shared.
    """
    with st.expander("Ask about a ZIP file or a whole folder", icon=":material/folder_zip:"):
        if context.is_guest:
            st.info(GUEST_CANNOT, icon=":material/visibility:")
            st.caption(
                "Pictures that the owner has asked about are not part of the data set, so nobody else sees them."
            )
            return None
        if "predictions" in context.locked:
            st.info(LOCKED, icon=":material/lock:")
        else:
            file_drop(
                context,
                context.project.id,
                then="The answers begin.",
                key="predict",
                title="Drop a folder or ZIP files here",
                hint="Thousands of pictures are fine. Call folders like your classes to see how often the model is "
                "right.",
                on_begun=lambda _job_id: None,
                folders=True,
                asked={"model": model.id},
            )
    for job in context.active_jobs("prediction"):
        hint = "What was answered until then is kept."
        watch_job(context, job.id, hint=hint, on_end=partial(show_next, job.id))
    found, unreadable = read_predictions(context.engine, context.project.id)
    _draw_failure(context, found)
    if unreadable:
        st.caption(f"{count(len(unreadable), 'earlier answer file')} cannot be read. {label(unreadable[0].reason)}")
    return _choose(context, found)


def show_next(job_id: str | None) -> None:
    """Show these answers when the page is drawn next, or none."""
    st.session_state[_NEXT] = job_id


def prediction_titles(context: Context, predictions: Sequence[Prediction]) -> list[str]:
    """Return answers in a few words, such as `flowers.zip: 500 pictures, by Run 3, 28 Nov 14:05`."""
    names = {model.id: short_name(model) for model in list_models(context)}

    def title(prediction: Prediction) -> str:
        summary = prediction.summary
        brought = plain(summary.brought, 60) or "Your files"
        by = names.get(summary.model_id, "a model that is gone")
        when = datetime.fromtimestamp(prediction.created)
        return f"{brought}: {count(summary.answered, 'picture')}, by {by}, {when:%d %b %H:%M}"

    return [title(one) for one in predictions]


def _choose(context: Context, found: Sequence[Prediction]) -> Prediction | None:
    by_id = {one.job_id: one for one in found}
    if _NEXT in st.session_state:
        st.session_state[_CHOSEN] = st.session_state.pop(_NEXT)
    if st.session_state.get(_CHOSEN) not in by_id:
        st.session_state[_CHOSEN] = None
    if not by_id:
        return None
    titles = dict(zip(by_id, prediction_titles(context, found), strict=True))
    chosen = st.selectbox(
        "Answers to many pictures",
        list(by_id),
        index=None,
        format_func=titles.__getitem__,
        placeholder="Choose answers to look at",
        key=_CHOSEN,
        width=560,
    )
    return None if chosen is None else by_id[chosen]


def _draw_failure(context: Context, found: Sequence[Prediction]) -> None:
    """Say why the last job failed until it is put away; of one that left answers these say it."""
    job = last_job(context.engine, context.project.id, "prediction")
    if job is None or job.state != "failed" or job.id in {one.job_id for one in found}:
        return
    show_error(job.message or "The pictures could not be answered. Bring them again.")
    if st.button("I have read it", key=f"put-away-{job.id}"):
        with errors_kept():
            delete_prediction(context.engine, context.project.id, job.id, context.home)
        st.rerun()
