"""Live answers to what the camera sees; no picture is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.camera.component import Message, View, answer_bars, draw_camera
from pages.components.results.answers import DO_NOT_KNOW, best_guess, is_unknown
from pages.components.text import plain
from tlcore.errors import ImageError
from tlcore.intake.camera import MAX_PICTURE_BYTES

if TYPE_CHECKING:
    from tlcore.results.prediction import Predictor


@st.fragment
def ask_camera(predictor: Predictor, model_id: str, note: str) -> None:
    """Draw the camera and what a model says to each picture.

    Args:
        predictor: The model.
        model_id: Tells it from others.
        note: Who answers, in a sentence.
    """
    key = f"camera-asks-{model_id}"
    view: View = st.session_state.get(f"{key}-view", View(asks=True))

    def take(message: Message) -> None:
        st.session_state[f"{key}-view"] = answered(View(asks=True), message, predictor, note)

    draw_camera(key, view, take)


def answered(view: View, message: Message, predictor: Predictor, note: str) -> View:
    """Return the view with the model's answer to a question, or why the picture cannot be used."""
    from tlcore.intake.pictures.decoding import pixels_of

    view = replace(view, answered=message.number, bars=(), note="", unknown="")
    if message.kind != "question" or not message.pictures:
        return view
    [picture] = message.pictures[:1]
    if len(picture) > MAX_PICTURE_BYTES:
        return replace(view, note="The picture from the camera is too large. Reload the page and try again.")
    try:
        probabilities = [float(value) for value in predictor.predict([pixels_of(picture)])[0]]
    except ImageError as error:
        return replace(view, note=str(error))
    bars, unknown = answer_bars(predictor, probabilities), ""
    if is_unknown(probabilities, predictor):
        best = max(range(len(probabilities)), key=lambda index: probabilities[index])
        unknown = f"{DO_NOT_KNOW}: {best_guess(plain(predictor.class_names[best]), probabilities[best])}."
    return replace(view, bars=bars, note=note, unknown=unknown)
