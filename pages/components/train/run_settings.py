"""What was chosen for a run, in words: one row per choice."""

from __future__ import annotations

from tlcore.settings.words import config_rows
from tlcore.storage.runs import Run


def run_settings(run: Run) -> list[tuple[str, str]]:
    """Return what was chosen, as rows of what and value; settings that are off take no row."""
    rows, summary = [*config_rows(run.config), ("Data set", f"version {run.version}")], run.summary
    if summary is not None:
        rows.append(("Reached", f"best epoch {summary.best_epoch} of {summary.epochs} trained"))
        learned, frozen = summary.trainable_parameters, summary.frozen_parameters
        rows.append(("Parameters", f"{learned:,} trained, {frozen:,} frozen"))
    return rows
