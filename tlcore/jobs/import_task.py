"""What the worker of an import does."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from tlcore.config import RunConfig
from tlcore.dataset import Dataset
from tlcore.errors import ConflictError
from tlcore.home import DataRoot
from tlcore.intake.brought import Brought
from tlcore.intake.collection import ImportReport, gather
from tlcore.intake.near_copies import find_scenes
from tlcore.intake.pictures import decoders
from tlcore.intake.sources import ReadySource, Source
from tlcore.jobs.staged import staged_sources
from tlcore.jobs.worker import WorkerContext
from tlcore.ready_sets.files import fetch_files
from tlcore.ready_sets.pictures import choose
from tlcore.ready_sets.previews import keep_previews
from tlcore.ready_sets.registry import get_ready_set, open_ready_set
from tlcore.settings.words import count
from tlcore.storage.brought import save_brought
from tlcore.storage.datasets import commit_version, current_dataset
from tlcore.storage.deletion import remove_unused_pictures
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import read_result
from tlcore.storage.requests import ImportRequest, ImportSummary
from tlcore.storage.room import BoundedStore, Room
from tlcore.storage.staging import remove_staging_dir
from tlcore.travel.arriving import arrival, open_arrival

TRIES = 100
"""Putting pictures into a changed data set takes milliseconds, so a person cannot keep this busy."""


class _NotingStore(BoundedStore):
    """A store of pictures that knows what was added through it."""

    def __init__(self, home: DataRoot, room: Room) -> None:
        super().__init__(home, room)
        self.added: set[str] = set()

    def add(self, data: bytes, thumbnail: bytes) -> str:
        """Store a picture and note its key."""
        key = super().add(data, thumbnail)
        self.added.add(key)
        return key


def import_pictures(context: WorkerContext) -> None:
    """Bring in what the job's row asks for, as the project's next data set version."""
    request = context.request(ImportRequest)
    if read_result(context.engine, context.job_id, ImportSummary) is not None:
        remove_staging_dir(request.staging, context.home)
        return  # an earlier worker died after its work and before it could say so
    if request.is_project:
        _open_project(context, request)
        return
    decoders.warm()  # while the archive is opened and its list is read
    images = _NotingStore(context.home, Room(context.engine, context.project_id, context.home))
    try:
        with ExitStack() as stack:
            report = _commit(context, _sources(context, request, stack), _note(request), images)
        # Before what was brought is gone: whoever begins again needs one or the other.
        context.answer(_summary(request, report))
    except BaseException:
        if images.added:  # nothing comes in, so nothing stays: a full disk would stay full
            remove_unused_pictures(context.engine, images.added, context.home, import_id=context.job_id)
        raise
    finally:
        remove_staging_dir(request.staging, context.home)


def _open_project(context: WorkerContext, request: ImportRequest) -> None:
    """Make the empty project the one of the file that came."""
    [file] = request.archives
    try:
        with arrival(context.home.imports_dir / (request.staging or "") / file.path, context.progress) as found:
            open_arrival(
                found,
                context.engine,
                context.project_id,
                context.home,
                context.progress,
                job_id=context.job_id,
                attempt=context.attempt,
            )
    finally:
        remove_staging_dir(request.staging, context.home)


def _summary(request: ImportRequest, report: ImportReport) -> ImportSummary:
    """Return what the page says about an import."""
    summary = ImportSummary(report.added, report.already_there, (*request.refused, *report.refused), report.notes)
    if request.sample is None:
        summary = replace(summary, reading=report.reading.title, folders=report.reading.folders)
    return summary


def _commit(context: WorkerContext, sources: list[Source], note: str | None, images: ImageStore) -> ImportReport:
    """Gather the pictures and put them into the current version, whatever another tab has made of it meanwhile."""
    project_id = context.project_id
    _, dataset = current_dataset(context.engine, project_id, context.home)
    gathered = gather(
        sources, dataset, images, on_progress=lambda done, total: context.progress.phase("looking", done, total)
    )
    if len(gathered.brought.readings.found) > 1:
        save_brought(context.engine, context.job_id, gathered.brought)
    # Single digits on black are alike and no near-copies; ready sets are split by those who made them.
    is_ready_set = any(isinstance(source, ReadySource) for source in sources)
    scenes = None if is_ready_set else _scenes(context, dataset, gathered.brought, images)
    for attempt in range(1, TRIES + 1):
        number, dataset = current_dataset(context.engine, project_id, context.home)
        report = gathered.into(dataset, import_id=context.job_id, scenes=scenes, seed=RunConfig().training.seed)
        if report.dataset == dataset:
            return report
        aside = len(report.dataset.unlabelled) - len(dataset.unlabelled)
        added = (
            f"added {count(report.added, 'picture')}"
            if report.added or not aside
            else f"put {count(aside, 'picture')} aside"
        )
        try:
            commit_version(context.engine, project_id, report.dataset, note or added, parent=number, home=context.home)
        except ConflictError:
            if attempt == TRIES:
                raise
        else:
            return report
    raise AssertionError("unreachable")


def _scenes(context: WorkerContext, dataset: Dataset, brought: Brought, images: ImageStore) -> dict[str, str]:
    """Return the scene of each picture, old or new, that has near-copies."""
    keys = dict.fromkeys([*(item.image for item in dataset.items), *(picture.image for picture in brought.pictures)])
    return find_scenes(
        list(keys), images.thumbnail, lambda done, total: context.progress.phase("comparing", done, total)
    )


def _sources(context: WorkerContext, request: ImportRequest, stack: ExitStack) -> list[Source]:
    if request.sample is not None:
        return [_ready_source(context, request, stack)]
    return staged_sources(request, context.home, request.class_name)


def _ready_source(context: WorkerContext, request: ImportRequest, stack: ExitStack) -> ReadySource:
    """Download what is missing of a ready data set, and open it."""
    spec = get_ready_set(request.sample or "")
    paths = fetch_files(spec.files, spec.title, context.progress)
    context.progress.phase("opening", subject=spec.title)
    pictures = open_ready_set(spec, paths, stack)
    keep_previews(spec, pictures, context.home)
    return ReadySource(choose(pictures, request.per_class, request.classes))


def _note(request: ImportRequest) -> str | None:
    """Say what a version added that came from a ready data set, for the undo button."""
    if request.sample is None:
        return None
    title = get_ready_set(request.sample).title
    return f"added {', '.join(request.classes)} of {title}" if request.classes else f"added the data set {title}"
