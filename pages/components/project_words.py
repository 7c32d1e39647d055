"""A project in a few words, for cards: its pictures and its last result."""

from __future__ import annotations

from collections.abc import Collection

from pages.components.results.trained_models import validation_words
from pages.components.state import Visit
from pages.components.text import count, label
from tlcore.errors import TransferLabError
from tlcore.storage.projects import Project
from tlcore.storage.runs import list_runs


def data_summary(visit: Visit, project: Project) -> str:
    """Say in a few words what pictures a project has."""
    try:
        dataset = visit.dataset_of(project)
    except TransferLabError as error:
        return label(str(error))
    if not dataset.items:
        return "No pictures yet"
    return f"{count(len(dataset.items), 'picture')} in {count(dataset.num_classes, 'class', 'classes')}"


def result_summary(visit: Visit, project: Project, working: Collection[str] = ()) -> str:
    """Say in a few words what a project's last model reached, or what is going on."""
    if project.id in working:
        return "Working right now"
    for run in list_runs(visit.engine, project.id):
        if run.has_model:
            words = validation_words(run)
            right = "of the validation pictures right"
            return f"Run {run.number}: {f'{words} {right}' if words.endswith('%') else f'trained, {words}'}"
    return "Not trained yet"
