"""Correct a wrong answer: the brought picture becomes one of the data set, in the class that the person names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.data.edits import save_edit
from pages.components.errors import errors_shown
from pages.components.results.answer_views import Below
from pages.components.results.answers import Answer
from pages.components.results.mistake_fixes import draw_waiting
from pages.components.results.trained_models import Model
from pages.components.state import Context
from pages.components.text import label, plain
from tlcore.dataset import Dataset, Item, Split
from tlcore.errors import TransferLabError
from tlcore.settings.locks import check_lock
from tlcore.storage.images import image_key

if TYPE_CHECKING:
    from tlcore.intake.pictures.decoding import CleanImage
    from tlcore.results.prediction import Predictor

HELD_BACK_FOR: dict[Split, str] = {"test": "testing", "validation": "validation"}


def correction_of(context: Context, predictor: Predictor, model: Model) -> Below | None:
    """Return what draws, below an answer to a brought picture, the way to correct it.

    `None` for guests, where the data set cannot be read, or where it reads pictures of more than 8 bits otherwise than
    the model.
    """
    if context.is_guest:
        return None
    with suppress(TransferLabError):  # said above
        dataset = context.dataset
        if dataset.grey_range == predictor.grey_range:
            return lambda answer: _draw_correction(context, dataset, _learned(context, model), answer)
    return None


def _learned(context: Context, model: Model) -> Dataset:
    """Return the data set that a model learned from; an empty one where it cannot be read."""
    with suppress(TransferLabError):
        return context.dataset_of(context.project, model.version)
    return Dataset()


def draw_corrected(context: Context, model: Model, answers: Sequence[Answer]) -> None:
    """Say what waits for the next run, with the way back, once one of these pictures was added."""
    kept = sum(answer.clean is not None for answer in answers)
    if 0 < kept < sum(not answer.reason for answer in answers):
        st.caption(f"The first {kept} answers can be corrected: tap one. Bring the other pictures again for theirs.")
    with suppress(TransferLabError):
        before = set(_places(_learned(context, model)))
        images = {image for image, class_id in _places(context.dataset) if (image, class_id) not in before}
        if any(answer.clean is not None and image_key(answer.clean.data) in images for answer in answers):
            draw_waiting(context, model)


def _places(dataset: Dataset) -> Iterator[tuple[str, str]]:
    return ((item.image, item.class_id) for item in dataset.items)


def _draw_correction(context: Context, dataset: Dataset, learned: Dataset, answer: Answer) -> None:
    if answer.clean is None:
        return
    image = image_key(answer.clean.data)
    held = next((item for item in dataset.items if item.image == image), None)
    if held is not None:
        st.markdown(f":material/check: {_held_words(dataset, learned, held)}")
    key = image[:20]
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"correct-{key}"):
        name = st.selectbox(
            "Is it wrong? It is \u2026" if held is None else "Is that wrong too? It is \u2026",
            list(dataset.class_names),
            index=None,
            accept_new_options=True,
            placeholder="Choose its class",
            key=f"correct-class-{context.version}-{key}",
            help="The picture joins this class of your pictures, and the next run learns from it. A new name makes a "
            "new class.",
            width=320,
        )
        if st.button(
            "Add it to your pictures" if held is None else "Move it there",
            key=f"correct-add-{context.version}-{key}",
            icon=":material/add_photo_alternate:",
            disabled=not name,
        ):
            with errors_shown():
                _add(context, dataset, answer.clean, answer.name, name or "", moves=held is not None)


def _add(context: Context, dataset: Dataset, clean: CleanImage, name: str, class_name: str, *, moves: bool) -> None:
    from tlcore.intake.correction import with_picture  # OpenCV: not with the page

    check_lock(context.engine, "pictures")
    image = context.images_to_add().add(clean.data, clean.thumbnail)
    edited = with_picture(dataset, image, plain(name), class_name, context.images.thumbnail)
    save_edit(context, edited, f"{'moved' if moves else 'added'} 1 picture to {class_name}")


def _held_words(dataset: Dataset, learned: Dataset, item: Item) -> str:
    """Say where a picture is in the data set, and what that means for this model and for the next run."""
    place = f"It is one of your pictures of **{label(dataset.find_class(item.class_id).name)}**"
    if (item.image, item.class_id) in _places(learned) and item.split == "train":
        return f"{place} already, and the model learned from it."
    if item.split == "train":
        return f"{place}; it counts from the next run."
    return f"{place}, held back for {HELD_BACK_FOR[item.split]}: the next run does not learn from it."
