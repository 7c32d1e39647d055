"""Live answers to what the camera sees, with a heat map on top where it is wanted; no picture is kept."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.camera.component import Message, View, answer_bars, draw_camera
from pages.components.camera.heat_turns import LEAST_PAUSE_SECONDS, heat_turns
from pages.components.results.answers import DO_NOT_KNOW, best_guess, is_unknown
from pages.components.text import plain
from tlcore.errors import ImageError
from tlcore.intake.camera import MAX_PICTURE_BYTES

if TYPE_CHECKING:
    from tlcore.results.prediction import Predictor

HEAT_DETAIL = 0.6
"""In so many of the places of a heat map of a still picture: answers go on several times a second meanwhile."""

HEAT_HELP = (
    "Warm parts speak for the answer, cool ones against it. A new map comes about once a second, later when many use "
    "this computer at once. Hold the thing still for a moment."
)


@st.fragment
def ask_camera(predictor: Predictor, model_id: str, note: str) -> None:
    """Draw the camera and what a model says to each picture.

    Args:
        predictor: The model.
        model_id: Tells it from others.
        note: Who answers, in a sentence.
    """
    from tlcore.intake.pictures import decoders

    decoders.warm()  # while the person gets the camera ready
    key = f"camera-asks-{model_id}"
    view: View = st.session_state.get(f"{key}-view", View(asks=True))
    wanted = f"{key}-heat"

    def take(message: Message) -> None:
        before: View = st.session_state.get(f"{key}-view", View())
        view = answered(View(asks=True), message, predictor, note)
        if st.session_state.get(wanted):
            view = with_heat(view, before, message, predictor)
        st.session_state[f"{key}-view"] = view

    st.toggle("Heat map on top", key=wanted, help=HEAT_HELP)
    draw_camera(key, view if st.session_state.get(wanted) else replace(view, heat="", heat_words=""), take)


def with_heat(view: View, before: View, message: Message, predictor: Predictor) -> View:
    """Return the view with a new heat map of the picture, or the one that was there, if it is not time for a new one.

    Args:
        view: With the answer to the picture.
        before: What was shown until now.
        message: The question with the picture.
        predictor: The model.
    """
    view = replace(view, heat=before.heat, heat_words=before.heat_words, heat_at=before.heat_at)
    if not view.bars or time.monotonic() < before.heat_at + LEAST_PAUSE_SECONDS:
        return view
    found = heat_turns().take(lambda: _heat(message.pictures[0], predictor))
    if found is None:
        return view
    layer, words = found
    return replace(view, heat=layer, heat_words=words, heat_at=time.monotonic())


def _heat(picture: bytes, predictor: Predictor) -> tuple[str, str]:
    """Return the heat map of the likeliest class as the address of a picture, and what it shows."""
    from pages.components.figures.heat import heat_layer
    from tlcore.explaining.covering import cover_all
    from tlcore.intake.pictures.decoders import pixels_of

    pixels = pixels_of(picture)
    coverings = cover_all(predictor, pixels, at_most=HEAT_DETAIL)
    best = int(coverings.whole.argmax())
    heat = coverings.heat_map(best)
    layer = base64.b64encode(heat_layer(heat.values, pixels.shape[1], pixels.shape[0])).decode()
    return f"data:image/png;base64,{layer}", f"Warm parts speak for {plain(predictor.class_names[best], 40)}."


def answered(view: View, message: Message, predictor: Predictor, note: str) -> View:
    """Return the view with the model's answer to a question, or why the picture cannot be used."""
    from tlcore.intake.pictures.decoders import pixels_of

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
