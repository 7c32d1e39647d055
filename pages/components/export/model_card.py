"""The model card: three fields to fill in, the card to read, and to take away."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import streamlit as st

from pages.components.errors import errors_kept, errors_shown
from pages.components.export.made import count_deleted
from pages.components.forms import GUEST_CANNOT, show_stored
from pages.components.state import Context
from tlcore.export.card import CARD_FILES, model_card
from tlcore.export.source import ExportSource
from tlcore.storage.card_words import LONGEST, CardWords, change_card_words, read_card_words
from tlcore.storage.requests import ExportResult

Field = Literal["purpose", "limits", "contact"]

QUESTIONS: dict[Field, tuple[str, str]] = {
    "purpose": (
        "What is this model for?",
        "It tells the leaves of our school garden apart, for a walk with first-years.",
    ),
    "limits": (
        "Where must nobody trust it?",
        "Only leaves in daylight. Never to decide whether something can be eaten.",
    ),
    "contact": ("Whom can one ask about it?", "The biology course of class 9b"),
}


def draw_model_card(
    context: Context, source: ExportSource, result: ExportResult | None, *, exam_opened: bool
) -> CardWords:
    """Draw the fields and the card, and return the words.

    Args:
        context: What the page works on.
        source: The model.
        result: Its certificates, where files were made.
        exam_opened: Whether its test result may be shown.
    """
    st.markdown(
        "A **model card** goes along with the files: what the model learned from, how good it is and what nobody has "
        "tried. Three things only you can say; they stand in it as you type them."
    )
    words = read_card_words(context.engine, context.project.id, source.model_id)
    for name, (question, example) in QUESTIONS.items():
        key = f"card-{source.model_id}-{name}"
        show_stored(key, getattr(words, name))
        draw: Callable[..., object] = st.text_input if name == "contact" else st.text_area
        draw(
            question,
            key=key,
            max_chars=LONGEST[name],
            placeholder=example,
            on_change=_store,
            args=(context, source.model_id, name, key),
            disabled=context.is_guest,
            help=GUEST_CANNOT if context.is_guest else None,
        )
    with errors_shown():
        num_deleted = count_deleted(source.dataset, context.dataset)
        card = model_card(source, result, words, exam_opened=exam_opened, num_deleted=num_deleted)
        with st.expander("Read the card", icon=":material/description:", key="read-card"):
            # Below the headings of the page.
            st.markdown(re.sub(r"^(#+) ", r"##\1 ", card.markdown, flags=re.MULTILINE))
        with st.container(horizontal=True):
            for file, text, mime in zip(
                CARD_FILES, (card.markdown, card.html), ("text/markdown", "text/html"), strict=True
            ):
                st.download_button(
                    file, text, file, mime, icon=":material/download:", on_click="ignore", key=f"download-{file}"
                )
    return words


def _store(context: Context, model_id: str, name: Field, key: str) -> None:
    typed = st.session_state[key]
    with errors_kept():  # a callback comes before the page, which then says so
        change_card_words(context.engine, context.project.id, model_id, lambda words: replace(words, **{name: typed}))
