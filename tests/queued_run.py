"""One training run in line, as a tap on Train makes it."""

import sqlalchemy as sa

from tlcore.config import RunConfig
from tlcore.storage.runs import RunPlan, create_runs


def create_run(engine: sa.Engine, project_id: str, version: int, config: RunConfig, note: str = "") -> str:
    """Put a run in line and return its id; while the same one waits or works, return that one instead."""
    return create_runs(engine, project_id, [RunPlan(version, config, note)])[0]
