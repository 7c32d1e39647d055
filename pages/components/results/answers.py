"""A model's answers to pictures: asked for, and kept while the page is open without the files that were brought."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import streamlit as st

from pages.components.amounts import chance
from tlcore.dataset import Dataset, Item
from tlcore.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tlcore.intake.pictures.decoding import CleanImage
    from tlcore.results.prediction import Predictor

SHOWN_SIDE = 360
"""Longest side of the copy that is shown, in pixels; nothing larger is kept."""

DO_NOT_KNOW = "I don't know"

_KEPT = "answers-files"

JudgePixels: TypeAlias = "Callable[[NDArray[np.uint8]], bool | None]"
"""Says whether pixels look like none of a model's classes; `None` where nothing can say so."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one picture, or why the picture was refused.

    Attributes:
        name: Name of the file that the person brought.
        picture: A small JPEG file to look at; empty when refused.
        probabilities: One per class, in `[0, 1]`; empty when refused.
        milliseconds: Time that the model took.
        reason: Why the picture was refused; empty when it was not.
        truth: What it really shows, where that is known and one of the model's classes.
        clean: The picture as a data set would store it, so that it can be added to one; `None` where it is not kept.
        data: The picture as a file, as a data set would store it, so that more can be asked about it; empty where it
            is not kept.
        is_strange: Whether it looks like none of the classes, where that was told because no file is kept.
    """

    name: str
    picture: bytes = b""
    probabilities: tuple[float, ...] = ()
    milliseconds: float = 0.0
    reason: str = ""
    truth: str | None = None
    clean: CleanImage | None = None
    data: bytes = b""
    is_strange: bool | None = None

    @property
    def best(self) -> int:
        """Index of the most probable class."""
        return max(range(len(self.probabilities)), key=lambda index: self.probabilities[index])


def ask(
    predictor: Predictor,
    name: str,
    data: bytes,
    truth: str | None = None,
    *,
    keep_picture: bool = False,
    keep_file: bool = False,
    judge: JudgePixels | None = None,
) -> Answer:
    """Return the answer to a picture file from anywhere; a file that cannot be used gets its reason.

    Args:
        predictor: The model.
        name: What the file is called.
        data: Its bytes.
        truth: What it really shows, where that is known.
        keep_picture: Whether the answer keeps the picture as a data set would store it, some 100 kB.
        keep_file: Whether the answer keeps the file, which is as small already.
        judge: Says whether pixels look like none of the classes; asked at once where nothing is kept to ask it later.
    """
    from tlcore.intake.pictures.decoders import pixels_of, read_with_pixels

    try:
        if keep_picture:
            clean, pixels = read_with_pixels(data, predictor.grey_range)
        else:
            clean, pixels = None, pixels_of(data, predictor.grey_range)
        answer = ask_pixels(predictor, name, pixels)
    except ImageError as error:
        return Answer(name, reason=str(error))
    kept = clean.data if clean is not None else data if keep_file else b""
    is_strange = None if kept or judge is None else judge(pixels)
    known = truth if truth in predictor.class_names else None
    return replace(answer, truth=known, clean=clean, data=kept, is_strange=is_strange)


def ask_pixels(predictor: Predictor, name: str, pixels: NDArray[np.uint8]) -> Answer:
    """Return the answer to the pixels of a picture, uint8 RGB of shape `(height, width, 3)`."""
    from PIL import Image

    start = time.perf_counter()
    probabilities = predictor.predict([pixels])[0]
    milliseconds = 1000 * (time.perf_counter() - start)
    shown, buffer = Image.fromarray(pixels), io.BytesIO()
    shown.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    shown.save(buffer, "JPEG", quality=88)
    return Answer(name, buffer.getvalue(), tuple(float(value) for value in probabilities), milliseconds)


def pixels_to_ask(answer: Answer) -> NDArray[np.uint8]:
    """Return the pixels to ask more about: of the picture itself, or of the small copy where nothing else is kept."""
    from tlcore.images.resizing import decode_image

    return decode_image(answer.data or answer.picture)


def is_unknown(probabilities: Sequence[float], predictor: Predictor) -> bool:
    """Whether a model says that it does not know: no class is as probable as its threshold."""
    return max(probabilities) < predictor.threshold


def best_guess(name: str, probability: float) -> str:
    """Return what a model would say if it had to; the name must be safe for where it is shown."""
    return f"the model's best guess is {name} at {chance(probability)}"


def keep_answers(model_id: str, predictor: Predictor, answers: Sequence[Answer]) -> None:
    """Keep the answers of a model until the page is closed; they replace those before."""
    st.session_state[_KEPT] = (model_id, predictor.temperature, tuple(answers))


def kept_answers(model_id: str, predictor: Predictor) -> tuple[Answer, ...]:
    """Return the answers of this model that were kept last; none of another one, or with another temperature."""
    *kept_by, answers = st.session_state.get(_KEPT, ("", 1.0, ()))
    return answers if kept_by == [model_id, predictor.temperature] else ()


def sample_item(dataset: Dataset, model_id: str, number: int) -> Item | None:
    """Return one of the pictures that the model did not learn from, in a mixed but fixed order.

    Args:
        dataset: The data set that the model learned from.
        model_id: The model; each has an order of its own.
        number: Which one, from 0; begins again after the last.
    """
    # Not the test pictures, while there are others: they are kept for the exam.
    items = list(dataset.subset("validation") or dataset.subset("test"))
    random.Random(model_id).shuffle(items)
    return items[number % len(items)] if items else None
