"""Choose a backbone: three recommendations, and all of them by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import streamlit as st

from pages.components.amounts import amount, percent
from pages.components.forms import SettingsForm, control_state, show_stored
from pages.components.model.backbone_choice import with_backbone
from pages.components.model.weights_download import show_failed_download, start_download, watch_downloads
from pages.components.state import Context
from tlcore.backbones.registry import BACKBONES, BackboneSpec, get_backbone, small_cnn_filters
from tlcore.backbones.small_cnn import DEFAULT_FILTERS, small_cnn_name
from tlcore.backbones.weights.status import weights_status
from tlcore.config import IMAGENET
from tlcore.downloading import megabytes

GOOD_ENOUGH = 2 / 3
"""Share of ImageNet's photos that the fast recommendation must name right."""

Wish = Literal["Fast", "Balanced", "Accurate", "Scratch"]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A backbone for one wish.

    Attributes:
        wish: What it is for.
        spec: The backbone.
        why: The reason in a sentence.
    """

    wish: Wish
    spec: BackboneSpec
    why: str


SCRATCH = Recommendation(
    "Scratch",
    get_backbone(small_cnn_name(DEFAULT_FILTERS)),
    "A small network of your own that has never seen a picture. Compare: what is pre-training worth?",
)
"""For the lesson, not for the result."""


def recommend(specs: Sequence[BackboneSpec]) -> list[Recommendation]:
    """Return a fast, a balanced and an accurate backbone; by published figures, so that all computers say the same."""
    known = [(spec, spec.imagenet_top1) for spec in specs if spec.imagenet_top1 is not None]
    good = [(spec, right) for spec, right in known if right >= GOOD_ENOUGH and not spec.embedded]
    fast, _ = min(good or known, key=lambda one: one[0].parameters)
    balanced, balanced_right = next(one for one in known if one[0].embedded)
    accurate, most_right = max(known, key=lambda one: (one[1], -one[0].parameters))
    return [
        Recommendation(
            "Fast",
            fast,
            f"The smallest that still names two of three ImageNet photos right: {amount(fast.parameters)} parameters.",
        ),
        Recommendation(
            "Balanced",
            balanced,
            f"Small, made for computers without a graphics card, and {percent(balanced_right)} right. "
            "It comes with Transfer Lab. Begin here.",
        ),
        Recommendation(
            "Accurate",
            accurate,
            f"Names the most ImageNet photos right, {percent(most_right)}. Each picture takes longer.",
        ),
    ]


def draw_backbone_chooser(context: Context) -> None:
    """Choose the backbone; when its weights are missing, offer the download."""
    config = context.project.config
    st.subheader(
        "Backbone",
        anchor=False,
        help="The backbone turns a picture into numbers that describe it. It learned that on ImageNet, 1.3 million "
        "photos of 1,000 kinds of things. Parameters are the numbers that it learned: more of them can "
        "mean better and always means slower.",
    )
    show_stored("backbone", config.model.backbone)
    st.selectbox(
        "A network that has already seen 1.3 million photos",
        backbone_names(config.model.backbone),
        format_func=lambda name: get_backbone(name).title,
        key="backbone",
        on_change=lambda: take_backbone(context, st.session_state["backbone"]),
        **control_state(context, "model", "backbone"),
    )
    spec = get_backbone(config.model.backbone)
    st.caption(backbone_sentence(spec, context))
    if config.model.weights == IMAGENET:
        offer_download(spec, context)
    for recommendation in recommend(BACKBONES):
        _draw_recommendation(context, recommendation, is_chosen=recommendation.spec.name == spec.name)
    is_small = small_cnn_filters(spec.name) is not None
    _draw_recommendation(context, replace(SCRATCH, spec=spec) if is_small else SCRATCH, is_chosen=is_small)


def take_backbone(context: Context, name: str) -> None:
    """Store another backbone with what changes with it; meant for callbacks."""
    SettingsForm(context, "run").change(lambda run: with_backbone(run, name))


def backbone_names(chosen: str) -> list[str]:
    """Return what can be chosen: every row of the registry, and a small network that learns from scratch."""
    names = [spec.name for spec in BACKBONES]
    return [*names, chosen if chosen not in names else small_cnn_name(DEFAULT_FILTERS)]


def backbone_sentence(spec: BackboneSpec, context: Context) -> str:
    """Say in a line how large and how good a backbone is, and whether it is here."""
    size = f"{amount(spec.parameters)} parameters"
    if spec.imagenet_top1 is None:
        return f"{size}; it has never seen a picture and learns everything from yours (from scratch)"
    return f"{size}, names {percent(spec.imagenet_top1)} of ImageNet's photos right; {availability(spec, context)}"


def availability(spec: BackboneSpec, context: Context) -> str:
    """Say whether the published weights are here, or how large their download is."""
    status = weights_status(spec, context.home)
    if status.ready_offline:
        return "ready, no network needed"
    return f"needs a download of {megabytes(status.download_bytes)}"


def offer_download(spec: BackboneSpec, context: Context) -> None:
    """Say that the published weights are missing, and fetch them when asked to."""
    status = weights_status(spec, context.home)
    if status.ready_offline:
        return
    if watch_downloads(context, "chooser"):
        return
    show_failed_download(context, of_chosen=True)
    st.warning(
        f"The weights of {spec.title} are not on this computer yet ({megabytes(status.download_bytes)}). "
        "Download them, or choose a backbone that is ready.",
        icon=":material/cloud_download:",
    )
    st.button(
        f"Download {megabytes(status.download_bytes)}",
        key="download",
        icon=":material/download:",
        disabled=context.is_guest,
        on_click=start_download,
        args=(context, [spec]),
    )


def _draw_recommendation(context: Context, recommendation: Recommendation, *, is_chosen: bool) -> None:
    spec = recommendation.spec
    with st.container(border=True, key=f"recommended-{recommendation.wish.lower()}", gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**{recommendation.wish}**: {spec.title}", width="content")
            st.button(
                "Chosen" if is_chosen else "Choose",
                key=f"take-{recommendation.wish.lower()}",
                icon=":material/check:" if is_chosen else None,
                disabled=is_chosen or context.is_guest,
                on_click=take_backbone,
                args=(context, spec.name),
            )
        st.caption(f"{recommendation.why} {sentence_start(availability(spec, context))}.")


def sentence_start(words: str) -> str:
    """Return words as a sentence begins; units such as MB stay as they are."""
    return words[:1].upper() + words[1:]
