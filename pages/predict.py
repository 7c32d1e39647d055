"""Predict page: bring pictures or show them to the camera, and see what the model says and how sure it is."""

from dataclasses import replace

import streamlit as st

from pages.components.camera.asking import ask_camera
from pages.components.errors import show_error
from pages.components.frame import next_step, open_page
from pages.components.results.answer_views import show_all_answers, show_answer
from pages.components.results.answers import Answer, ask_pixels, keep_answers, kept_answers, pixels_to_ask, sample_item
from pages.components.results.bring_pictures import bring_pictures, pictures_at_hand
from pages.components.results.correction import correction_of, draw_corrected
from pages.components.results.frozen_part import make_frozen_part_again
from pages.components.results.many_pictures import many_pictures
from pages.components.results.nearest import draw_nearest, judge_of, stranger_sign, warn_of_stranger
from pages.components.results.prediction_table import prediction_csv
from pages.components.results.prediction_view import show_prediction
from pages.components.results.run_choice import choose_model
from pages.components.results.side_by_side import choose_rival
from pages.components.results.trained_models import predictor_of, short_name
from pages.components.results.why_panel import why_of_answers
from tlcore.dataset import keep_images
from tlcore.errors import FrozenPartError, RunError, TransferLabError
from tlcore.images.resizing import decode_image

context = open_page("predict")
model = choose_model(context, to_ask=True)
try:
    predictor = predictor_of(context, model)
except FrozenPartError as error:
    make_frozen_part_again(context, model, error)
    st.stop()
except RunError as error:
    show_error(error)
    next_step("Train again", "train")
    st.stop()
rival = choose_rival(context, model)
next_step("Next: Export", "export", run=model.id)

judge = judge_of(context, model)
bring_pictures(predictor, model.id, judge.is_strange)
pictures_at_hand(context, predictor, model.id, judge.is_strange)
prediction = many_pictures(context, model)
with st.container(horizontal=True, vertical_alignment="center"):
    camera = st.toggle("Use the camera", key="camera", help="The browser asks you first; no photo is kept.")
    with st.popover("Can it be fooled?", icon=":material/help:", type="tertiary"):
        st.markdown(
            "The model knows only its classes, and the **probabilities** are shared among them, 100 % in all. Show "
            "it something else, such as your shoe, and it still picks one of them, sometimes with great confidence.\n\n"
            "So each picture that you bring is also compared with the training pictures, by the **features** of the "
            "frozen backbone: you are warned where the five nearest are further away than those of 95 in 100 of your "
            "validation pictures. About 5 in 100 new pictures of your own classes get the warning too."
        )

if camera:
    ask_camera(predictor, model.id, f"{short_name(model)} answers.")
    st.stop()

if prediction is not None:
    show_prediction(context, prediction)
    st.stop()

why, correct = why_of_answers(model, predictor), correction_of(context, predictor, model)


def below(answer: Answer) -> None:
    """Draw what is said of a picture that was brought, besides the answer."""
    warn_of_stranger(judge.of_answer(answer))
    if correct is not None:
        correct(answer)
    if not answer.data:
        st.caption("Only a small copy of this picture is kept: what follows is told from it, and may differ a little.")
    why(answer)
    draw_nearest(context, model, pixels_to_ask(answer))


def is_strange(answer: Answer) -> bool | None:
    """Tell it to the table that can be taken away."""
    found = judge.of_answer(answer)
    return None if found is None else found.is_strange


answers = kept_answers(model.id, predictor)
if show_all_answers(
    answers, predictor, below=below, sign=lambda answer: stranger_sign(judge.of_answer(answer)), rival=rival
):
    draw_corrected(context, model, answers)
    with st.container(horizontal=True):
        if len(answers) > 1:
            st.download_button(
                "Table of all answers (CSV)",
                lambda: prediction_csv(predictor.class_names, answers, predictor.threshold, is_strange),
                "predictions.csv",
                "text/csv",
                icon=":material/table:",
                on_click="ignore",
                help="For a spreadsheet. A name that would act as a formula gets an apostrophe in front.",
            )
        if st.button("Clear", icon=":material/delete_sweep:", key="clear"):
            keep_answers(model.id, predictor, [])
            st.rerun()
    st.stop()

number = st.session_state.setdefault("sample-number", 0)
try:
    dataset = context.dataset_of(context.project, model.version)
    if context.is_guest:  # who sees nothing of what was deleted since
        dataset = keep_images(dataset, {one.image for one in context.dataset.items})
except TransferLabError as error:
    if model.version != context.project.version:  # of the present version it is said above
        show_error(error)
    st.stop()
item = sample_item(dataset, model.id, number)
if item is None:
    st.info("Bring a picture above: what the model sees in it will stand here.", icon=":material/add_photo_alternate:")
    st.stop()
with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    st.markdown(f"**A picture of your own {item.split} set.** The model did not learn from it.", width="content")
    if st.button("Another one", icon=":material/casino:", key="another"):
        st.session_state["sample-number"] = number + 1
        st.rerun()
data = context.images.read(item.image)
answer = ask_pixels(predictor, item.name, decode_image(data))
answer = replace(answer, truth=dataset.find_class(item.class_id).name, data=data)
show_answer(answer, predictor, answer.truth, below=why, rival=rival)
draw_nearest(context, model, item.image)
