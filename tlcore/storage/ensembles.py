"""Groups of finished runs that answer together: which runs, what each one counts, under which name."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from tlcore.documents import read_document, read_fields, write_document
from tlcore.home import DataRoot
from tlcore.storage.configs import Unreadable, read_all
from tlcore.storage.database import card_words, ensembles, model_settings, now, project_version, writing
from tlcore.storage.projects import clean_name
from tlcore.storage.reserve import with_reserve

Weighting = Literal["equal", "validation"]

MIN_MEMBERS = 2
# Each member adds its own time to every answer.
MAX_MEMBERS = 5


@dataclass(frozen=True, slots=True)
class EnsembleConfig:
    """Which runs answer together.

    Attributes:
        run_ids: Two to five different runs.
        weights: What the answer of each one counts, in the same order: not negative, 1 in all.
        weighting: Whether the weights are all `equal` or were fitted on the `validation` pictures.
    """

    run_ids: tuple[str, ...]
    weights: tuple[float, ...]
    weighting: Weighting = "equal"

    def __post_init__(self) -> None:
        if len(set(self.run_ids)) != len(self.run_ids) or not MIN_MEMBERS <= len(self.run_ids) <= MAX_MEMBERS:
            raise ValueError(
                f"`run_ids` must name {MIN_MEMBERS} to {MAX_MEMBERS} different runs. Received: run_ids={self.run_ids}"
            )
        if len(self.weights) != len(self.run_ids):
            raise ValueError(f"`weights` must have one value for each run. Received: weights={self.weights}")
        if min(self.weights) < 0 or not math.isclose(sum(self.weights), 1, abs_tol=1e-6):
            raise ValueError(f"`weights` must not be negative and add up to 1. Received: weights={self.weights}")


@dataclass(frozen=True, slots=True)
class Ensemble:
    """A group that was made.

    Attributes:
        id: Stands in the address in place of a run's id; it has a dot, which those have not.
        project_id: The project that it belongs to.
        name: What the person called it.
        version: The data set version that its runs use.
        config: Its runs and their weights.
        test_correct: Test pictures that the group answers right.
        test_total: Test pictures.
        created: Seconds since 1970.
        validation_correct: Validation pictures that the group answers right; `None` when a member kept no answers to
            them, and in groups of earlier versions.
        validation_total: Validation pictures; `None` as above.
    """

    id: str
    project_id: str
    name: str
    version: int
    config: EnsembleConfig
    test_correct: int
    test_total: int
    created: float
    validation_correct: int | None
    validation_total: int | None


def create_ensemble(
    engine: sa.Engine,
    project_id: str,
    name: str,
    version: int,
    config: EnsembleConfig,
    *,
    test_correct: int,
    test_total: int,
    validation_correct: int | None = None,
    validation_total: int | None = None,
) -> str:
    """Keep a group and return its id; the same runs and weights under the same name are one group.

    A double click or a second tab thus never makes two.

    Raises:
        NotFoundError: If the project was deleted meanwhile.
    """
    values = {"project_id": project_id, "name": clean_name(name, "My group"), "config": write_document(config)}
    with writing(engine) as connection:
        project_version(connection, project_id)  # raises when it is gone
        same = sa.select(ensembles.c.id).where(*(ensembles.c[column] == value for column, value in values.items()))
        existing = connection.execute(same).scalar()
        if existing is not None:
            return str(existing)
        ensemble_id = f"group.{secrets.token_urlsafe(12)}"
        connection.execute(
            sa.insert(ensembles).values(
                id=ensemble_id,
                version=version,
                test_correct=test_correct,
                test_total=test_total,
                validation_correct=validation_correct,
                validation_total=validation_total,
                created=now(),
                **values,
            )
        )
    return ensemble_id


def list_ensembles(engine: sa.Engine, project_id: str) -> list[Ensemble]:
    """Return the groups of a project, newest first."""
    return read_ensembles(engine, project_id)[0]


def read_ensembles(engine: sa.Engine, project_id: str) -> tuple[list[Ensemble], list[Unreadable]]:
    """Return the groups of a project, newest first, and those that this version cannot read."""
    query = sa.select(ensembles).where(ensembles.c.project_id == project_id)
    return read_all(engine, query.order_by(ensembles.c.created.desc(), ensembles.c.id), _ensemble, lambda row: row.name)


def _ensemble(row: sa.Row[tuple[object, ...]]) -> Ensemble:
    fields = dict(row._mapping)
    return read_fields({**fields, "config": read_document(fields["config"], EnsembleConfig)}, Ensemble)


def delete_ensemble(engine: sa.Engine, ensemble_id: str) -> None:
    """Remove a group; its runs stay."""
    with with_reserve(DataRoot.configured()), writing(engine) as connection:
        connection.execute(sa.delete(ensembles).where(ensembles.c.id == ensemble_id))
        for table in (model_settings, card_words):
            connection.execute(sa.delete(table).where(table.c.model_id == ensemble_id))
