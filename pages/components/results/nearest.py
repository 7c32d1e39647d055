"""The training pictures that a model finds most alike to a picture, and whether it looks like none of its classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.amounts import chance
from pages.components.results.answers import Answer
from pages.components.results.trained_models import Model
from pages.components.state import Context
from pages.components.text import count, label, plain
from tlcore.config import ResizeMode
from tlcore.errors import ImageError, TransferLabError
from tlcore.home import DataRoot
from tlcore.storage.ensembles import Ensemble
from tlcore.storage.models import members_of
from tlcore.storage.runs import Run
from tlcore.storage.simple_heads import TrainedSimpleHead

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tlcore.dataset import Dataset
    from tlcore.model.cut import Prefix
    from tlcore.results.neighbours import Comparison, FrozenPart, Neighbours
    from tlcore.results.strangers import Strangers

UNUSUAL = "less like your training pictures than 95 in 100 of your validation pictures"
"""What a picture is that looks like none of the classes; also said of several."""
NAME_LENGTH = 16
"""A longer class name is cut below a small picture; the sentence has it in full."""


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """What tells how alike pictures are, for one model.

    Attributes:
        key: Names what is compared: the project, the version of its data set, the features.
        neighbours: The training pictures.
        frozen: The frozen part.
        member: The model, or the one of a group by whose features that is told.
    """

    key: tuple[str, int, Comparison]
    neighbours: Neighbours
    frozen: FrozenPart
    member: Run | TrainedSimpleHead


def show_nearest(context: Context, model: Model, picture: NDArray[np.uint8] | str) -> None:
    """Draw the five training pictures that a model finds most alike, with their classes, or why that cannot be said.

    Everything is computed here: call it after a tap. It may stand in a dialog or an expander.

    Args:
        context: Where the pictures are.
        model: The model.
        picture: uint8 RGB pixels of shape `(height, width, 3)`, or the key of a stored picture.
    """
    from tlcore.images.resizing import decode_image

    try:
        with st.spinner("Looking for training pictures that are alike"):
            alike = _alike_of(context, model)
            pixels = decode_image(context.images.read(picture)) if isinstance(picture, str) else picture
            vector = alike.frozen.vector(pixels)
    except TransferLabError as error:
        st.info(label(str(error)), icon=":material/info:")
        return
    found = alike.neighbours.nearest(vector, without=picture if isinstance(picture, str) else None)
    if not found:
        st.info("There is no other training picture to compare with.", icon=":material/info:")
        return
    number = {5: "five "}.get(len(found), "")
    st.markdown(f"**The {number}training pictures that the model finds most alike**, the most alike first:")
    with st.grid(len(found), min_column_width=48, wrap=False, gap="xsmall", vertical_alignment="bottom"):
        for one in found:
            with st.container(gap="xxsmall"):
                name = f"{plain(one.class_name)}, {chance(one.likeness)} alike"
                try:
                    st.image(context.images.thumbnail(one.image), width="stretch", alt=name)
                except ImageError:
                    st.caption("This picture was deleted.")
                st.caption(f"{label(plain(one.class_name, NAME_LENGTH))}  \n{chance(one.likeness)}")
    classes = Counter(one.class_name for one in found).most_common()
    st.markdown(f"Their classes: {', '.join(f'{number} × **{label(name)}**' for name, number in classes)}.")
    st.caption(_comparison_words(alike, model))


def _comparison_words(alike: Alike, model: Model) -> str:
    """Say by what the pictures were compared."""
    neighbours, member = alike.neighbours, alike.member
    compared = neighbours.comparison
    what = "the features of the frozen backbone" if compared.is_whole else "the features of its frozen blocks"
    whose = (
        f" of Run {member.number}, one of the group" if isinstance(model, Ensemble) and isinstance(member, Run) else ""
    )
    words = [f"Compared by {what}{whose}; 100 %: the same pattern of features (**cosine similarity**)."]
    if isinstance(member, Run) and (member.config.model.first_trainable or member.config.training.fine_tuning):
        words.append("What the thawed blocks learned is not in it.")
    elif isinstance(member, Run) and member.config.model.head.dense_units:
        words.append("What the layers of the head learned is not in it.")
    if compared.has_views:
        words.append("Each training picture stands in it with a change that the model learned from (augmentation).")
    if len(neighbours.items) < neighbours.total:
        words.append(f"{len(neighbours.items):,} of {count(neighbours.total, 'training picture')} were compared.")
    return " ".join(words)


def draw_nearest(context: Context, model: Model, picture: NDArray[np.uint8] | str) -> None:
    """Draw what opens on a tap to show the nearest training pictures; arguments as of `show_nearest`."""
    with st.expander(
        "Which training pictures are most alike?", icon=":material/join_inner:", key="nearest", on_change="rerun"
    ) as panel:
        if panel.open:
            show_nearest(context, model, picture)


@dataclass(frozen=True, slots=True)
class Strangeness:
    """Whether a picture looks like none of a model's classes.

    Attributes:
        is_strange: Whether it does.
        judged_by: How many validation pictures told what is still usual.
    """

    is_strange: bool
    judged_by: int


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Says whether a picture looks like none of a model's classes.

    Attributes:
        told: Returns what tells it, looked for once; `None` where nothing can say so.
    """

    told: Callable[[], tuple[Alike, Strangers] | None]

    def is_strange(self, pixels: NDArray[np.uint8]) -> bool | None:
        """Say it of pixels, uint8 RGB of shape `(height, width, 3)`."""
        found = self.told()
        if found is None:
            return None
        alike, strangers = found
        return strangers.is_strange(alike.frozen.vector(pixels))

    def of_answer(self, answer: Answer) -> Strangeness | None:
        """Say it of a brought picture: from its file, or as it was told when it came if that is not kept."""
        found = self.told()
        if found is None:
            return None
        alike, strangers = found
        is_strange = (
            _picture_is_strange(answer.data, alike.key, alike.frozen, strangers) if answer.data else answer.is_strange
        )
        return None if is_strange is None else Strangeness(is_strange, strangers.judged_by)


def judge_of(context: Context, model: Model) -> Judge:
    """Return what says whether a picture looks like none of the classes of a model.

    Nothing is read before it is asked for the first time, and the features are looked for once, found or not.
    """

    @cache
    def told() -> tuple[Alike, Strangers] | None:
        with suppress(TransferLabError):  # without features, or with a damaged list of pictures
            alike = _alike_of(context, model)
            dataset = context.dataset_of(context.project, model.version)
            strangers = _load_strangers(alike.key, context.home, alike.neighbours, dataset)
            return None if strangers is None else (alike, strangers)
        return None

    return Judge(told)


def warn_of_stranger(found: Strangeness | None) -> None:
    """Say below an answer that its picture looks like none of the model's classes, where it does."""
    if found is not None and found.is_strange:
        st.warning(
            f"**This looks like none of your classes**: it is {UNUSUAL}. Do not trust the answer."
            f"{rough_words(found.judged_by)}",
            icon=":material/person_search:",
        )


def rough_words(judged_by: int) -> str:
    """Return a sentence, with a space in front, where so few validation pictures say little; else nothing."""
    from tlcore.results.strangers import ENOUGH_VALIDATION

    if judged_by >= ENOUGH_VALIDATION:
        return ""
    return f" There are only {count(judged_by, 'validation picture')} to tell by, so this is rough."


def stranger_sign(found: Strangeness | None) -> None:
    """Draw a few words below one answer of many, where its picture looks like none of the classes."""
    if found is not None and found.is_strange:
        st.caption(":material/person_search: like none of your classes")


def _alike_of(context: Context, model: Model) -> Alike:
    """Return what tells how alike pictures are to those that a model learned from.

    Raises:
        RunError: If there are no features to compare by, with what to do.
        TransferLabError: If the list of pictures is damaged.
    """
    from tlcore.results.neighbours import first_comparable

    dataset = context.dataset_of(context.project, model.version)

    def load(compared: tuple[Comparison, ...]) -> tuple[Neighbours, FrozenPart]:
        neighbours = _load_neighbours(context.project.id, model.version, compared, context.home, dataset)
        comparison = neighbours.comparison
        return neighbours, _frozen_part(comparison.prefix, comparison.resize_mode, context.home)

    member, (neighbours, frozen) = first_comparable(members_of(model, context.runs), load)
    return Alike((context.project.id, model.version, neighbours.comparison), neighbours, frozen, member)


@st.cache_resource(max_entries=6, show_spinner=False)
def _load_neighbours(
    project_id: str, version: int, compared: tuple[Comparison, ...], home: DataRoot, _dataset: Dataset
) -> Neighbours:
    from tlcore.results.neighbours import load_neighbours

    return load_neighbours(_dataset, compared, home)


@st.cache_resource(max_entries=4, show_spinner=False)
def _frozen_part(prefix: Prefix, resize_mode: ResizeMode, home: DataRoot) -> FrozenPart:
    from tlcore.results.neighbours import FrozenPart

    return FrozenPart(prefix, resize_mode, home)


@st.cache_resource(max_entries=6, show_spinner=False)
def _load_strangers(
    key: tuple[str, int, Comparison], home: DataRoot, _neighbours: Neighbours, _dataset: Dataset
) -> Strangers | None:
    from tlcore.results.strangers import load_strangers

    return load_strangers(_neighbours, _dataset, home)


@st.cache_data(max_entries=2000, show_spinner=False)
def _picture_is_strange(
    picture: bytes, key: tuple[str, int, Comparison], _frozen: FrozenPart, _strangers: Strangers
) -> bool:
    """Return whether the picture of a file is a stranger to what `key` names."""
    from tlcore.images.resizing import decode_image

    return _strangers.is_strange(_frozen.vector(decode_image(picture)))
