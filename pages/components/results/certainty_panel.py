"""How sure an accuracy is: the settings of a run trained again on other splits, as a job, and what came out."""

from __future__ import annotations

import streamlit as st

from pages.components.amounts import duration, percent
from pages.components.colors import is_dark
from pages.components.errors import errors_shown, show_error
from pages.components.figures.splits import splits_figure
from pages.components.forms import work_state
from pages.components.job_view import watch_job
from pages.components.results.trained_models import Model
from pages.components.state import Context
from pages.components.text import label
from tlcore.errors import UnreadableError
from tlcore.jobs.control import start_job
from tlcore.results.cross_validation import CrossValidation
from tlcore.storage.jobs import JobStatus, last_job, read_result
from tlcore.storage.requests import CrossValidationRequest
from tlcore.storage.runs import Run

SPLITS = (5, 10)
NUMBERS = {5: "Five", 10: "Ten"}


def draw_certainty(context: Context, model: Model) -> None:
    """Offer trainings of a run's settings on other splits, show them while they work, and what they reached.

    Nothing is drawn for groups and simple heads.
    """
    if not isinstance(model, Run):
        return
    requests = {splits: CrossValidationRequest(model.id, splits) for splits in SPLITS}
    project_id = context.project.id
    jobs = {
        splits: last_job(context.engine, project_id, "cross_validation", request.key)
        for splits, request in requests.items()
    }
    asked = {splits: job.created for splits, job in jobs.items() if job is not None}
    with st.expander("How sure is that?", icon=":material/casino:", expanded=bool(asked), key="certainty"):
        st.markdown(
            "With other pictures for training and for validation the accuracy would be another one. Train the same "
            "settings on other splits, and see how much that matters (**cross-validation**)."
        )
        splits = st.segmented_control(
            "How many trainings?",
            SPLITS,
            default=max(asked, key=asked.__getitem__, default=SPLITS[0]),
            required=True,
            key=f"certainty-splits-{model.id}",
            help="The pictures for training and validation are dealt into as many parts. Each training sets another "
            "part aside and is asked about it at the end, so that every picture is asked about once. With ten, "
            "each training has more pictures to learn from, and it takes twice as long.",
        )
        _draw_trainings(context, model, requests[splits], jobs[splits])


def _draw_trainings(context: Context, run: Run, request: CrossValidationRequest, job: JobStatus | None) -> None:
    """Draw the button that starts the trainings, their progress, or their result."""
    if job is not None and job.is_active:
        watch_job(context, job.id)
        return
    if job is not None and job.state == "failed":
        show_error(job.message)
    try:
        found = None if job is None else read_result(context.engine, job.id, CrossValidation)
    except UnreadableError as error:
        found = None
        st.caption(f"The last trainings cannot be shown. {label(str(error))}")
    if found is not None:
        _draw_result(run, found)
        return
    if run.summary is not None:
        once, all_told = duration(run.summary.seconds), duration(request.splits * run.summary.seconds)
        st.caption(f"Takes about {all_told} at most: this run took {once}, and what the frozen blocks saw is kept.")
    if st.button(
        f"Train {request.splits} times",
        key="train-splits",
        icon=":material/replay:",
        **work_state(context, "cross_validation"),
    ):
        with errors_shown():
            start_job(context.engine, context.home, "cross_validation", context.project.id, request, key=request.key)
            st.rerun()


def _draw_result(run: Run, found: CrossValidation) -> None:
    own = None if run.summary is None else run.summary.validation_accuracy
    st.plotly_chart(
        splits_figure(found, own, dark=is_dark()),
        config={"displayModeBar": False},
        key="splits",
        alt=description(found, own),
    )
    st.markdown(spread_words(found))
    own_words = "" if own is None else " Dashed: this run on its validation pictures, which also chose its best epoch."
    st.caption(
        f"Each dot is one training, the line their mean, the band one standard deviation to either side. Together they "
        f"were asked about all {found.total:,} pictures for training and validation, each time about pictures that the "
        f"training had not seen: {found.correct:,} right. The test pictures stayed out of it.{own_words}"
    )


def spread_words(found: CrossValidation) -> str:
    """Say what the trainings reached, and what that means for one of them."""
    low, high = min(found.accuracies), max(found.accuracies)
    number = NUMBERS.get(len(found.folds), str(len(found.folds)))
    if low == high:
        return f"{number} trainings on other splits: **{percent(low, 1)}** every time. The split makes no difference."
    return (
        f"{number} trainings on other splits: {100 * low:.1f} to {percent(high, 1)}, "
        f"on average **{percent(found.mean, 1)}**. "
        f"A single split can be lucky or unlucky by about {100 * found.deviation:.1f} points."
    )


def description(found: CrossValidation, own: float | None) -> str:
    """Return what the figure shows in a sentence, for those who cannot see it."""
    own_words = "" if own is None else f"; the validation accuracy of this run is {percent(own, 1)}"
    each = ", ".join(f"{100 * accuracy:.1f}" for accuracy in found.accuracies)
    return (
        f"Accuracy of {len(found.folds)} trainings on other splits: {each} %, mean {percent(found.mean, 1)}, "
        f"standard deviation {100 * found.deviation:.1f} points{own_words}."
    )
