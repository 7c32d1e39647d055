"""Data page: bring pictures, look at them, put them in order."""

import streamlit as st

from pages.components.data.advice import data_advice, is_ready
from pages.components.data.bring import ONE_CLASS_WAYS, bring_pictures
from pages.components.data.class_panel import class_panel
from pages.components.data.edits import undo_button
from pages.components.data.groups_panel import groups_panel
from pages.components.data.instant_panel import draw_instant_answers
from pages.components.data.last_import import show_import
from pages.components.data.split_panel import split_panel
from pages.components.frame import next_step, open_page
from pages.components.job_view import watch_job
from pages.components.text import count, label
from tlcore.errors import TransferLabError
from tlcore.storage.jobs import last_job

MAX_CHART_HEIGHT = 560

context = open_page("data")
try:
    dataset = context.dataset
except TransferLabError:  # said above
    undo_button(context)
    st.stop()

active = context.active_jobs("import")
for job in active:
    watch_job(context, job.id)

previous = last_job(context.engine, context.project.id, "import")
if previous is not None and not previous.is_active:
    show_import(context, previous)

if not dataset.items:
    if not active:
        st.subheader("Bring your first pictures", anchor=False)
        st.markdown("Two or more classes, about twenty pictures each, are a good start.")
        bring_pictures(context)
else:
    # Whoever brings class after class finds the way still open after each.
    goes_on = not is_ready(dataset) or st.session_state.get("way") in ONE_CLASS_WAYS
    with st.expander("Add more pictures", icon=":material/add_photo_alternate:", expanded=goes_on):
        bring_pictures(context)

if dataset.classes:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        total = count(len(dataset.items), "picture")
        st.subheader(f"{total}, {count(dataset.num_classes, 'class', 'classes')}", anchor=False, width="content")
        undo_button(context)
    advice = data_advice(dataset)
    if advice:
        st.warning("\n\n".join(map(label, advice)), icon=":material/info:")

    from pages.components.figures.class_counts import class_counts_figure

    figure = class_counts_figure(dataset)
    with st.container(height=min(figure.layout.height, MAX_CHART_HEIGHT) + 20, border=False):
        st.plotly_chart(figure, key="counts", config={"displayModeBar": False}, alt="Pictures per class and part.")

    if is_ready(dataset):
        draw_instant_answers(context, dataset)

    st.subheader("Pictures", anchor=False)
    class_panel(context, dataset)

    st.subheader("Three parts: train, validation, test", anchor=False)
    split_panel(context, dataset)
    groups_panel(context, dataset)
elif context.project.version is not None:
    undo_button(context)

missing = None if is_ready(dataset) else "Bring pictures of at least two classes first."
if missing and active:
    missing = "The pictures are still coming in."
next_step("Next: Augment", "augment", disabled=missing is not None, help=missing)
