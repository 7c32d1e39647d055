"""Two models side by side on the same pictures: which the other one is, what it says, and where the two differ."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.errors import show_error
from pages.components.results.answers import DO_NOT_KNOW, Answer, ask_pixels, is_unknown
from pages.components.results.trained_models import (
    Model,
    can_answer,
    list_models,
    model_title,
    predictor_of,
    short_name,
)
from pages.components.state import Context
from pages.components.text import count, label
from tlcore.errors import RunError
from tlcore.images.resizing import decode_image

if TYPE_CHECKING:
    from tlcore.results.prediction import Predictor

_CHOSEN = "rival"
_ASKED = "rival-answers"
MAX_ASKED = 100
"""Answers of the other model that are kept; more than a page shows, and some 3 MB."""


@dataclass(frozen=True, slots=True)
class Rival:
    """The other model.

    Attributes:
        id: Its id.
        name: What it is called inside of a sentence.
        own_name: What the model of the page is called.
        predictor: Ready to answer.
    """

    id: str
    name: str
    own_name: str
    predictor: Predictor

    def answer_to(self, answer: Answer) -> Answer | None:
        """Return what it says to a picture; asked once. `None` where no copy of the picture is kept."""
        if not answer.data:
            return None
        asked = self.id, self.predictor.temperature  # its threshold changes none of its probabilities
        answers: dict[str, Answer]
        kept_by, answers = st.session_state.get(_ASKED, (None, {}))
        if kept_by != asked or len(answers) > MAX_ASKED:
            answers = {}
        key = hashlib.sha256(answer.data).hexdigest()
        if key not in answers:
            answers[key] = ask_pixels(self.predictor, answer.name, decode_image(answer.data))
        st.session_state[_ASKED] = asked, answers
        return replace(answers[key], name=answer.name)  # the same picture may come under another name


def choose_rival(context: Context, model: Model) -> Rival | None:
    """Draw the choice of another model, where there is one, and return it ready to answer."""
    by_id = {one.id: one for one in list_models(context) if one.id != model.id and can_answer(context, one)}
    if st.session_state.get(_CHOSEN) not in by_id:
        st.session_state[_CHOSEN] = None
    if not by_id:
        return None
    chosen = st.selectbox(
        "Compare with",
        list(by_id),
        index=None,
        format_func=lambda model_id: model_title(by_id[model_id]),
        placeholder="Another model, to see both side by side",
        key=_CHOSEN,
    )
    if chosen is None:
        return None
    other = by_id[chosen]
    try:
        name, own_name = short_name(other), short_name(model)
        if name == own_name:  # two groups, or heads of one kind
            name, own_name = model_title(other), model_title(model)
        return Rival(other.id, name, own_name, predictor_of(context, other))
    except RunError as error:
        show_error(error)
        return None


def said_by(predictor: Predictor, answer: Answer) -> str:
    """Return the name of the class that a model says, or that it does not know."""
    return DO_NOT_KNOW if is_unknown(answer.probabilities, predictor) else predictor.class_names[answer.best]


def differ(predictor: Predictor, answer: Answer, rival: Rival) -> bool | None:
    """Whether the two models say different classes of a picture; `None` where the other one was not asked."""
    other = rival.answer_to(answer)
    return None if other is None else said_by(predictor, answer) != said_by(rival.predictor, other)


def verdict_on(predictor: Predictor, answer: Answer, rival: Rival, other: Answer) -> str:
    """Say whether two models agree on a picture, in Markdown."""
    said, also = said_by(predictor, answer), said_by(rival.predictor, other)
    if said == also:
        return f":material/equal: Both say **{label(said)}**."
    own_name, name = (label(text[:1].upper() + text[1:]) for text in (rival.own_name, rival.name))
    return f":material/compare_arrows: **They differ.** {own_name} says {label(said)}, {name} says {label(also)}."


def draw_differences(predictor: Predictor, answers: Sequence[Answer], rival: Rival) -> Sequence[Answer]:
    """Say on how many pictures two models differ; return the answers to show, all or those on which they do."""
    compared = [(answer, differ(predictor, answer, rival)) for answer in answers]
    asked = sum(is_other is not None for _, is_other in compared)
    others = [answer for answer, is_other in compared if is_other]
    with st.container(horizontal=True, vertical_alignment="center"):
        of_all = "" if asked == len(answers) else " that were compared, the first of these"
        names = f"{label(rival.own_name)} and {label(rival.name)}"
        st.markdown(
            f":material/compare_arrows: {names} differ on **{len(others):,}** of {count(asked, 'picture')}{of_all}."
        )
        only = st.toggle("Only where they differ", key="rival-only", disabled=not others)
    return others if only and others else answers
