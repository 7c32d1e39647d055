"""Pictures to ask a model about: answered at once, then forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.components.results.answers import ask, keep_answers
from pages.server.private_streamlit import remove_uploaded

if TYPE_CHECKING:
    from tlcore.results.prediction import Predictor

MAX_PICTURES = 200
MAX_PICTURE_MB = 50


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
