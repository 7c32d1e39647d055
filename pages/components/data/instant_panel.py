"""Instant answers on the Data page: a first classifier that learns while the person still adds pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.amounts import interval_words
from pages.components.camera.asking import ask_camera
from pages.components.errors import errors_shown
from pages.components.results.answer_views import show_all_answers
from pages.components.results.answers import kept_answers
from pages.components.results.bring_pictures import bring_pictures
from pages.components.state import Context
from pages.components.text import count, label
from tlcore.config import ModelConfig
from tlcore.dataset import Dataset, Item
from tlcore.errors import RunError
from tlcore.home import DataRoot
from tlcore.intake.splitting import units

if TYPE_CHECKING:
    from tlcore.simple_heads.instant import InstantClassifier, InstantFeatures

POLL_SECONDS = 0.5
# What one run of the page may compute; other viewers' pages get their turn in between.
BUDGET_SECONDS = 0.2
TOO_FEW = "It begins with {} pictures of two classes each, besides those for the test."
NOT_READY = (
    "The network that this needs is not ready on this computer yet. Starting the app with `python3 app.py` "
    "prepares it, and so does the first training."
)
WAYS = {"files": ":material/image: A picture", "camera": ":material/photo_camera: Camera"}


def draw_instant_answers(context: Context, dataset: Dataset) -> None:
    """Draw the switch and, behind it, how good the classifier is so far and a way to ask it."""
    on = st.toggle(
        "Instant answers",
        key="instant",
        help="A first answer while you still add pictures, without training: a frozen network turns each picture into "
        "numbers (**features**), and a very simple classifier learns from these in no time. It shows early which "
        "classes are easy and which need more pictures. The test pictures stay out of it, for the exam at the end.",
    )
    if not on:
        return
    with st.container(border=True, key="instant-panel"), errors_shown():
        _draw(context, dataset)


def _draw(context: Context, dataset: Dataset) -> None:
    from tlcore.simple_heads.instant import MIN_PICTURES, instant_items

    items = instant_items(dataset)
    if len({item.class_id for item in items}) < 2:
        st.info(TOO_FEW.format(MIN_PICTURES))
        return
    try:
        features = _features(context.home)
    except RunError:
        st.info(NOT_READY, icon=":material/hourglass_empty:")
        return
    images = [item.image for item in items]
    if len(features.known(images)) < len(set(images)):
        st.fragment(run_every=POLL_SECONDS)(_look_ahead)(features, images)
    fingerprint = _fingerprint(dataset, items, features)
    classifier = _classifier(fingerprint, dataset, items, features)
    if classifier is not None:
        _draw_answers(dataset, classifier, fingerprint)


def ready_classifier(context: Context, dataset: Dataset) -> InstantClassifier | str:
    """Return a classifier for a data set, or why there is none yet; each call looks at a few more pictures.

    Raises:
        ImageError: If a stored picture is missing or damaged.
    """
    from tlcore.simple_heads.instant import MIN_PICTURES, instant_items

    items = instant_items(dataset)
    if len({item.class_id for item in items}) < 2:
        return TOO_FEW.format(MIN_PICTURES)
    try:
        features = _features(context.home)
    except RunError:
        return NOT_READY
    images = [item.image for item in items]
    total, missing = len(set(images)), features.advance(images, BUDGET_SECONDS)
    classifier = None if missing else _classifier(_fingerprint(dataset, items, features), dataset, items, features)
    return classifier or f"Looking at your pictures, {total - missing:,} of {total:,}"


def _look_ahead(features: InstantFeatures, images: Sequence[str]) -> None:
    """Compute a few more features and say how far it is; draw the page anew when all are there."""
    with errors_shown():
        missing = features.advance(images, BUDGET_SECONDS)
        if not missing:
            st.rerun()
        total = len(set(images))
        st.progress((total - missing) / total, text=f"Looking at your pictures, {total - missing:,} of {total:,}")


@st.fragment
def _draw_answers(dataset: Dataset, classifier: InstantClassifier, fingerprint: str) -> None:
    """Say how good the classifier is, and let the person ask it."""
    st.markdown(quality_words(classifier))
    left_out = [name for name in dataset.class_names if name not in classifier.predictor.class_names]
    if left_out:
        st.caption(f"Not yet with {label(', '.join(left_out))}: too few pictures.")
    way = st.segmented_control(
        "Ask it about",
        list(WAYS),
        format_func=lambda name: WAYS[name],
        default="files",
        required=True,
        key="instant-way",
    )
    model_id = f"instant.{fingerprint}"
    if way == "camera" and st.session_state.get("way") == "webcam":
        st.caption("The camera above answers already.")
    elif way == "camera":
        ask_camera(classifier.predictor, model_id, "")
    else:
        bring_pictures(classifier.predictor, model_id)
        show_all_answers(kept_answers(model_id, classifier.predictor), classifier.predictor)


def quality_words(classifier: InstantClassifier) -> str:
    """Say how good a classifier is so far, and how that was found."""
    if not classifier.total:
        return (
            f"Learned from {count(classifier.learned_from, 'picture')} (**nearest class mean**). In each class all "
            "pictures belong together, so only new ones can show how good it is: ask it."
        )
    interval = interval_words(classifier.correct, classifier.total)
    if classifier.method == "class_means":
        return (
            f"**{classifier.correct:,} of {count(classifier.total, 'picture')} right so far**, {interval} (95 %), "
            "each asked while it and what belongs to it were left out of the learning (leave-one-out). With so few "
            "pictures the class wins whose mean picture is most alike (**nearest class mean**)."
        )
    return (
        f"**{classifier.correct:,} of {count(classifier.total, 'validation picture')} right so far**, {interval} "
        f"(95 %). Learned from {count(classifier.learned_from, 'training picture')} (**logistic regression**)."
    )


@st.cache_resource(max_entries=2, show_spinner=False)
def _features(home: DataRoot) -> InstantFeatures:
    from tlcore.simple_heads.instant import InstantFeatures

    return InstantFeatures(ModelConfig(), home)


def _fingerprint(dataset: Dataset, items: Sequence[Item], features: InstantFeatures) -> str:
    """Return what changes when the classifier would: the classes, and the pictures whose features are there."""
    known = features.known([item.image for item in items])
    unit_of = units(dataset.items, scenes_together=dataset.scenes_together)
    parts = [
        f"{item.image} {item.class_id} {item.split} {unit_of[item.image]}" for item in items if item.image in known
    ]
    parts += [f"{one.id} {one.name} {one.color}" for one in dataset.classes]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@st.cache_resource(max_entries=16, show_spinner=False)
def _classifier(
    fingerprint: str, _dataset: Dataset, _items: Sequence[Item], _backbone: InstantFeatures
) -> InstantClassifier | None:
    from tlcore.simple_heads.instant import fit_instant

    return fit_instant(_dataset, _items, _backbone.known([item.image for item in _items]), _backbone)
