"""The finished run that a result page shows: the newest one, or the one in the address."""

from __future__ import annotations

import streamlit as st

from pages.components.amounts import accuracy_decimals, percent
from pages.components.state import Context, dataset_of
from tlcore.backbones.registry import get_backbone
from tlcore.dataset import Dataset
from tlcore.storage.runs import Run


def choose_run(context: Context) -> Run:
    """Return the run to show; draw a choice when there are several.

    The page has made sure that there is one, with `open_page(..., needs_model=True)`. The choice is kept in
    the address, where it survives a reload and goes along to the next page.
    """
    runs = {run.id: run for run in context.runs if run.has_model}
    if len(runs) == 1:
        return next(iter(runs.values()))
    ids = list(runs)
    in_address = st.query_params.get("run")
    chosen = st.selectbox(
        "Which training run?",
        ids,
        index=ids.index(in_address) if in_address in runs else 0,
        format_func=lambda run_id: run_title(runs[run_id]),
        help="Every time you train, a new run is kept with its model. The newest one stands first.",
    )
    st.query_params["run"] = chosen
    return runs[chosen]


def run_title(run: Run) -> str:
    """Return a run in a few words, such as `Run 3: 94.0 % right, EfficientNet-Lite0`."""
    summary = run.summary
    right = ""
    if summary is not None and summary.test_total:
        accuracy = summary.test_correct / summary.test_total
        right = f"{percent(accuracy, accuracy_decimals(summary.test_total))} right, "
    return f"Run {run.number}: {right}{get_backbone(run.config.model.backbone).title}"


def dataset_of_run(context: Context, run: Run) -> Dataset:
    """Return the data set as it was when the run began; later edits do not change it."""
    return dataset_of(context, context.project, run.version)
