"""Runs beside each other: curves in one picture, what they reached, and what was changed between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from itertools import pairwise

import sqlalchemy as sa
import streamlit as st

from pages.components.amounts import accuracy_words, amount, duration, interval_range
from pages.components.errors import errors_shown
from pages.components.figures.curves import CURVE_HEIGHT, Curve, curve_words, overlaid_figure
from pages.components.figures.live_plot import live_plot
from pages.components.results.compared_runs import compared_numbers
from pages.components.results.exam import opened_models
from pages.components.results.trained_models import (
    answers_of,
    exam_counts,
    names_of_runs,
    short_name,
    validation_counts,
    validation_words,
)
from pages.components.state import Context
from pages.components.text import label, plain
from pages.components.train.run_list import STATE_BADGES, what_was_trained
from tlcore.dataset import Split
from tlcore.errors import RunError
from tlcore.results.comparison import changes_between, many_comparisons, verdict
from tlcore.settings.recipes import recipe_title
from tlcore.storage.runs import MetricPoint, Run, last_metric, read_metrics

POLL_SECONDS = 1.0


def draw_comparison(context: Context, shown: Run | None) -> None:
    """Compare the runs that are ticked, and the one that is shown above; live while one of them works."""
    runs = context.runs
    chosen = _chosen(runs, shown)
    if len(chosen) < 2:
        if len(runs) > 1:
            st.caption(
                "Tick two or more runs to compare them." if shown is None else "Tick a run to compare it with this one."
            )
        return
    is_live = any(run.job.is_active for run in chosen)
    st.fragment(run_every=POLL_SECONDS if is_live else None)(_draw_comparison)(context, shown, is_live)


def _chosen(runs: Sequence[Run], shown: Run | None) -> list[Run]:
    """Return the runs to compare, the oldest first."""
    numbers = compared_numbers() | ({shown.number} if shown is not None else set())
    return sorted((run for run in runs if run.number in numbers), key=lambda run: run.number)


def _draw_comparison(context: Context, shown: Run | None, watched: bool) -> None:
    with errors_shown():
        runs = _chosen(context.runs, shown)
        if watched and not any(run.job.is_active for run in runs):
            st.rerun()  # once: the list shows what they reached, and the polling ends
        points_of_runs = {run.number: _read_points(context, run) for run in runs}
        opened = opened_models(context)
        st.subheader(names_of_runs(runs), anchor=False)
        _draw_curves(points_of_runs)
        _draw_table(runs, opened)
        verdicts = []
        for before, after in pairwise(runs):
            st.markdown(f"**From run {before.number} to run {after.number}:** {label(changes_between(before, after))}.")
            if before.has_model and after.has_model:
                verdicts.append(_verdict(context, before, after, opened))
                st.caption(verdicts[-1])
        several = many_comparisons(verdicts)
        if several:
            st.caption(several)


def _read_points(context: Context, run: Run) -> tuple[MetricPoint, ...]:
    last = last_metric(context.engine, run.id)
    return () if last is None else _points(run.id, last, context.engine)


# A finished run does not change, and thirty people may look at the same ones.
@st.cache_resource(max_entries=64, show_spinner=False)
def _points(run_id: str, last: int, _engine: sa.Engine) -> tuple[MetricPoint, ...]:
    return tuple(read_metrics(_engine, run_id))


def _verdict(context: Context, before: Run, after: Run, opened: Set[str]) -> str:
    """Say which of two runs with models is better: in the exam when both have opened theirs, else on validation."""
    split: Split = "test" if {before.id, after.id} <= opened else "validation"
    try:
        first, second = (answers_of(context, run, split) for run in (before, after))
    except RunError as error:
        return label(str(error))
    if not (first.total and second.total):
        return f"Without {split} pictures they cannot be compared."
    return verdict(first, second, (short_name(before), short_name(after)), split)


def _draw_curves(points_of_runs: Mapping[int, Sequence[MetricPoint]]) -> None:
    if not any(points_of_runs.values()):
        st.info("The curves begin with the first epoch.", icon=":material/show_chart:")
        return
    unseen = [
        f"run {number}"
        for number, points in points_of_runs.items()
        if points and not any(point.name == "val_loss" for point in points)
    ]
    accuracy, loss = st.columns(2, gap="medium")
    with accuracy:
        st.markdown("**Validation accuracy**, higher is better")
        _plot(points_of_runs, "accuracy")
    with loss:
        st.markdown("**Validation loss**, lower is better")
        _plot(points_of_runs, "loss")
    if unseen:
        st.caption(f"Without validation pictures there is no curve of {' and '.join(unseen)}.")


def _plot(points_of_runs: Mapping[int, Sequence[MetricPoint]], curve: Curve) -> None:
    figure = overlaid_figure(points_of_runs, curve)
    live_plot(
        figure,
        key=f"compared-{curve}",
        height=CURVE_HEIGHT,
        description=curve_words(figure, f"Validation {curve}"),
    )


def _draw_table(runs: Sequence[Run], opened: Set[str]) -> None:
    import pandas as pd  # with the first table, not with the page

    rows = [table_row(run) for run in runs]
    if any(run.id in opened for run in runs):
        for row, run in zip(rows, runs, strict=True):
            row["Exam"] = accuracy_words(*exam_counts(run)) if run.id in opened else "–"
    if any(run.note for run in runs):
        for row, run in zip(rows, runs, strict=True):
            row["Expected"] = run.note
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={"Run": st.column_config.TextColumn(pinned=True, width="small")},
        alt="Validation accuracy, its interval, time and weights that learn, of each run",
    )


def table_row(run: Run) -> dict[str, str]:
    """Return what a run was and reached, by the names of the columns; a dash where there is nothing yet."""
    summary, title = run.summary, recipe_title(run.config)
    return {
        "Run": f"Run {run.number}",
        "What": plain(title) if title is not None else what_was_trained(run),
        "Validation accuracy": "–" if summary is None else validation_words(run),
        "95 % interval": interval_range(*(validation_counts(run) or (0, 0))),
        "Time": STATE_BADGES[run.job.state][0] if summary is None else duration(summary.seconds),
        "Weights that learn": "–" if summary is None else amount(summary.trainable_parameters),
    }
