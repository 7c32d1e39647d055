"""Understand page: how good the model is, what it confuses, and the pictures that it got wrong."""

import streamlit as st

from pages.components.errors import show_error
from pages.components.frame import next_step, open_page
from pages.components.results.certainty_panel import draw_certainty
from pages.components.results.ensemble_form import draw_group_form
from pages.components.results.ensemble_views import draw_delete, show_group
from pages.components.results.evaluation_views import show_accuracy, show_classes, show_mistakes
from pages.components.results.run_choice import choose_model
from pages.components.results.trained_models import evaluation_of
from pages.components.train.simple_heads_panel import draw_simple_heads
from tlcore.errors import RunError
from tlcore.storage.ensembles import Ensemble

context = open_page("understand")
model = choose_model(context)
try:
    evaluation = evaluation_of(context, model)
except RunError as error:
    show_error(error)
    draw_delete(context, model)
    next_step("Train again", "train")
    st.stop()
next_step("Next: Predict", "predict", run=model.id)

if not evaluation.total:
    st.info(
        "This run had no test pictures, so nobody knows yet how good its model is. "
        "Set some pictures apart for the test on Data, then train again.",
        icon=":material/quiz:",
    )
    st.stop()

show_accuracy(evaluation)
draw_certainty(context, model)
if isinstance(model, Ensemble):
    show_group(context, model, evaluation)
show_mistakes(evaluation, context.images)
show_classes(evaluation)

st.subheader("More models from the same pictures", anchor=False)
with st.expander("Let several runs answer together (ensemble)", icon=":material/groups:"):
    draw_group_form(context, model)
with st.expander("Train simple heads in seconds (feature extraction)", icon=":material/bolt:", key="simple-heads"):
    draw_simple_heads(context, model)
