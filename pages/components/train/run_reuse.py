"""An earlier run as a start: run it again as it is, or take its settings."""

from __future__ import annotations

import streamlit as st

from pages.components.errors import errors_kept
from pages.components.forms import SettingsForm
from pages.components.state import Context
from pages.components.train.run_view import leave_run
from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.status import weights_status
from tlcore.jobs.control import start_runs
from tlcore.settings.locks import LOCKED
from tlcore.storage.runs import Run, RunPlan


def draw_reuse(context: Context, run: Run) -> None:
    """Offer to run an ended run again, and to go on from its settings; not to guests."""
    if context.is_guest:
        return
    obstacle = _obstacle(context, run)
    form = SettingsForm(context, "run")
    with st.container(horizontal=True):
        st.button(
            "Run again",
            key="run_again",
            icon=":material/replay:",
            disabled=obstacle is not None,
            help=obstacle
            or f"The same settings, the same seed and the same pictures (data set version {run.version}), once more.",
            on_click=_run_again,
            args=(context, run),
        )
        st.button(
            "Use these settings",
            key="use_settings",
            icon=":material/tune:",
            help="Fills Augment, Model and Train with the settings of this run. The next run learns from the pictures "
            "as they are now.",
            on_click=_use,
            args=(form, run),
        )


def _obstacle(context: Context, run: Run) -> str | None:
    """Return why a run cannot be started again now; `None` when it can."""
    if "training" in context.locked:
        return LOCKED
    model = run.config.model
    spec = get_backbone(model.backbone)
    if not weights_status(spec, context.home, model.weights).ready_offline:
        return f"The weights of {spec.title} are not on this computer any more. Fetch them on Model."
    return None


def _use(form: SettingsForm, run: Run) -> None:
    form.change(lambda _: run.config)
    leave_run()


def _run_again(context: Context, run: Run) -> None:
    plan = RunPlan(run.version, run.config)
    with errors_kept():
        st.query_params["run"] = start_runs(context.engine, context.project.id, [plan], context.home)[0]
