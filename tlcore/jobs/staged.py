"""What a person brought for a job, as sources that can be listed."""

from __future__ import annotations

from tlcore.home import DataRoot
from tlcore.intake.sources import ArchiveSource, FileSource, Source
from tlcore.storage.requests import ImportRequest, PredictionRequest


def staged_sources(request: ImportRequest | PredictionRequest, home: DataRoot, class_name: str | None) -> list[Source]:
    """Return the archives and files of a request.

    Args:
        request: What the job is asked for.
        home: The data root.
        class_name: The class of pictures that lie in no folder.
    """
    staging = home.imports_dir / (request.staging or "")
    sources: list[Source] = [ArchiveSource(staging / archive.path, archive.name) for archive in request.archives]
    if request.files:
        files = tuple((file.name, staging / file.path) for file in request.files)
        sources.append(FileSource(files, class_name))
    return sources
