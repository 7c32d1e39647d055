"""How a trained model answers: its temperature, and the probability below which it says that it does not know."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from tlcore.documents import read_fields
from tlcore.errors import UnreadableError
from tlcore.storage.database import model_settings, project_version, read_rows, writing


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What a person chose for the answers of a model; the defaults leave them as they are.

    Attributes:
        temperature: The probabilities are scaled with it, see `tlcore.results.calibration`; 1 changes nothing.
        threshold: Least probability of an answer, in `[0, 1]`; at 0 it always answers.
    """

    temperature: float = 1.0
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"`temperature` must be a number above 0. Received: temperature={self.temperature}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"`threshold` must be between 0 and 1. Received: threshold={self.threshold}")


def read_model_settings(engine: sa.Engine, project_id: str, model_id: str) -> ModelSettings:
    """Return the settings of a run, a group or a simple head; the defaults when nobody chose any."""
    return _settings(next(iter(read_rows(engine, _query(project_id, model_id))), None))


def change_model_settings(
    engine: sa.Engine, project_id: str, model_id: str, change: Callable[[ModelSettings], ModelSettings]
) -> ModelSettings:
    """Change the settings of a model in one transaction, so that two tabs keep each other's edits.

    Args:
        engine: The database.
        project_id: The project.
        model_id: Id of a run, a group or a simple head.
        change: Gets the settings as they are and returns them as they shall be.

    Raises:
        NotFoundError: If the project was deleted meanwhile.
    """
    with writing(engine) as connection:
        project_version(connection, project_id)  # raises when it is gone
        row = connection.execute(_query(project_id, model_id)).first()
        settings = change(_settings(row))
        values = {"temperature": settings.temperature, "threshold": settings.threshold}
        of_model = (model_settings.c.project_id == project_id, model_settings.c.model_id == model_id)
        if row is None:
            connection.execute(sa.insert(model_settings).values(project_id=project_id, model_id=model_id, **values))
        else:
            connection.execute(sa.update(model_settings).where(*of_model).values(**values))
    return settings


def _settings(row: sa.Row[tuple[float, float]] | None) -> ModelSettings:
    """Return what a row holds; the defaults when there is none, or a damaged one, which the next choice replaces."""
    if row is not None:
        with suppress(UnreadableError):
            return read_fields(row._mapping, ModelSettings)
    return ModelSettings()


def _query(project_id: str, model_id: str) -> sa.Select[tuple[float, float]]:
    columns = sa.select(model_settings.c.temperature, model_settings.c.threshold)
    return columns.where(model_settings.c.project_id == project_id, model_settings.c.model_id == model_id)
