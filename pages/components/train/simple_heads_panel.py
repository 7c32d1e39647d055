"""Simple heads: train them on the features of a frozen backbone, before a network or beside one, and compare."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from pages.components.amounts import seconds_words
from pages.components.errors import errors_shown, show_error
from pages.components.forms import work_state
from pages.components.frame import step_link
from pages.components.job_view import request_of, watch_job
from pages.components.results.trained_models import (
    Model,
    short_name,
    validation_answers,
    validation_counts,
    validation_words,
)
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
    heads.sort(key=lambda head: head.result.validation_correct or 0, reverse=True)
    if heads:
        run = shown if isinstance(shown, Run) else None
        _show_table(heads, run)
        _show_verdicts(context, heads, run)
    if job is not None and job.is_active:
        watch_job(context, job.id)
        return
    if job is not None and job.state == "failed" and request_of(context, job, SimpleHeadsRequest) == request:
        show_error(job.message)
    is_known = all(validation_counts(head) is not None for head in heads)
    if heads and not is_known:
        st.caption("They are from an earlier version, which did not ask them about the validation pictures.")
    elif heads:
        learned_from, training = heads[0].result.trained_on, 0
        with suppress(TransferLabError):  # a damaged list of pictures, which is said elsewhere
            training = len(context.dataset_of(context.project, version).subset("train"))
        if learned_from < training:
            st.caption(f"They learned from {learned_from:,} of the {training:,} training pictures, drawn at random.")
        if shown is not None:
            st.caption("Choose one at the top of the page to see its mistakes, or ask it on Predict.")
            return
        step_link("understand", "Understand their mistakes", ":material/search:", context.project.id, heads[0].id)
        return
    with st.popover("Which heads are these?", icon=":material/help:", type="tertiary"):
        for spec in SIMPLE_HEADS:
            st.markdown(f"**{spec.title}**: {spec.sentence}")
    again = " again" if heads else ""
    if st.button(
        f"Train simple heads{again}", key="train-probes", icon=":material/bolt:", **work_state(context, "simple_heads")
    ):
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


def _show_table(heads: list[TrainedSimpleHead], run: Run | None) -> None:
    """Show how good the heads became, the best one first, below the run that is shown, if any."""
    rows: list[tuple[Model, str]] = []
    if run is not None and run.summary is not None:
        rows.append((run, f"{run.summary.seconds:.0f} s, everything"))
    rows += [(head, seconds_words(head.result.seconds)) for head in heads]
    table = {
        "Model": [short_name(model) for model, _ in rows],
        "Validation accuracy": [validation_words(model, with_interval=True) for model, _ in rows],
        "Training": [seconds for _, seconds in rows],
    }
    st.table(table, hide_index=True, border="horizontal")


def _show_verdicts(context: Context, heads: list[TrainedSimpleHead], run: Run | None) -> None:
    """Say whether the best head is better than the run and than the second best, or only luckier."""
    from tlcore.results.comparison import many_comparisons, verdict

    best, *others = heads
    rivals: list[Model] = [*([run] if run is not None else []), *others[:1]]
    sentences = []
    for other in rivals:
        with errors_shown():
            first, second = (validation_answers(context, model) for model in (best, other))
            if first is not None and second is not None and first.total:
                sentences.append(verdict(first, second, (short_name(best), short_name(other)), "validation"))
    for sentence in [*sentences, many_comparisons(sentences)]:
        if sentence:
            st.caption(sentence)
