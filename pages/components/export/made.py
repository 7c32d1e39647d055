"""The files that a project has made of a model: which there are, and what stands behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from pages.components.results.trained_models import settings_of
from pages.components.state import Context
from tlcore.dataset import Dataset
from tlcore.export.source import ExportSource, find_source
from tlcore.home import DataRoot
from tlcore.storage.exports import Export, export_dir, read_exports
from tlcore.storage.model_settings import read_model_settings
from tlcore.storage.models import Model
from tlcore.storage.requests import ExportRequest, FormatName


def newest_export(context: Context, model: Model) -> Export | None:
    """Return the newest files of a model, whether they still lie on the disk or not."""
    exports, _ = read_exports(context.engine, context.project.id)
    return next((one for one in exports if one.result.model_id == model.id), None)


def request_for(context: Context, model: Model, formats: Sequence[FormatName]) -> ExportRequest:
    """Return what to ask for, to make a model's files in some formats."""
    return ExportRequest(model.id, tuple(formats), settings_of(context, model))


def is_stale(export: Export, context: Context, model: Model) -> bool:
    """Whether a model was calibrated otherwise since its files were made; a threshold lies beside them."""
    return export.result.settings.temperature != settings_of(context, model).temperature


def source_of_export(engine: sa.Engine, home: DataRoot, project_id: str, export: Export) -> ExportSource:
    """Return the model of an export: as it was written, with the threshold that holds now.

    Raises:
        TransferLabError: If it is not there any more, or cannot be read.
    """
    model_id = export.result.model_id
    threshold = read_model_settings(engine, project_id, model_id).threshold
    return find_source(engine, home, project_id, model_id, replace(export.result.settings, threshold=threshold))


def leaving_keys(present: Dataset) -> frozenset[str]:
    """Return the keys of the pictures that may leave with a model, themselves or by their names.

    Args:
        present: The data set of the project as it is now, without what was deleted since the model learned.
    """
    return frozenset(item.image for item in present.items) | {one.image for one in present.unlabelled}


def made_files(export: Export, home: DataRoot) -> list[FormatName]:
    """Return the formats whose files were made and are still there."""
    from tlcore.export.formats import FORMATS

    folder = export_dir(export.job_id, home)
    made = (report.format for report in export.result.reports if report.is_made)
    return [name for name in made if (folder / FORMATS[name].file.rstrip("/")).exists()]
