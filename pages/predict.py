"""Predict page: bring pictures or take one, and see what the model says and how sure it is."""

import streamlit as st

from pages.components.answer_views import show_all_answers, show_answer, show_refused
from pages.components.answers import ask, ask_pixels, keep_answers, kept_answers, predictor_of, sample_item
from pages.components.colors import class_color
from pages.components.frame import next_step, open_page
from pages.components.prediction_table import prediction_csv
from pages.components.private_streamlit import remove_uploaded
from pages.components.run_choice import choose_run, dataset_of_run
from tlcore.resizing import decode_image

MAX_PICTURES = 200
MAX_PICTURE_MB = 50

context = open_page("predict", needs_model=True)
run = choose_run(context)
next_step("Next: Export", "export", run=run.id)
predictor = predictor_of(context, run)
names = predictor.class_names
colors = [class_color(color) for color in predictor.class_colors]

generation = st.session_state.setdefault("pictures-generation", 0)
files = st.file_uploader(
    "Drop one or many pictures here",
    accept_multiple_files=True,
    key=f"pictures-{generation}",
    max_upload_size=MAX_PICTURE_MB,
    help=f"At most {MAX_PICTURES} at once. They are looked at and forgotten: no picture is kept.",
)
with st.container(horizontal=True, vertical_alignment="center"):
    camera = st.toggle("Use the camera", key="camera", help="The browser asks you first; no photo is kept.")
    with st.popover("Can it be fooled?", icon=":material/help:", type="tertiary"):
        st.markdown(
            "The model knows only its classes, and the **probabilities** are shared among them, 100 % in all. Show "
            "it something else, such as your shoe, and it still picks one of them, sometimes with great confidence."
        )
photo = st.camera_input("Take a photo", key="photo", label_visibility="collapsed") if camera else None

if photo is not None and photo.file_id != st.session_state.get("photo-seen"):
    st.session_state["photo-seen"] = photo.file_id
    keep_answers(run, [ask(predictor, "Your photo", photo.getvalue())])
    remove_uploaded([photo])

if files:
    progress = st.progress(0.0, "Looking at your pictures")
    answers = []
    for file in files[:MAX_PICTURES]:
        answers.append(ask(predictor, file.name, file.getvalue()))
        progress.progress(len(answers) / len(files), f"Picture {len(answers)} of {len(files)}")
    keep_answers(run, answers)
    remove_uploaded(files)
    st.session_state["answer-chosen"] = 0
    st.session_state["pictures-generation"] = generation + 1
    if len(files) > MAX_PICTURES:
        st.toast(f"Only the first {MAX_PICTURES} of {len(files)} pictures were looked at.")
    st.rerun()

answers = kept_answers(run)
show_refused(answers)
if any(not answer.reason for answer in answers):
    show_all_answers(answers, names, colors)
    with st.container(horizontal=True):
        if len(answers) > 1:
            rows = [(answer.name, answer.probabilities or None, answer.reason) for answer in answers]
            st.download_button(
                "Table of all answers (CSV)",
                lambda: prediction_csv(names, rows),
                "predictions.csv",
                "text/csv",
                icon=":material/table:",
                on_click="ignore",
                help="For a spreadsheet. A name that would act as a formula gets an apostrophe in front.",
            )
        if st.button("Clear", icon=":material/delete_sweep:"):
            keep_answers(run, [])
            st.rerun()
    st.stop()

dataset = dataset_of_run(context, run)
number = st.session_state.setdefault("sample-number", 0)
item = sample_item(dataset, run, number)
if item is None:
    st.info("Bring a picture above: what the model sees in it will stand here.", icon=":material/add_photo_alternate:")
    st.stop()
with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    st.markdown("**A picture from your own test set.** The model did not learn from it.", width="content")
    if st.button("Another one", icon=":material/casino:", key="another"):
        st.session_state["sample-number"] = number + 1
        st.rerun()
answer = ask_pixels(predictor, item.name, decode_image(context.images.read(item.image)))
show_answer(answer, names, colors, truth=dataset.find_class(item.class_id).name)
