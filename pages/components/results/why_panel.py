"""Why a model answers as it does: the parts of a picture that speak for a class, as a heat map over it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.components.amounts import chance
from pages.components.errors import show_error
from pages.components.figures.heat import heat_picture
from pages.components.results.answers import Answer, pixels_to_ask
from pages.components.results.nearest import show_nearest
from pages.components.results.trained_models import Model, predictor_of
from pages.components.state import Context
from pages.components.text import label, plain
from tlcore.errors import ImageError, RunError
from tlcore.results.evaluation import Answered

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from streamlit.delta_generator import DeltaGenerator

    from tlcore.explaining.covering import Box, Coverings
    from tlcore.results.prediction import Predictor

FEW_CLASSES = 4
"""Up to here each class is a button; more are a list, the likeliest first."""

LITTLE = 0.05
"""When no part changes the probability by more, none decides alone."""

MAX_KEPT = 64
"""Maps that are kept for whoever looks again, those of all people together; 0.1 MB each."""

WAYS = {"map": "Heat map", "cover": "Cover a part yourself"}

COVER_HINT = (
    "Drag over the picture to cover a part; drag the cover to move it. With keys: the arrows move it, **+** and **-** "
    "change its size. The model then sees the blurred part instead."
)

METHOD = (
    "A part of the picture is **covered** with a blurred copy of itself, and the model is asked again. If it is less "
    "sure of the class then, that part spoke for it: it gets warm. If it is surer, the part spoke against it: it gets "
    "cool. The cover goes over the whole picture, part by part. The field calls this **occlusion** "
    "([Zeiler and Fergus 2014](https://arxiv.org/abs/1311.2901)); it works for every model. Where the model averages "
    "its features over all places of the picture, the map also says what each place adds to that average: the "
    "**class activation map** ([Zhou and others 2016](https://arxiv.org/abs/1512.04150)). Where its head sees every "
    "place by itself, the map says what each place and those beside it add. Nearest neighbours vote, and a vote stays "
    "the same until another picture comes nearer; their map says how much less like the class the picture becomes.\n\n"
    "**What it cannot say.** It shows *where* the model looks, not *what* it sees there. What is larger than the "
    "cover, or is there twice, can matter without getting warm, as enough of it is left. And a cover is nothing that "
    "the model has learned, so it may take the cover itself for something. Colours are strongest at the part that "
    "matters most in this picture, so two maps cannot be compared by their strength."
)


def show_why(
    model: Model, predictor: Predictor, pixels: NDArray[np.uint8], key: str, *, truth: str | None = None
) -> None:
    """Show which parts of a picture speak for a class; call it where somebody asked for it, as it takes a second.

    Args:
        model: Whose answer it is.
        predictor: The same model, ready to answer.
        pixels: uint8 RGB of shape `(height, width, 3)`.
        key: Tells this panel from others on the page.
        truth: What the picture really shows, where that is known.
    """
    _show_why(model.id, predictor, pixels, key, truth)


@st.fragment
def _show_why(model_id: str, predictor: Predictor, pixels: NDArray[np.uint8], key: str, truth: str | None) -> None:
    from tlcore.explaining.covering import shrunk

    small = shrunk(pixels, predictor.image_size)
    answer = predictor.predict([small])[0]
    way = st.segmented_control(
        "How to ask", ("map", "cover"), format_func=WAYS.__getitem__, default="map", key=f"{key}-way", required=True
    )
    if way == "cover":
        st.caption(COVER_HINT)
    place, words = st.columns([2, 3], gap="medium")
    with words:
        # The classes are numbered, and another model may have others.
        chosen = _choose_class(predictor.class_names, answer, f"{key}-{model_id}", truth)
    if way == "cover":
        with place:
            _draw_cover(predictor, pixels, answer, chosen, f"{key}-cover")
        return
    with place, st.spinner("Covering part after part"):
        coverings = _coverings(model_id, _digest(small, answer), predictor, small)
    _draw_map(coverings, predictor.class_names[chosen], chosen, pixels, key, place, words)


def _draw_map(
    coverings: Coverings,
    name: str,
    chosen: int,
    pixels: NDArray[np.uint8],
    key: str,
    place: DeltaGenerator,
    words: DeltaGenerator,
) -> None:
    heat = coverings.heat_map(chosen)
    with words:
        opacity = st.slider("Strength of the map", 0, 100, 65, 5, format="%d %%", key=f"{key}-opacity")
        st.markdown(why_words(name, coverings, chosen))
        st.markdown(
            f":orange-background[ **warm** ] speaks for {label(name)}  \n:blue-background[ **cool** ] speaks against it"
        )
        with st.popover("How is this found?", icon=":material/help:", type="tertiary"):
            st.markdown(METHOD)
    with place:
        st.image(
            heat_picture(pixels, heat.values, opacity / 100),
            width="stretch",
            alt=map_words(name, coverings, chosen),
        )


def _draw_cover(
    predictor: Predictor, pixels: NDArray[np.uint8], answer: NDArray[np.float32], chosen: int, key: str
) -> None:
    from pages.components.cover.component import covered_box, draw_cover
    from tlcore.explaining.covering import cover, filling, shrunk

    small = shrunk(pixels, predictor.image_size)
    fill = filling(small)
    box = covered_box(key)
    said = ""
    if box is not None:
        [after] = predictor.predict([cover(small, box, fill)])
        said = f"{box_words(box)} {cover_words(predictor.class_names, answer, after, chosen)}"
    draw_cover(key, pixels, fill, said)


def box_words(box: Box) -> str:
    """Say where a cover lies and how large it is, to who does not see it."""
    where = place_words(box.left + box.width / 2, box.top + box.height / 2)
    return f"Cover at {where}, {round(100 * box.width)} % wide and {round(100 * box.height)} % high."


def cover_words(names: Sequence[str], before: NDArray[np.float32], after: NDArray[np.float32], class_index: int) -> str:
    """Say what a cover does to the probability of a class, and what the model says now where that is something else."""
    was, now = (chance(float(answer[class_index])) for answer in (before, after))
    name = plain(names[class_index], 40)
    change = f"{name}: {was} becomes {now}." if was != now else f"{name} stays at {was}."
    best = int(after.argmax())
    if best == int(before.argmax()):
        return change
    return f"{change} Now the model says {plain(names[best], 40)}."


def _choose_class(names: Sequence[str], probabilities: NDArray[np.float32], key: str, truth: str | None) -> int:
    said = int(np.argmax(probabilities))
    # What it really is stands right behind what was said: these two are what one wants to compare.
    order = sorted(range(len(names)), key=lambda index: (index != said, names[index] != truth, -probabilities[index]))
    if len(order) <= FEW_CLASSES:
        chosen = st.segmented_control(
            "What speaks for",
            order,
            format_func=lambda index: label(plain(names[index], 24)),
            default=said,
            key=f"{key}-class",
            required=True,
        )
        return said if chosen is None else int(chosen)
    return int(
        st.selectbox(
            "What speaks for",
            order,
            format_func=lambda index: f"{plain(names[index])}: {chance(float(probabilities[index]))}",
            key=f"{key}-class",
        )
    )


def why_words(name: str, coverings: Coverings, class_index: int) -> str:
    """Say in a sentence or two what the covers that change the probability of a class most do to it."""
    before, covered = float(coverings.whole[class_index]), coverings.covered[:, class_index]
    changes = []
    for part, verb, side in (
        (int(covered.argmin()), "falls", "for"),
        (int(covered.argmax()), "rises", "against"),
    ):
        after = float(covered[part])
        change = before - after if side == "for" else after - before
        where = place_words(*coverings.middle_of(part))
        words = (
            f"With {where} covered, {label(name)} {verb} **from {chance(before)} to {chance(after)}**: "
            f"that part spoke {side} it."
        )
        changes.append((change, words))
    large = [words for change, words in sorted(changes, reverse=True) if change >= LITTLE]
    if large:
        return " ".join(large)
    return (
        f"The model gives {label(name)} **{chance(before)}**, whichever part is covered: no single part decides. "
        "The colours show small differences."
    )


def map_words(name: str, coverings: Coverings, class_index: int) -> str:
    """Say what a heat map shows, to who does not see it; where it is warmest only if that part changes something."""
    words = f"Heat map of what speaks for {plain(name)}"
    if float(coverings.whole[class_index] - coverings.covered[:, class_index].min()) < LITTLE:
        return words
    return f"{words}, warmest at {warmest_words(coverings.heat_map(class_index).values)}"


def warmest_words(values: NDArray[np.float32]) -> str:
    """Say where a map is warmest, such as `the top left`."""
    rows, columns = values.shape
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    return place_words((column + 0.5) / columns, (row + 0.5) / rows)


def place_words(x: float, y: float) -> str:
    """Say where a point lies in a picture, in parts of its width and height from the top left corner."""
    vertical = ("top", "middle", "bottom")[min(2, int(3 * y))]
    horizontal = ("left", "middle", "right")[min(2, int(3 * x))]
    if vertical == horizontal:
        return "the middle"
    return f"the {' '.join(part for part in (vertical, horizontal) if part != 'middle')}"


def _digest(pixels: NDArray[np.uint8], answer: NDArray[np.float32]) -> str:
    """Return what tells a question from others: the answer too, as a model may be asked in another way from now on."""
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes() + answer.tobytes()).hexdigest()


@st.cache_data(max_entries=MAX_KEPT, show_spinner=False)
def _coverings(model_id: str, digest: str, _predictor: Predictor, _pixels: NDArray[np.uint8]) -> Coverings:
    from tlcore.explaining.covering import cover_all

    return cover_all(_predictor, _pixels)


def why_of_answers(model: Model, predictor: Predictor) -> Callable[[Answer], None]:
    """Return what draws, below an answer, a switch that shows its why."""

    def draw(answer: Answer) -> None:
        key = f"why-{hashlib.sha256(answer.picture).hexdigest()[:16]}"
        if st.toggle("Why this answer?", key=key, help="Shows which parts of the picture speak for it."):
            show_why(model, predictor, pixels_to_ask(answer), key, truth=answer.truth)

    return draw


def why_of(context: Context, model: Model, key: str = "mistake") -> Callable[[Answered], None]:
    """Return what draws, below an answered picture, a button that opens its why.

    Args:
        context: Where the pictures are.
        model: Whose answers they are.
        key: Tells these buttons from others on the page below the same picture.
    """

    def draw(answered: Answered) -> None:
        button = f"{key}-why-{answered.y_true}-{answered.image}"
        if st.button("Why?", key=button, type="tertiary", icon=":material/search_insights:"):
            _open_why(context, model, answered)

    return draw


@st.dialog("Why this answer?", width="large")
def _open_why(context: Context, model: Model, answered: Answered) -> None:
    from tlcore.images.resizing import decode_image

    try:
        predictor = predictor_of(context, model)
        pixels = decode_image(context.images.read(answered.image))
    except (RunError, ImageError) as error:
        show_error(error)
        return
    names = predictor.class_names
    is_name, said = names[answered.y_true], names[answered.y_pred]
    agrees = "and the model says so too" if is_name == said else f"the model said **{label(said)}**"
    st.markdown(f"It is **{label(is_name)}**, {agrees}.")
    show_why(model, predictor, pixels, f"why-panel-{answered.image}", truth=is_name)
    show_nearest(context, model, answered.image)
