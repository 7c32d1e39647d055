"""Simple heads: train them on the features of a frozen backbone, before a network or beside one, and compare."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from pages.components.amounts import accuracy_with_interval, seconds_words
from pages.components.errors import errors_shown, show_error
from pages.components.frame import step_link
from pages.components.job_view import request_of, watch_job
from pages.components.results.trained_models import Model
from pages.components.state import Context
from tlcore.backbones.registry import get_backbone
from tlcore.config import ModelConfig
from tlcore.errors import TransferLabError
from tlcore.jobs.control import start_job
from tlcore.storage.jobs import last_job
from tlcore.storage.requests import SimpleHeadsRequest
from tlcore.storage.runs import Run
from tlcore.storage.simple_heads import (
    TrainedSimpleHead,
    frozen_backbone,
    list_simple_heads,
)


def draw_simple_heads(context: Context, shown: Model | None = None) -> None:
    """Draw what simple heads are, how good those on these features became, and the button that trains them.

    Args:
        context: What the page works on.
        shown: The model beside which they stand, whose backbone and pictures they use; without one, the backbone
            that is chosen and the pictures as they are now.
    """
    from tlcore.simple_heads.training import SIMPLE_HEADS

    job = last_job(context.engine, context.project.id, "simple_heads")
    version = context.version if shown is None else shown.version
    request = SimpleHeadsRequest(version, frozen_backbone(_backbone_of(context, shown)))
    backbone = get_backbone(request.model.backbone).title
    st.markdown(
        f"The frozen backbone, {backbone}, turns every picture into a list of numbers, its **features**. Any "
        "classifier can learn from these, with no network to train, in a second or two. Does training a network do "
        "better?"
    )
    heads = [
        head
        for head in list_simple_heads(context.engine, context.project.id)
        if head.version == request.version and head.model == request.model
    ]
    if heads:
        _show_table(heads, shown)
    if job is not None and job.is_active:
        watch_job(context, job.id)
        return
    if job is not None and job.state == "failed" and request_of(context, job, SimpleHeadsRequest) == request:
        show_error(job.message)
    if heads:
        learned_from, training = heads[0].result.trained_on, 0
        with suppress(TransferLabError):  # a damaged list of pictures, which is said elsewhere
            training = len(context.dataset_of(context.project, version).subset("train"))
        if learned_from < training:
            st.caption(f"They learned from {learned_from:,} of the {training:,} training pictures, drawn at random.")
        if shown is not None:
            st.caption("Choose one at the top of the page to see its mistakes, or ask it on Predict.")
            return
        best = max(heads, key=lambda head: head.result.test_correct)
        step_link("understand", "Understand their mistakes", ":material/search:", context.project.id, best.id)
        return
    with st.popover("Which heads are these?", icon=":material/help:", type="tertiary"):
        for spec in SIMPLE_HEADS:
            st.markdown(f"**{spec.title}**: {spec.sentence}")
    if st.button("Train simple heads", key="train-probes", icon=":material/bolt:"):
        with errors_shown():
            start_job(context.engine, context.home, "simple_heads", context.project.id, request, key=context.project.id)
            st.rerun()


def _backbone_of(context: Context, shown: Model | None) -> ModelConfig:
    """Return the model whose backbone is used: that of the shown one, of a group the first member's."""
    if shown is None:
        return context.project.config.model
    if isinstance(shown, TrainedSimpleHead):
        return shown.model
    if isinstance(shown, Run):
        return shown.config.model
    member = next((run for run in context.runs if run.id in shown.config.run_ids), None)
    return ModelConfig() if member is None else member.config.model


def _show_table(heads: list[TrainedSimpleHead], shown: Model | None) -> None:
    """Show how good the heads became, below the run that is shown, if any."""
    from tlcore.simple_heads.training import find_simple_head_spec

    rows = []
    if isinstance(shown, Run) and shown.summary is not None:
        summary = shown.summary
        accuracy = accuracy_with_interval(summary.test_correct, summary.test_total)
        rows.append((f"Run {shown.number}", accuracy, f"{summary.seconds:.0f} s, everything"))
    for head in heads:
        result = head.result
        accuracy = accuracy_with_interval(result.test_correct, result.test_total)
        rows.append((find_simple_head_spec(result.kind).title, accuracy, seconds_words(result.seconds)))
    names, accuracies, seconds = zip(*rows, strict=True)
    st.table({"Model": names, "Test accuracy": accuracies, "Training": seconds}, hide_index=True, border="horizontal")
