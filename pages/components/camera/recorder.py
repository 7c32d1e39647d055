"""The camera on the Data page: record into classes, and see at once what has been learned from it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.camera.asking import answered
from pages.components.camera.component import Message, View, draw_camera
from pages.components.data.advice import is_ready
from pages.components.data.instant_panel import ready_classifier
from pages.components.errors import errors_kept
from pages.components.results.trained_models import answering_runs, predictor_of, short_name
from pages.components.state import Context, read_context
from pages.components.text import count, plain
from pages.components.train.starting import find_run_obstacle, start_training
from tlcore.dataset import Dataset, rename_class
from tlcore.errors import QuotaError, TransferLabError
from tlcore.intake.camera import Session, add_pictures, with_session
from tlcore.settings.locks import check_lock
from tlcore.storage.datasets import commit_version
from tlcore.storage.runs import Run

if TYPE_CHECKING:
    from tlcore.results.prediction import Predictor

KEPT_FOR = {"train": "to learn from", "validation": "kept for validation", "test": "kept for testing"}


@dataclass(frozen=True, slots=True)
class Recording:
    """What the recorder remembers between two messages.

    Attributes:
        session: What is being recorded; `None` between sessions.
        view: What the camera shows.
        is_stored: Whether the data set has changed since the page was drawn.
    """

    session: Session | None = None
    view: View = field(default_factory=View)
    is_stored: bool = False


def draw_recorder(context: Context) -> None:
    """Draw the camera, its answers, and the button that trains on what was recorded."""
    asked = next((run for run in answering_runs(context) if run.version == context.version), None)
    _recorder(context, asked)
    works = any(run.job.is_active and run.version == context.version for run in context.runs)
    if is_ready(context.dataset) and asked is None and not works:
        _train_button(context)


def _train_button(context: Context) -> None:
    obstacle = find_run_obstacle(context)
    pressed = st.button(
        "Train, and answer here",
        key="train-here",
        icon=":material/model_training:",
        disabled=obstacle is not None,
        help=obstacle or "Trains with the settings as they are. As soon as the model is there, it answers here.",
    )
    if pressed:
        with errors_kept():
            start_training(context)
        st.rerun()


@st.fragment
def _recorder(context: Context, run: Run | None) -> None:
    from tlcore.intake.pictures import decoders

    decoders.warm()  # while the person gets the camera ready
    key = f"camera-{context.project.id}"
    kept = f"{key}-recording"

    def take(message: Message) -> None:
        st.session_state[kept] = taken(st.session_state[kept], message, context, run)

    recording: Recording = st.session_state.setdefault(kept, Recording())
    view = replace(recording.view, asks=is_ready(context.dataset), hint=next_words(context.dataset))
    draw_camera(key, view, take, dataset=context.dataset)
    if recording.is_stored:
        st.session_state[kept] = replace(recording, is_stored=False)
        st.rerun()


def taken(recording: Recording, message: Message, context: Context, run: Run | None) -> Recording:
    """Return what the recorder remembers after a message: pictures stored, a question answered, a class renamed."""
    view = replace(recording.view, answered=message.number, said="")
    session, is_stored = recording.session, False
    with errors_kept():
        if session is not None and session.id != message.session:  # its end got lost, as when the page was left
            view, session, is_stored = replace(view, said=_store(context, session)), None, True
        if message.kind == "question":
            return Recording(session, _answer(view, message, context, run), is_stored)
        if message.kind == "rename":
            _rename(context, message.class_name, message.new_name)
            return Recording(session, view, is_stored=True)
        now = time.monotonic()
        session = session or Session(message.session, message.class_name, now)
        try:
            session = add_pictures(session, message.pictures, context.images_to_add(session.images), now)
        except QuotaError as error:  # what was recorded until now is stored all the same
            session = replace(session, refused=str(error))
        if not message.is_last:
            return Recording(session, view, is_stored)
        return Recording(None, replace(view, said=_store(context, session)), is_stored=True)
    return Recording(None, view, is_stored=True)  # the page is drawn anew with the reason


def _answer(view: View, message: Message, context: Context, run: Run | None) -> View:
    predictor: Predictor
    try:
        if run is not None:
            predictor, note = predictor_of(context, run), f"{short_name(run)} answers, trained on these pictures."
        else:
            found = ready_classifier(context, context.dataset)
            if isinstance(found, str):
                return replace(view, bars=(), note=found)
            predictor = found.predictor
            note = f"Instant answers, from {count(found.learned_from, 'picture')} and without training."
    except TransferLabError as error:
        return replace(view, bars=(), note=str(error))
    return answered(view, message, predictor, note)


def _store(context: Context, session: Session) -> str:
    """Make the pictures of a session a version of the data set; say what became of them."""
    if not session.images:
        return f"No picture was taken. {session.refused}"
    check_lock(context.engine, "pictures")
    now = read_context(context.project.id)  # another page may have changed the data set since this one was drawn
    dataset = with_session(now.dataset, session, datetime.now(), now.images.thumbnail)
    added = len(dataset.items) - len(now.dataset.items)
    note = f"{count(added, 'picture')} into {session.class_name}"
    commit_version(now.engine, now.project.id, dataset, note, parent=now.project.version, home=now.home)
    where = f", {KEPT_FOR[dataset.items[-1].split]}" if added else ": they were there already"
    if added and dataset.items[-1].group in {item.group for item in now.dataset.items}:
        where += " with those before, which they look like"
    refused = f" {session.refused}" if session.refused else ""
    return f"{count(added, 'picture')} recorded into {plain(session.class_name)}{where}.{refused}"


def _rename(context: Context, name: str, new_name: str) -> None:
    now = read_context(context.project.id)
    label = now.dataset.class_named(name)
    if label is None:
        return
    dataset = rename_class(now.dataset, label.id, new_name)
    note = f"renamed {name} to {new_name}"
    commit_version(now.engine, now.project.id, dataset, note, parent=now.project.version, home=now.home)


def next_words(dataset: Dataset) -> str:
    """Return what to record next, in a sentence; empty when nothing is missing."""
    counts = dataset.counts()
    recorded = [label for label in dataset.classes if counts[label.id, "train"]]
    if not recorded:
        return "Show something, hold the button, and turn it while you hold. A few seconds are enough."
    if len(recorded) < 2:
        return "Now choose another class and show something else, or nothing at all."
    if any(not counts[label.id, "test"] + counts[label.id, "validation"] for label in recorded):
        return (
            "Record each class again from another place: that is kept for testing, and tells whether it has learned "
            "the thing or only the place."
        )
    return "Where is it wrong? Record more of that, into the right class."
