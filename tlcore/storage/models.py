"""What can be asked about pictures: the model of a run, of a group of runs, of a simple head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import sqlalchemy as sa

from tlcore.errors import NotFoundError
from tlcore.storage.ensembles import Ensemble, list_ensembles
from tlcore.storage.runs import Run, get_run
from tlcore.storage.simple_heads import TrainedSimpleHead, list_simple_heads

Model: TypeAlias = Run | Ensemble | TrainedSimpleHead
"""All have an `id`, which stands in the address, and the `version` of the data set that they learned from."""


def find_model(engine: sa.Engine, project_id: str, model_id: str) -> Model:
    """Return a model of a project.

    Raises:
        NotFoundError: If the project has none of this id.
    """
    others: list[Model] = [*list_ensembles(engine, project_id), *list_simple_heads(engine, project_id)]
    found = next((one for one in others if one.id == model_id), None)
    if found is not None:
        return found
    run = get_run(engine, model_id)
    if run.job.project_id != project_id:  # the id came from a browser
        raise NotFoundError("This model belongs to another project.")
    return run


def members_of(model: Model, runs: Sequence[Run]) -> list[Run | TrainedSimpleHead]:
    """Return the models that a model consists of: itself, or the runs of a group that count and are still there.

    Args:
        model: The model.
        runs: Those of its project.
    """
    if not isinstance(model, Ensemble):
        return [model]
    by_id = {run.id: run for run in runs}
    pairs = zip(model.config.run_ids, model.config.weights, strict=True)
    return [by_id[run_id] for run_id, weight in pairs if weight and run_id in by_id]
