"""The process of one import: `python -m tlcore.jobs.import_worker IMPORT ATTEMPT`."""

from __future__ import annotations

import sys

from tlcore.config import RunConfig
from tlcore.errors import ConflictError
from tlcore.intake.collection import ImportReport, collect
from tlcore.intake.sources import ArchiveSource, FileSource, SampleSource, Source
from tlcore.jobs.worker import WorkerContext, work
from tlcore.storage.database import writing
from tlcore.storage.datasets import commit_version, current_dataset
from tlcore.storage.images import ImageStore
from tlcore.storage.imports import (
    ImportRequest,
    ImportSummary,
    RefusedFile,
    get_import,
    imports_dir,
    remove_staging_dir,
    write_import_summary,
)
from tlcore.storage.jobs import JobState, get_job

PHASE = "Looking at the pictures"
TRIES = 3


def import_pictures(context: WorkerContext) -> tuple[JobState, str]:
    """Bring in what the job's row asks for, as the project's next data set version."""
    request, _ = get_import(context.engine, context.job_id)
    project_id = get_job(context.engine, context.job_id).project_id
    try:
        report = _collect_and_commit(context, request, project_id)
    finally:
        if request.staging is not None:
            remove_staging_dir(request.staging, context.home)
    refused = tuple(RefusedFile(refusal.name, refusal.reason) for refusal in report.refused)
    summary = ImportSummary(report.added, report.already_there, refused, report.notes)
    with writing(context.engine) as connection:
        write_import_summary(connection, context.job_id, context.attempt, summary)
    return "finished", ""


def _collect_and_commit(context: WorkerContext, request: ImportRequest, project_id: str) -> ImportReport:
    """Collect into the current version; when another tab changed it meanwhile, collect again into that."""
    images = ImageStore(context.home)
    for attempt in range(1, TRIES + 1):
        number, dataset = current_dataset(context.engine, project_id, context.home)
        report = collect(
            _sources(request, context),
            dataset,
            images,
            on_progress=lambda done, total: context.progress.phase(PHASE, done, total),
            seed=RunConfig().training.seed,
        )
        if report.dataset == dataset:
            return report
        try:
            commit_version(
                context.engine, project_id, report.dataset, _note(request, report), parent=number, home=context.home
            )
        except ConflictError:
            if attempt == TRIES:
                raise
        else:
            return report
    raise AssertionError("unreachable")


def _sources(request: ImportRequest, context: WorkerContext) -> list[Source]:
    if request.sample is not None:
        return [SampleSource(request.sample)]
    staging = imports_dir(context.home) / (request.staging or "")
    sources: list[Source] = [
        ArchiveSource(staging / archive.path, archive.name, request.class_name) for archive in request.archives
    ]
    if request.files:
        files = tuple((file.name, staging / file.path) for file in request.files)
        sources.append(FileSource(files, request.class_name))
    return sources


def _note(request: ImportRequest, report: ImportReport) -> str:
    """Say what this version added, for the undo button."""
    if request.sample is not None:
        return f"added the data set {request.sample}"
    return f"added {report.added:,} {'picture' if report.added == 1 else 'pictures'}"


if __name__ == "__main__":
    sys.exit(work(import_pictures))
