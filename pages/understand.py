"""Understand page: how good the model is, what it confuses, and the pictures that it got wrong."""

from collections.abc import Callable
from contextlib import suppress

import streamlit as st

from pages.components.errors import show_error
from pages.components.frame import next_step, open_page
from pages.components.results.calibration_view import as_answered, draw_calibration, draw_threshold
from pages.components.results.certainty_panel import draw_certainty
from pages.components.results.ensemble_form import draw_group_form
from pages.components.results.ensemble_views import draw_delete, show_group
from pages.components.results.evaluation_views import (
    show_accuracy,
    show_classes,
    show_mistakes,
    show_what_belongs_together,
)
from pages.components.results.exam import choose_answers, draw_exam
from pages.components.results.mistake_fixes import draw_brought, draw_waiting, fixes_of
from pages.components.results.picture_map import draw_map
from pages.components.results.run_choice import choose_model
from pages.components.results.scores_view import draw_scores
from pages.components.results.why_panel import why_of
from pages.components.train.coach_view import draw_coach
from pages.components.train.simple_heads_panel import draw_simple_heads
from tlcore.errors import RunError, TransferLabError
from tlcore.results.evaluation import Answered
from tlcore.storage.ensembles import Ensemble

context = open_page("understand")
model = choose_model(context)
try:
    shown = choose_answers(context, model)
except RunError as error:
    show_error(error)
    draw_delete(context, model)
    next_step("Train again", "train")
    st.stop()
next_step("Next: Predict", "predict", run=model.id)


def asked_and_done(place: str) -> Callable[[Answered], None]:
    """Return what draws, below a picture in a place of the page, what can be asked and done about it."""
    why, fixes = why_of(context, model, place), fixes_of(context, model, place)

    def draw(answered: Answered) -> None:
        why(answered)
        if fixes is not None:
            fixes(answered)

    return draw


if shown is None:
    draw_exam(context, model, None)
    draw_delete(context, model)
else:
    split, original = shown
    key = f"{model.id}-{split}"  # what is chosen among these answers is not chosen among others
    evaluation = as_answered(context, model, original)
    show_accuracy(evaluation, split, model)
    with suppress(TransferLabError):  # a damaged list of pictures, which is said above
        show_what_belongs_together(evaluation, split, context.dataset_of(context.project, model.version))
    draw_coach(context, model)
    draw_exam(context, model, split)
    draw_certainty(context, model)
    draw_scores(context, model)
    if isinstance(model, Ensemble):
        show_group(context, model, evaluation, split)
    show_mistakes(evaluation, split, context.images, key=key, below=asked_and_done("mistake"))
    draw_waiting(context, model)
    draw_brought(context, model, split)
    show_classes(evaluation, split, context.images, key=key, below=asked_and_done("cell"))
    draw_calibration(context, model, original, split)
    draw_threshold(context, model, evaluation, split)
draw_map(context, model)

st.subheader("More models from the same pictures", anchor=False)
if not context.is_guest:
    with st.expander("Let several runs answer together (ensemble)", icon=":material/groups:"):
        draw_group_form(context, model)
with st.expander("Train simple heads in seconds (feature extraction)", icon=":material/bolt:", key="simple-heads"):
    draw_simple_heads(context, model)
