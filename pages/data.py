"""Data page: bring pictures, look at them, put them in order."""

import streamlit as st

from pages.components.colors import is_dark
from pages.components.data.advice import data_advice, is_ready
from pages.components.data.bring import ONE_CLASS_WAYS, bring_pictures
from pages.components.data.class_panel import class_panel
from pages.components.data.doctor_panel import doctor_panel
from pages.components.data.edits import undo_button, way_back
from pages.components.data.groups_panel import groups_panel
from pages.components.data.instant_panel import draw_instant_answers
from pages.components.data.last_import import show_import
from pages.components.data.reading_panel import ask_reading, reading_choice
from pages.components.data.split_panel import split_panel
from pages.components.data.unlabelled_panel import unlabelled_panel
from pages.components.errors import errors_shown
from pages.components.forms import GUEST_CANNOT
from pages.components.frame import go_to, next_step, open_page
from pages.components.job_view import watch_job
from pages.components.text import count, label
from pages.components.train.starting import find_run_obstacle, start_training
from tlcore.errors import TransferLabError
from tlcore.storage.jobs import last_job

MAX_CHART_HEIGHT = 560

context = open_page("data")
try:
    dataset = context.dataset
except TransferLabError:  # said above
    way_back(context)
    st.stop()

active = context.active_jobs("import")
for job in active:
    watch_job(context, job.id)

previous = last_job(context.engine, context.project.id, "import")
if previous is not None and not previous.is_active:
    show_import(context, previous)

if dataset.question is not None and context.is_guest:
    st.info("The pictures wait until it is decided what their folders mean.", icon=":material/hourglass_empty:")
elif dataset.question is not None:
    ask_reading(context, dataset)
    undo_button(context)
elif not dataset.items:
    if context.is_guest:
        st.info("There are no pictures in this project yet.", icon=":material/photo_library:")
    elif not active:
        st.subheader("Bring your first pictures", anchor=False)
        st.markdown("Two or more classes, about twenty pictures each, are a good start.")
        bring_pictures(context)
elif not context.is_guest:
    # Whoever brings class after class finds the way still open after each.
    goes_on = not is_ready(dataset) or st.session_state.get("way") in ONE_CLASS_WAYS
    with st.expander("Add more pictures", icon=":material/add_photo_alternate:", expanded=goes_on):
        bring_pictures(context)

if dataset.classes and dataset.question is None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        total = count(len(dataset.items), "picture")
        st.subheader(f"{total}, {count(dataset.num_classes, 'class', 'classes')}", anchor=False, width="content")
        undo_button(context)
    advice = data_advice(dataset)
    if advice:
        st.warning("\n\n".join(map(label, advice)), icon=":material/info:")

    from pages.components.figures.class_counts import class_counts_figure, class_counts_words

    figure = class_counts_figure(dataset, dark=is_dark())
    with st.container(height=min(figure.layout.height, MAX_CHART_HEIGHT) + 20, border=False):
        st.plotly_chart(figure, key="counts", config={"displayModeBar": False}, alt=class_counts_words(dataset))

    if is_ready(dataset) and not context.is_guest:
        draw_instant_answers(context, dataset)

    if not context.is_guest:
        reading_choice(context, dataset)

    st.subheader("Pictures", anchor=False)
    class_panel(context, dataset)
    if dataset.unlabelled:
        unlabelled_panel(context, dataset)

    if is_ready(dataset):
        st.subheader("Check my pictures", anchor=False)
        doctor_panel(context, dataset)

    st.subheader("Three parts: train, validation, test", anchor=False)
    split_panel(context, dataset)
    groups_panel(context, dataset)
elif context.project.version is not None and dataset.question is None:
    undo_button(context)

missing = None if is_ready(dataset) else "Bring pictures of at least two classes first."
if dataset.question is not None:
    missing = "Answer the question above first."
elif missing and active:
    missing = "The pictures are still coming in."
obstacle = missing or (GUEST_CANNOT if context.is_guest else find_run_obstacle(context))


def draw_train_now() -> None:
    """Offer to train at once, with the settings as they are."""
    reason = obstacle or "Trains with the settings as they are. Augment, Model and Train let you choose them."
    if st.button("Train now", key="train-now", icon=":material/bolt:", disabled=obstacle is not None, help=reason):
        with errors_shown():
            go_to("train", run=start_training(context))


next_step("Next: Augment", "augment", disabled=missing is not None, help=missing, beside=draw_train_now)
