"""What is exported: a run, a simple head or a group, with the pictures that it learned from and is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from tlcore.config import ModelConfig, ResizeMode, RunConfig
from tlcore.dataset import Dataset
from tlcore.documents import read_document
from tlcore.errors import RunError
from tlcore.home import DataRoot
from tlcore.results.prediction import SPEC_FILE, PredictorSpec
from tlcore.simple_heads.training import find_simple_head_spec
from tlcore.storage.datasets import get_version, load_dataset
from tlcore.storage.ensembles import Ensemble
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.models import find_model
from tlcore.storage.runs import Run, get_run
from tlcore.storage.simple_heads import TrainedSimpleHead, frozen_backbone, simple_head_dir


@dataclass(frozen=True, slots=True)
class Part:
    """One trained model: the only one, or a member of a group.

    Attributes:
        folder: Holds its files.
        kind: Whether it is a network, whose `model.keras` lies in the folder, or a simple head behind a backbone.
        spec: Its classes, its frozen part, and how a picture becomes square.
        model: What was chosen; of a simple head its backbone, all of it frozen and averaged.
        weight: What its answer counts, above 0; those of all parts add up to 1.
        config: Everything that its training needed besides the pictures; `None` of a simple head.
    """

    folder: Path
    kind: Literal["network", "simple_head"]
    spec: PredictorSpec
    model: ModelConfig
    weight: float = 1.0
    config: RunConfig | None = None


@dataclass(frozen=True, slots=True)
class ExportSource:
    """A model that shall leave.

    Attributes:
        title: What people call it.
        parts: Its parts, at least one.
        dataset: The version of the data set that it learned from.
        settings: Its temperature and threshold.
        model_id: Its id in its project; empty outside of projects.
    """

    title: str
    parts: tuple[Part, ...]
    dataset: Dataset
    settings: ModelSettings
    model_id: str = ""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of the probabilities."""
        return self.parts[0].spec.class_names

    @property
    def square(self) -> tuple[int, ResizeMode] | None:
        """Side and way of the square picture that all parts see; `None` where they see different ones."""
        squares = {(part.spec.prefix.image_size, part.spec.resize_mode) for part in self.parts}
        return squares.pop() if len(squares) == 1 else None


def find_source(
    engine: sa.Engine, home: DataRoot, project_id: str, model_id: str, settings: ModelSettings
) -> ExportSource:
    """Return a model of a project, ready to leave.

    Raises:
        NotFoundError: If the project has no such model.
        RunError: If its files are missing or damaged.
        TransferLabError: If its data set cannot be read.
    """
    model = find_model(engine, project_id, model_id)
    dataset = load_dataset(get_version(engine, project_id, model.version).content, home)
    if isinstance(model, Ensemble):
        pairs = zip(model.config.run_ids, model.config.weights, strict=True)
        runs = [(get_run(engine, run_id), weight) for run_id, weight in pairs if weight > 0]
        parts = tuple(_of_run(run, home, weight) for run, weight in runs)
        return ExportSource(f"Group \u201c{model.name}\u201d", parts, dataset, settings, model.id)
    if isinstance(model, TrainedSimpleHead):
        folder = simple_head_dir(model.job_id, model.result.kind, home)
        part = Part(folder, "simple_head", _spec(folder), frozen_backbone(model.model))
        title = find_simple_head_spec(model.result.kind).title
        return ExportSource(title, (part,), dataset, settings, model.id)
    return ExportSource(f"Run {model.number}", (_of_run(model, home),), dataset, settings, model.id)


def _of_run(run: Run, home: DataRoot, weight: float = 1.0) -> Part:
    folder = home.run_dir(run.id)
    return part_of_run(folder, run.config, weight)


def part_of_run(folder: Path, config: RunConfig, weight: float = 1.0) -> Part:
    """Return the part that a run's folder holds.

    Raises:
        RunError: If its files are missing or damaged.
    """
    return Part(folder, "network", _spec(folder), config.phases[-1].model, weight, config)


def _spec(folder: Path) -> PredictorSpec:
    try:
        return read_document((folder / SPEC_FILE).read_bytes(), PredictorSpec)
    except (OSError, ValueError) as error:
        raise RunError("The files of this model are missing or damaged. Train again to make new ones.") from error
