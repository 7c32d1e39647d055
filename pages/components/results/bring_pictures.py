"""Pictures to ask a model about, dropped or photographed: answered at once, then forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st
from streamlit.typing import UploadedFile

from pages.components.results.answer_views import show_probabilities, show_refused
from pages.components.results.answers import ask, keep_answers, kept_answers
from pages.server.private_streamlit import remove_uploaded

if TYPE_CHECKING:
    from tlcore.results.prediction import Predictor

MAX_PICTURES = 200
MAX_PICTURE_MB = 50
PHOTO_KEY = "photo"


def bring_pictures(predictor: Predictor, model_id: str) -> None:
    """Let the person drop pictures; keep the answers, free the files and draw the page anew."""
    # Another key makes the widget empty again.
    generation = st.session_state.setdefault("pictures-generation", 0)
    files = st.file_uploader(
        "Drop one or many pictures here",
        accept_multiple_files=True,
        key=f"pictures-{generation}",
        max_upload_size=MAX_PICTURE_MB,
        help=f"At most {MAX_PICTURES} at once. They are looked at and forgotten: no picture is kept.",
    )
    if not files:
        return
    answers = []
    progress = st.progress(0.0, "Looking at your pictures")
    looked_at = files[:MAX_PICTURES]
    for number, file in enumerate(looked_at, start=1):
        answers.append(ask(predictor, file.name, file.getvalue()))
        progress.progress(number / len(looked_at), f"Picture {number} of {len(looked_at)}")
    keep_answers(model_id, "files", answers)
    remove_uploaded(files)
    if len(files) > MAX_PICTURES:
        st.toast(f"Only the first {MAX_PICTURES} of {len(files)} pictures were looked at.")
    st.session_state["pictures-generation"] = generation + 1
    st.session_state["camera"] = False
    st.rerun()


def take_photo(predictor: Predictor, model_id: str) -> None:
    """Let the person take a photo, and show the answer beside it; the photo is freed."""
    left, right = st.columns([2, 3], gap="medium", vertical_alignment="center")
    with left:
        st.camera_input(
            "Take a photo",
            key=PHOTO_KEY,
            label_visibility="collapsed",
            on_change=_photo_changed,
            args=(predictor, model_id),
        )
    photos = kept_answers(model_id, "camera")
    with right:
        show_refused(photos)
        if not photos:
            st.info("Take a photo: what the model sees in it will stand here.", icon=":material/photo_camera:")
        elif not photos[0].reason:
            show_probabilities(photos[0], predictor)


def _photo_changed(predictor: Predictor, model_id: str) -> None:
    photo = st.session_state.get(PHOTO_KEY)
    if isinstance(photo, UploadedFile):
        keep_answers(model_id, "camera", [ask(predictor, "Your photo", photo.getvalue())])
        remove_uploaded([photo])
    elif photo is None:
        keep_answers(model_id, "camera", [])
    # Neither: the photo was freed, while the browser still shows it.
