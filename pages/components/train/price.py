"""The price tag: what a run with the settings now shown will take, measured on this computer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from pages.components.amounts import duration, seconds_words
from pages.components.errors import errors_shown
from pages.components.job_view import request_of
from pages.components.state import Context
from pages.components.text import count, label
from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.status import weights_status
from tlcore.config import RunConfig
from tlcore.dataset import check_trainable
from tlcore.errors import DatasetError, FullDiskError
from tlcore.home import is_full
from tlcore.jobs.control import ensure_runner, start_job
from tlcore.model.cut import PIXELS, plan_model
from tlcore.pricing.price import PriceTag, price_of, total_of_phases
from tlcore.pricing.speeds import read_speeds, speeds_key
from tlcore.progress import phase_words
from tlcore.storage.jobs import JobStatus, last_job
from tlcore.storage.requests import SettingsRequest

POLL_SECONDS = 1.0
# Whoever still moves the freeze line does not start a measurement at every stop on the way.
REST_SECONDS = 0.8

PriceState = Literal["known", "download", "data", "busy", "wanted", "measuring", "failed", "unknown"]
"""What can be said about the price; `wanted` is not measured yet, `unknown` was measured in vain."""

WATCHED: tuple[PriceState, ...] = ("busy", "wanted", "measuring")


@dataclass(frozen=True, slots=True)
class Price:
    """What can be said about the price now.

    Attributes:
        state: Which of the cases it is.
        key: Identifies what a measurement would find.
        tags: The price of each phase of the run when it is known.
        detail: What the measurement is doing, or why it failed, in words.
        phase: The phase of the run that is to be measured.
    """

    state: PriceState
    key: str = ""
    tags: tuple[PriceTag, ...] = ()
    detail: str = ""
    phase: RunConfig | None = None


def draw_price(context: Context) -> None:
    """Show what a run will take; measure it first when nobody has, and look about once a second meanwhile."""
    watched = look_up(context).state in WATCHED and not context.is_guest
    st.fragment(run_every=POLL_SECONDS if watched else None)(_draw_price)(context, watched)


def look_up(context: Context) -> Price:
    """Return what can be said about the price of the settings that are now shown."""
    config, dataset, home = context.project.config, context.dataset, context.home
    try:
        check_trainable(dataset)
    except DatasetError:
        return Price("data")
    if not weights_status(get_backbone(config.model.backbone), home, config.model.weights).ready_offline:
        return Price("download")
    tags = []
    for phase in config.phases:
        speeds = read_speeds(phase, dataset, home)
        tag = price_of(phase, dataset, speeds, home) if speeds is not None else None
        if tag is None:
            return _look_up_measure(context, phase)
        tags.append(tag)
    return Price("known", tags=tuple(tags))


def _look_up_measure(context: Context, phase: RunConfig) -> Price:
    """Return what can be said about a phase whose price is not known."""
    key = speeds_key(phase, context.dataset, context.home)
    if context.active_jobs("run", of_everyone=True):
        return Price("busy", key)
    job = last_job(context.engine, context.project.id, "measure", key)
    if job is None or job.state == "stopped" or not (job.is_active or _is_of_these_pictures(context, job)):
        return Price("wanted", key, phase=phase)
    if job.is_active:
        # One that is being stopped is begun again once it has ended.
        return Price("measuring", key, detail=_measured_part(job))
    if job.state == "failed":
        return Price("failed", key, detail=job.message, phase=phase)
    return Price("unknown", key, phase=phase)


def _draw_price(context: Context, watched: bool) -> None:
    with errors_shown():
        price = look_up(context)
        if price.state == "wanted" and not context.is_guest and _has_rested(price.key):
            with suppress(FullDiskError):  # who only looks needs no room; it is measured when there is some
                _measure(context, price)
        elif price.state == "measuring" and not context.is_guest:
            # The runner may have died with the computer; whoever looks at the price brings it back.
            ensure_runner(context.home)
        if watched and price.state not in WATCHED:
            st.rerun()  # once: the polling ends
        with st.container(border=True, width="content", key="price"):
            _draw_card(context, price)


def _draw_card(context: Context, price: Price) -> None:
    config = context.project.config
    if price.tags:
        parts = [breakdown(tag, phase) for tag, phase in zip(price.tags, config.phases, strict=True)]
        st.metric("One run takes", total_words(price.tags), help="\n\n".join([WHY, *parts]))
        for name, tag, phase in zip(PHASE_NAMES, price.tags, config.phases, strict=False):
            sentence = price_sentence(tag, phase)
            st.caption(f"{name}: {sentence}" if len(price.tags) > 1 else sentence)
        return
    st.metric("One run takes", "…" if price.state in WATCHED and not context.is_guest else "?", help=WHY)
    if context.is_guest:
        st.caption("Nobody has measured it for these settings.")
        return
    if price.state == "busy":
        st.caption("A training is working. The time will be measured when the training has ended.")
    elif price.state in ("wanted", "measuring") and is_full(context.home):
        st.caption("The disk is full. The time is measured as soon as there is room.")
    elif price.state in ("wanted", "measuring"):
        st.caption("Measuring on this computer…" + (f" {label(price.detail)}." if price.detail else ""))
    elif price.state == "download":
        st.caption("Download the weights first; then the time is measured.")
    elif price.state == "data":
        st.caption("The time is measured once every class has training pictures.")
    else:
        st.caption(f"The time could not be measured. {label(price.detail)}".strip())
        if not context.is_guest and st.button("Measure again", key="measure_again", icon=":material/timer:"):
            _measure(context, price)
            st.rerun()


WHY = (
    "Measured on this computer with your pictures and these settings; every run makes it more exact. Frozen blocks "
    "look at each picture only once, and what they see is kept for all epochs and all later runs. So the fewer "
    "blocks learn, the faster is an epoch."
)


PHASE_NAMES = ("First the head", "Then fine-tuning")


def total_words(tags: Sequence[PriceTag]) -> str:
    """Say how long the whole run takes, from the price tags of its phases."""
    return f"{'At most' if any(tag.at_most for tag in tags) else 'About'} {duration(total_of_phases(tags))}"


def price_sentence(tag: PriceTag, config: RunConfig) -> str:
    """Say what takes how long: looking at the pictures once, and each epoch."""
    epoch = f"{seconds_words(tag.epoch_seconds)} per epoch"
    if _is_fresh(config):
        return f"{epoch}, because each one looks at new views of all pictures."
    if not tag.new_pictures:
        return f"The frozen blocks have seen all pictures already: {epoch}."
    seen = seconds_words(tag.features_seconds)
    if plan_model(config.model).prefix.cut == PIXELS:
        return f"{seen} to read the pictures, then {epoch}."
    what = "the pictures" if config.augmentation.is_identity else "the pictures and their views"
    return f"{seen} to look at {what} once, then {epoch}."


def breakdown(tag: PriceTag, config: RunConfig) -> str:
    """List the parts that the total consists of."""
    parts = [f"{seconds_words(tag.startup_seconds)} to start the program that trains"]
    if tag.new_pictures and not _is_fresh(config):
        new = count(tag.new_pictures, "new picture", "new pictures and views")
        parts.append(f"{seconds_words(tag.features_seconds)} for the frozen blocks to look at {new}")
    parts += [
        f"{count(tag.counted_epochs, 'epoch')} of {seconds_words(tag.epoch_seconds)}",
        f"{seconds_words(tag.finish_seconds)} to test and to save",
    ]
    sooner = "\n\nIt may stop early, and then takes less." if tag.at_most else ""
    return "\n".join(f"- {part}" for part in parts) + sooner


def _is_fresh(config: RunConfig) -> bool:
    """Whether every epoch looks at new views."""
    return config.training.new_views_every_epoch and not config.augmentation.is_identity


def _has_rested(key: str) -> bool:
    """Whether these settings have been shown for a moment in this browser tab."""
    shown, since = st.session_state.get("price_shown", ("", 0.0))
    if shown != key:
        st.session_state["price_shown"] = (key, time.monotonic())
        return False
    return bool(time.monotonic() - since >= REST_SECONDS)


def _is_of_these_pictures(context: Context, job: JobStatus) -> bool:
    request = request_of(context, job, SettingsRequest)
    return request is not None and request.version == context.project.version


def _measured_part(job: JobStatus) -> str:
    return phase_words(job.phase, job.subject) if job.phase and job.stop_requested is None else ""


def _measure(context: Context, price: Price) -> None:
    request = SettingsRequest(context.version, price.phase or context.project.config)
    project_id = context.project.id
    start_job(context.engine, context.home, "measure", project_id, request, key=price.key, replaces_waiting=True)
