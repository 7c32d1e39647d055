"""The files that a project has made of a model: which there are, and what stands behind them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from pages.components.results.trained_models import settings_of
from pages.components.state import Context
from tlcore.dataset import Dataset
from tlcore.export.source import ExportSource, find_source
from tlcore.home import DataRoot
from tlcore.storage.exports import Export, export_dir, read_exports
from tlcore.storage.model_settings import read_model_settings
from tlcore.storage.models import Model
from tlcore.storage.requests import ExportRequest, ExportResult, FormatName, FormatReport

DAMAGED = "Its file is damaged or was deleted since. Make it again."


@dataclass(frozen=True, slots=True)
class Offer:
    """Files of an export that can be taken away.

    Attributes:
        export: Where they lie.
        formats: The formats that no newer export of the model has.
        result: Its certificates; a file that is not whole any more has a problem.
    """

    export: Export
    formats: tuple[FormatName, ...]
    result: ExportResult


def exports_of(context: Context, model: Model) -> list[Export]:
    """Return the exports of a model, the newest first, whether their files still lie on the disk or not."""
    exports, _ = read_exports(context.engine, context.project.id)
    return [one for one in exports if one.result.model_id == model.id]


def offers_of(exports: Iterable[Export], home: DataRoot) -> list[Offer]:
    """Return for each format the newest file that is there, by their exports.

    Args:
        exports: Those of one model, the newest first.
        home: The data root.
    """
    offers: list[Offer] = []
    found: set[FormatName] = set()
    for export in exports:
        formats = tuple(name for name in made_files(export, home) if name not in found)
        if formats:
            offers.append(Offer(export, formats, whole_result(export, home)))
            found.update(formats)
    return offers


def only(result: ExportResult, formats: Collection[FormatName]) -> ExportResult:
    """Return the certificates of some formats."""
    return replace(result, reports=tuple(report for report in result.reports if report.format in formats))


def all_files(offers: Sequence[Offer]) -> ExportResult:
    """Return the certificates of all files that are there, with what else is said of the newest; at least one offer."""
    reports = (report for offer in offers for report in only(offer.result, offer.formats).reports)
    return replace(offers[0].result, reports=tuple(reports))


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


def count_deleted(dataset: Dataset, present: Dataset) -> int:
    """Return how many pictures of a data set people have deleted since; `present` as of `leaving_keys`."""
    return len({item.image for item in dataset.items} - leaving_keys(present))


def made_files(export: Export, home: DataRoot) -> list[FormatName]:
    """Return the formats whose files were made and are still there, and whole."""
    return [report.format for report in whole_result(export, home).reports if report.is_made]


def whole_result(export: Export, home: DataRoot) -> ExportResult:
    """Return what came of an export; a file that was cut or deleted since has a problem."""
    folder = export_dir(export.job_id, home)
    reports = tuple(
        replace(report, problem=DAMAGED) if report.is_made and not _is_whole(report, folder) else report
        for report in export.result.reports
    )
    return replace(export.result, reports=reports)


def _is_whole(report: FormatReport, folder: Path) -> bool:
    from tlcore.export.formats import FORMATS

    path = folder / FORMATS[report.format].file.rstrip("/")
    return path.exists() and bytes_of([path]) == report.size


def bytes_of(paths: Iterable[Path]) -> int:
    """Return how large files are, and all that is in folders; what is not there is empty."""
    inside = (one for path in paths for one in ([path] if path.is_file() else path.rglob("*")))
    return sum(one.stat().st_size for one in inside if one.is_file())


def bundle_bytes(export: Export, source: ExportSource, home: DataRoot) -> int:
    """Return how large the ZIP file of an export is, without what is put together while it is sent."""
    from tlcore.export.training_code import backbone_file

    folder = export_dir(export.job_id, home)
    models = sum(report.size for report in whole_result(export, home).reports if report.is_made)
    return models + bytes_of(folder / backbone_file(source, place) for place in range(len(source.parts)))


def as_exported(source: ExportSource, export: Export) -> ExportSource:
    """Return a model as its files answer: with the temperature of then, and the threshold of now."""
    return replace(source, settings=replace(export.result.settings, threshold=source.settings.threshold))
