"""Pictures to ask a model about, dropped, photographed or at hand already: answered at once, without their files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.results.answers import Answer, JudgePixels, ask, keep_answers
from pages.components.results.many_pictures import show_next
from pages.components.results.ready_pictures import choose_ready_pictures
from pages.components.state import Context
from pages.components.text import count
from pages.server.private_streamlit import remove_uploaded
from tlcore.dataset import Unlabelled
from tlcore.errors import ImageError, TransferLabError

if TYPE_CHECKING:
    from tlcore.results.prediction import Predictor

MAX_PICTURES = 200
MAX_PICTURE_MB = 50
MAX_KEPT = 24
"""Of how many pictures a copy is kept, for corrections and for another model: some 3 MB for each visitor."""


def bring_pictures(predictor: Predictor, model_id: str, judge: JudgePixels | None = None) -> None:
    """Let the person drop pictures; keep the answers, free the files and draw the page anew.

    Args:
        predictor: The model.
        model_id: Tells its answers from those of others.
        judge: Says of the pictures of which no file is kept whether they look like none of the classes.
    """
    from tlcore.intake.pictures import decoders

    decoders.warm()  # while the person looks for pictures
    # Another key makes the widget empty again.
    generation = st.session_state.setdefault("pictures-generation", 0)
    files = st.file_uploader(
        "Drop one or many pictures here",
        accept_multiple_files=True,
        key=f"pictures-{generation}",
        max_upload_size=MAX_PICTURE_MB,
        help=f"At most {MAX_PICTURES} at once. They are looked at, and forgotten when you clear them or leave.",
    )
    if files:
        questions = [
            partial(ask, predictor, file.name, file.getvalue(), keep_picture=number < MAX_KEPT, judge=judge)
            for number, file in enumerate(files)
        ]
        _ask_all(predictor, model_id, questions)
        remove_uploaded(files)
        if len(files) > MAX_PICTURES:
            st.toast(f"Only the first {MAX_PICTURES} of {len(files)} pictures were looked at.")
        st.session_state["pictures-generation"] = generation + 1
        st.rerun()


def pictures_at_hand(context: Context, predictor: Predictor, model_id: str, judge: JudgePixels | None) -> None:
    """Offer pictures that are here already: those without a class, and those of ready sets."""
    _unlabelled_button(context, predictor, model_id, judge)
    with st.expander("Ask about pictures of a ready set", icon=":material/auto_awesome_mosaic:"):
        tapped = choose_ready_pictures(context.home)
    if tapped:
        questions = [
            partial(ask, predictor, name, one.image, one.class_name, keep_file=number < MAX_KEPT, judge=judge)
            for number, (name, one) in enumerate(tapped)
        ]
        _ask_all(predictor, model_id, questions)
        st.rerun()


def _unlabelled_button(context: Context, predictor: Predictor, model_id: str, judge: JudgePixels | None) -> None:
    """Offer the pictures of the data set that came without a class, such as a competition's test pictures."""
    try:
        unlabelled = context.dataset.unlabelled
    except TransferLabError:  # said above
        return
    asked = f"the first {MAX_PICTURES:,} of " if len(unlabelled) > MAX_PICTURES else ""
    if unlabelled and st.button(
        f"Ask about {asked}{count(len(unlabelled), 'picture')} that came without a class",
        key="ask-unlabelled",
        icon=":material/help_center:",
    ):
        questions = [
            partial(_ask_stored, context, predictor, one, judge, keep_file=number < MAX_KEPT)
            for number, one in enumerate(unlabelled)
        ]
        _ask_all(predictor, model_id, questions)
        st.rerun()


def _ask_stored(
    context: Context, predictor: Predictor, one: Unlabelled, judge: JudgePixels | None, *, keep_file: bool
) -> Answer:
    try:
        data = context.images.read(one.image)
        return ask(predictor, one.name, data, keep_file=keep_file, judge=judge)
    except ImageError as error:
        return Answer(one.name, reason=str(error))


def _ask_all(predictor: Predictor, model_id: str, questions: Sequence[Callable[[], Answer]]) -> None:
    """Ask about the first `MAX_PICTURES` pictures, with a bar, and keep the answers."""
    progress = st.progress(0.0, "Looking at your pictures")
    answers, total = [], min(len(questions), MAX_PICTURES)
    for number, question in enumerate(questions[:total], start=1):
        answers.append(question())
        progress.progress(number / total, f"Picture {number} of {total}")
    keep_answers(model_id, predictor, answers)
    st.session_state["camera"] = False
    show_next(None)
