"""One run on the page: live while it works, and what it reached when it ended."""

from __future__ import annotations

import time
from dataclasses import dataclass

import sqlalchemy as sa
import streamlit as st

from pages.components.amounts import accuracy_with_interval, duration, interval_words, percent
from pages.components.errors import errors_shown, show_error
from pages.components.figures.curves import CURVE_HEIGHT, curve_figure, curve_words
from pages.components.figures.live_plot import Figure, live_plot
from pages.components.frame import step_link
from pages.components.job_words import hindrance, trouble_words
from pages.components.line_words import line_sentence, line_words
from pages.components.pace import pace_of, seconds_left
from pages.components.results.exam import opened_models
from pages.components.results.trained_models import can_answer, freed_words, validation_counts, validation_words
from pages.components.state import NEXT_RUN, Context
from pages.components.text import count, label
from pages.components.train.coach_view import draw_coach
from pages.components.train.run_settings import run_settings
from tlcore.config import RunConfig
from tlcore.errors import TransferLabError
from tlcore.home import DataRoot
from tlcore.jobs.control import ensure_runner
from tlcore.progress import TRAINING_PHASES, Phase, phase_words
from tlcore.storage.jobs import JobStatus
from tlcore.storage.runs import Run, RunSummary, get_run, last_metric, read_metrics

POLL_SECONDS = 1.0

FEATURES_SENTENCE = "The frozen blocks look at every picture once; the answers are kept for all epochs."
PHASE_SENTENCES: dict[Phase, str] = {
    "compiling": "The frozen blocks are made fast for this computer. The next run does not wait for this.",
    "preparing": "Getting the pictures and the backbone ready.",
    "features": FEATURES_SENTENCE,
    "view_features": FEATURES_SENTENCE,
    "validation_features": FEATURES_SENTENCE,
    "waiting_for_features": "Another run computes the same; this one will share it.",
    "loading": "Getting the program ready that trains.",
    "fine_tuning": "The head has learned; now blocks of the backbone learn too, in small steps from the best epoch on.",
    "training": "The trainable part learns, epoch by epoch. Validation pictures show whether it holds for new ones.",
    "testing": "The best epoch answers validation and test pictures. The exam stays closed until you open it.",
    "saving": "Writing the model down.",
}
"""What a phase of a run means."""


def draw_live(context: Context, run_id: str) -> None:
    """Show a run that waits or works; about once a second only this part of the page runs again."""
    st.fragment(run_every=POLL_SECONDS)(_draw_live)(context, run_id)


def _draw_live(context: Context, run_id: str) -> None:
    with errors_shown():
        run = get_run(context.engine, run_id)
        if not run.job.is_active:
            st.rerun()  # once: the whole page shows what it reached, and the polling ends
        # The runner may have died with the computer; whoever looks at a run brings it back.
        if not context.is_guest:
            ensure_runner(context.home)
        st.subheader(f"Run {run.number}", anchor=False)
        curves = read_curves(context, run)
        epoch = curves.epoch if curves else 0.0
        fraction, text = progress_of(context, run, epoch)
        st.progress(fraction, text=text)
        st.caption(_phase_sentence(run.job, context.home, has_learned=epoch >= 1))
        draw_curves(run, curves)
        draw_coach(context, run)


def progress_of(context: Context, run: Run, epoch: float) -> tuple[float, str]:
    """Return how much of the present phase is done, in `[0, 1]`, and the same in words with the time left."""
    job = run.job
    if job.state == "queued":
        place = hindrance(context.home) or line_words(context, job)
        return 0.0, f"**Waiting**: {place}" if place else "**About to start**"
    if job.stop_requested is not None:
        return 1.0, "**Stopping**"
    if job.silent:
        return min(1.0, epoch / epochs_asked_for(run.config)), "**Not answering**"
    if not job.phase:
        return 0.0, "**Starting**"
    words = label(phase_words(job.phase, job.subject))
    epochs = epochs_asked_for(run.config)
    if job.phase == "waiting_for_room":
        return min(1.0, epoch / epochs_asked_for(run.config)), f"**{words}**"
    trains = job.phase in TRAINING_PHASES
    if not trains and 0 < epoch < epochs and job.total:
        # Augmented views are computed between two epochs; the bar keeps showing the whole training.
        return (
            epoch / epochs,
            f"**{words}**: {job.done:,} of {job.total:,}, for epoch {int(epoch) + 1}",
        )
    if job.total <= 0:
        return 0.0, f"**{words}**"
    # The curve knows parts of an epoch, the job counts whole ones.
    done = max(epoch, job.done) if trains else float(job.done)
    left = seconds_left(pace_of(run.job, done), done, job.total, time.monotonic())
    if trains:
        where = f"epoch {min(int(done) + 1, job.total)} of {job.total}"
        remaining = f", at most {duration(left)} left" if left is not None else ""
    else:
        where = f"{job.done:,} of {job.total:,}"
        remaining = f", {duration(left)} left" if left is not None else ""
    return min(1.0, done / job.total), f"**{words}**: {where}{remaining}"


def epochs_asked_for(config: RunConfig) -> int:
    """Return how many epochs a run has at most, over all its phases."""
    return sum(phase.training.epochs for phase in config.phases)


def _phase_sentence(job: JobStatus, home: DataRoot, *, has_learned: bool) -> str:
    trouble = trouble_words(job, home)
    if trouble:
        return trouble
    if job.stop_requested is not None:
        return "The best epoch is tested and kept." if has_learned else "No epoch has ended yet, so nothing is kept."
    if job.state == "queued":
        return line_sentence(job.kind)
    usual = "You can close this page; the training goes on."
    return PHASE_SENTENCES.get(job.phase, usual) if job.phase else usual


@dataclass(frozen=True, slots=True)
class Curves:
    """What is drawn of a run.

    Attributes:
        epoch: How far the curves go.
        accuracy: Figure of the accuracy.
        loss: Figure of the loss.
    """

    epoch: float
    accuracy: Figure
    loss: Figure


def read_curves(context: Context, run: Run) -> Curves | None:
    """Return the curves of a run; `None` before its first point."""
    last = last_metric(context.engine, run.id)
    if last is None:
        return None
    best_epoch = run.summary.best_epoch if run.summary else None
    epochs = epochs_asked_for(run.config) if run.job.is_active else None
    return _curves(run.id, last, epochs, best_epoch, context.engine)


# Thirty people who watch one run see the same figures: they are made once for each new point.
@st.cache_resource(max_entries=64, show_spinner=False)
def _curves(run_id: str, last: int, epochs: int | None, best_epoch: int | None, _engine: sa.Engine) -> Curves | None:
    points = read_metrics(_engine, run_id)
    if not points:  # all of them are damaged
        return None
    figures = [curve_figure(points, name, epochs=epochs, best_epoch=best_epoch) for name in ("accuracy", "loss")]
    return Curves(max(point.epoch for point in points), *figures)


def draw_curves(run: Run, curves: Curves | None) -> None:
    """Draw accuracy and loss side by side, or say when they will come."""
    if curves is None:
        if run.job.is_active:
            st.info("The curves begin with the first epoch.", icon=":material/show_chart:")
        return
    accuracy, loss = st.columns(2, gap="medium")
    # Keys by number: an id may hold two underscores in a row, which no key of a component may.
    with accuracy:
        st.markdown("**Accuracy**, higher is better", help="The part of the pictures that the model names right.")
        live_plot(
            curves.accuracy,
            key=f"accuracy-{run.number}",
            height=CURVE_HEIGHT,
            description=curve_words(curves.accuracy, "Accuracy"),
        )
    with loss:
        st.markdown(
            "**Loss**, lower is better",
            help="How wrong and how sure of it the model is. When the validation loss rises while the training loss "
            "falls, the model learns its pictures by heart: overfitting.",
        )
        live_plot(
            curves.loss,
            key=f"loss-{run.number}",
            height=CURVE_HEIGHT,
            description=curve_words(curves.loss, "Loss"),
        )


def draw_ended(context: Context, run: Run) -> None:
    """Show what an ended run reached, or why it did not."""
    job, summary = run.job, run.summary
    st.subheader(f"Run {run.number}", anchor=False)
    if job.state == "failed":
        show_error(job.message)
    elif job.state == "stopped":
        st.info(label(job.message or "Stopped."), icon=":material/stop_circle:")
    elif job.message:
        st.warning(label(job.message), icon=":material/warning:")
    if summary is not None:
        if not can_answer(context, run):
            st.info(freed_words(context, run), icon=":material/inventory_2:")
        _draw_result(context, run, summary)
    draw_curves(run, read_curves(context, run))
    draw_coach(context, run)
    if summary is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            step_link("understand", "Understand its mistakes", ":material/search:", context.project.id, run.id)
            st.button("Back to the settings", key="train_again", icon=":material/tune:", on_click=leave_run)
    with st.expander("What was chosen"):
        st.markdown("\n".join(f"- **{what}**: {label(value)}" for what, value in run_settings(run)))


def leave_run() -> None:
    """Leave the run that is shown, for the settings of the next one."""
    st.query_params["run"] = NEXT_RUN


def _draw_result(context: Context, run: Run, summary: RunSummary) -> None:
    try:
        classes = context.dataset_of(context.project, run.version).num_classes
    except TransferLabError:  # the list of pictures is damaged; what the run reached is not
        classes = 0
    with st.container(border=True, key="result"):
        correct, total = validation_counts(run) or (0, 0)
        guessing = f"Guessing gets {percent(1 / classes)}." if classes else ""
        if summary.validation_accuracy is None:
            st.markdown("**No validation pictures**, so runs cannot be compared. Set some apart on Data.")
        else:
            st.metric(
                "Validation accuracy",
                validation_words(run),
                help="The part of the validation pictures that it named right. It did not learn from them, but they "
                "chose its best epoch, so the figure is a little optimistic. With other pictures it would differ a "
                "little: 95 of 100 such intervals hold the true value.",
            )
        if total:
            st.markdown(
                f"**{correct:,} of {count(total, 'validation picture')} right.** On new pictures of this kind expect "
                f"{interval_words(correct, total)} (95 % interval), or a little less. {guessing}"
            )
        _draw_exam(context, run, summary)
        st.caption(
            f"Best epoch: {summary.best_epoch} of {summary.epochs}. It took {duration(summary.seconds)}; "
            f"{summary.trainable_parameters:,} weights learned, {summary.frozen_parameters:,} stayed frozen."
        )


def _draw_exam(context: Context, run: Run, summary: RunSummary) -> None:
    """Show the test result when somebody has asked for it, else the way there."""
    correct, total = summary.test_correct, summary.test_total
    if not total:
        st.markdown("**No test pictures**, so nobody knows how good it is on new ones. Set some apart on Data.")
    elif run.id in opened_models(context):
        st.markdown(f"**Exam: {accuracy_with_interval(correct, total)}** of {count(total, 'test picture')} right.")
    else:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Its exam of {count(total, 'test picture')} is not opened yet.", width="content")
            step_link("understand", "To the exam", ":material/quiz:", context.project.id, run.id)
