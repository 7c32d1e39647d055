"""One training run in line, as a tap on Train makes it, and what its worker would leave."""

import sqlalchemy as sa

from tlcore.config import RunConfig
from tlcore.home import DataRoot
from tlcore.results.prediction_code import MODEL_FILE
from tlcore.storage.runs import RunPlan, create_runs


def create_run(engine: sa.Engine, project_id: str, version: int, config: RunConfig, note: str = "") -> str:
    """Put a run in line and return its id; while the same one waits or works, return that one instead."""
    return create_runs(engine, project_id, [RunPlan(version, config, note)])[0]


def leave_model(home: DataRoot, run_id: str) -> None:
    """Leave the file of a model that nobody loads: without one, its model was freed."""
    folder = home.run_dir(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).touch()
