"""The compiled frozen part of a model, made again where it is missing or damaged."""

from __future__ import annotations

import streamlit as st

from pages.components.errors import errors_shown, show_error
from pages.components.job_view import watch_job
from pages.components.results.trained_models import Model
from pages.components.state import Context
from tlcore.config import RunConfig
from tlcore.errors import TransferLabError
from tlcore.home import is_full
from tlcore.jobs.control import start_job
from tlcore.storage.jobs import last_job
from tlcore.storage.models import members_of
from tlcore.storage.requests import SettingsRequest
from tlcore.storage.runs import Run

_TRIED = "frozen-parts-made"


def make_frozen_part_again(context: Context, model: Model, error: TransferLabError) -> None:
    """Let a worker make the frozen part of a model again and show it at work; what failed is said, with a button.

    Args:
        context: What the page works on.
        model: Of a group, its members are made ready one after the other.
        error: Why the model could not be loaded.
    """
    config = _first_without(context, model)
    if config is None or context.is_guest:  # another reason than the part itself, or nothing may be started
        show_error(error)
        return
    key = f"frozen part of {model.id}, {config.model.backbone} {config.model.image_size}"
    job = last_job(context.engine, context.project.id, "measure", key)
    tried: set[str] = st.session_state.setdefault(_TRIED, set())
    if job is not None and job.is_active:
        st.info(
            "The compiled frozen part of this model is missing or damaged on this computer. It is being made again "
            "from the backbone's weights, which takes about half a minute; the model itself is not changed.",
            icon=":material/build:",
        )
        watch_job(context, job.id)
        return
    if is_full(context.home):
        st.info(
            "The compiled frozen part of this model is missing or damaged on this computer. It is made again from the "
            "backbone's weights as soon as there is room: the disk is full.",
            icon=":material/build:",
        )
        return
    if key in tried:  # it was made once and is still not right: not over and over
        show_error(job.message if job is not None and job.state == "failed" else error)
        if not st.button("Make it again", key="make-frozen-part", icon=":material/build:"):
            return
    tried.add(key)
    with errors_shown():
        request = SettingsRequest(model.version, config)
        start_job(context.engine, context.home, "measure", context.project.id, request, key=key)
        st.rerun()


def _first_without(context: Context, model: Model) -> RunConfig | None:
    """Return the settings of the first member whose frozen part is not whole; `None` when all are."""
    from tlcore.features.compiled import is_compiled
    from tlcore.model.cut import plan_model

    for member in members_of(model, context.runs):
        config = member.config if isinstance(member, Run) else RunConfig(model=member.model)
        if not is_compiled(plan_model(config.model), context.home):
            return config
    return None
