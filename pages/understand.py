"""Understand page: how good the model is, what it confuses, and the pictures that it got wrong."""

import streamlit as st

from pages.components.evaluation_views import show_accuracy, show_classes, show_mistakes
from pages.components.frame import next_step, open_page, show_error
from pages.components.run_choice import choose_run
from tlcore.errors import RunError
from tlcore.evaluation import load_evaluation
from tlcore.storage.runs import run_dir

context = open_page("understand", needs_model=True)
run = choose_run(context)
try:
    evaluation = load_evaluation(run_dir(run.id, context.home))
except RunError as error:
    show_error(error)
    next_step("Train again", "train")
    st.stop()
next_step("Next: Predict", "predict", run=run.id)

if not evaluation.total:
    st.info(
        "This run had no test pictures, so nobody knows yet how good its model is. "
        "Set some pictures apart for the test on Data, then train again.",
        icon=":material/quiz:",
    )
    st.stop()

show_accuracy(evaluation)
show_mistakes(evaluation, context.images)
show_classes(evaluation)
