"""The download route of a model's files: single ones, and all of them with what goes along as one ZIP file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import sqlalchemy as sa
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from pages.components.export.made import leaving_keys, made_files, source_of_export, whole_result
from pages.server.downloads import ARCHIVE_NAME, held_zip_blocks, zip_blocks
from pages.server.teacher import is_teachers_request
from tlcore.errors import NotFoundError, TransferLabError
from tlcore.export.entries import Entry
from tlcore.export.formats import FORMATS
from tlcore.export.training_script import PICTURES_FILE
from tlcore.home import DataRoot
from tlcore.settings.locks import check_lock, unlocked
from tlcore.storage.card_words import read_card_words
from tlcore.storage.database import open_database
from tlcore.storage.datasets import current_dataset
from tlcore.storage.exams import list_exams
from tlcore.storage.exports import Export, export_dir, read_exports
from tlcore.storage.jobs import get_job
from tlcore.storage.projects import Project, get_project
from tlcore.storage.requests import FormatName

_NOT_FOUND = "This file is not here. Open the Export page of your project and download it from there."

_NOT_NOW = "The files cannot be opened just now. Try again in a minute."


def export_url(job_id: str, file: str) -> str:
    """Return the address of a file of an export; `ARCHIVE_NAME` for all of them."""
    return f"/exports/{job_id}/{file}"


def file_name(name: FormatName) -> str:
    """Return the name under which a format is downloaded: a folder comes as a ZIP file."""
    file = FORMATS[name].file
    return f"{file.rstrip('/')}.zip" if file.endswith("/") else file


def export_route(owner_of: Callable[[Headers], str | None]) -> Route:
    """Return the route for `export_url`.

    Args:
        owner_of: Tells from a request's headers which browser asks.
    """

    # Not `async`: Starlette then runs it in a thread, where the database may wait.
    def download(request: Request) -> Response:
        home = DataRoot.configured()
        owner = owner_of(request.headers)
        if owner is None:
            return PlainTextResponse(_NOT_FOUND, status_code=404)
        engine = open_database(home)
        try:
            seen = _seen(engine, home, request.path_params["job_id"], owner, request.headers)
            return _answer(seen, request.path_params["file"])
        except (NotFoundError, FileNotFoundError):  # deleted while they were being opened
            return PlainTextResponse(_NOT_FOUND, status_code=404)
        except OSError:  # too many are open, or the disk does not answer
            return PlainTextResponse(_NOT_NOW, status_code=503)
        except TransferLabError as error:
            return PlainTextResponse(str(error), status_code=404)
        finally:
            engine.dispose()

    return Route(export_url("{job_id}", "{file}"), download)


@dataclass(frozen=True, slots=True)
class _Seen:
    """An export that somebody may download.

    Attributes:
        engine: The database.
        home: The data root.
        project: Whose it is.
        export: The files.
        is_guest: Whether the project is somebody else's, who lets this person look at it.
    """

    engine: sa.Engine
    home: DataRoot
    project: Project
    export: Export
    is_guest: bool


def _seen(engine: sa.Engine, home: DataRoot, job_id: str, owner: str, headers: Headers) -> _Seen:
    """Return an export that is that browser's or that it may look at; whoever else asks learns nothing.

    Raises:
        TransferLabError: If there is none.
    """
    by_teacher = is_teachers_request(owner, headers)
    try:
        project = get_project(engine, get_job(engine, job_id).project_id, owner, as_guest=True, of_anyone=by_teacher)
        check_lock(unlocked(engine) if by_teacher else engine, "download")
    except TransferLabError as error:
        raise NotFoundError(_NOT_FOUND) from error
    export = next((one for one in read_exports(engine, project.id)[0] if one.job_id == job_id), None)
    if export is None:
        raise NotFoundError(_NOT_FOUND)
    return _Seen(engine, home, project, export, is_guest=project.owner != owner and not by_teacher)


def _answer(seen: _Seen, file: str) -> Response:
    made = {file_name(name): name for name in made_files(seen.export, seen.home)}
    folder = export_dir(seen.export.job_id, seen.home)
    if file == ARCHIVE_NAME and made:
        return _zip_answer(held_zip_blocks(_bundle(seen, folder)), file)
    if file == PICTURES_FILE and not seen.is_guest:
        from tlcore.export.training_code import picture_entries

        source = source_of_export(seen.engine, seen.home, seen.project.id, seen.export)
        # What cannot be read is left out now, not in the middle of the ZIP file. They are too many to be held open.
        entries = list(picture_entries(source.dataset, seen.home, _present(seen)))
        return _zip_answer(zip_blocks(entries), file)
    if file not in made:
        raise NotFoundError(_NOT_FOUND)
    path = folder / FORMATS[made[file]].file.rstrip("/")
    if path.is_dir():
        inside = (Entry(one.relative_to(folder).as_posix(), one) for one in sorted(path.rglob("*")) if one.is_file())
        return _zip_answer(held_zip_blocks(inside), file)
    return FileResponse(path, media_type="application/octet-stream", filename=file)


def _zip_answer(blocks: Iterator[bytes], file: str) -> Response:
    disposition = {"Content-Disposition": f'attachment; filename="{file}"'}
    return StreamingResponse(blocks, media_type="application/zip", headers=disposition)


def _present(seen: _Seen) -> frozenset[str]:
    """Return the keys of the pictures that may leave: nobody takes away what was deleted since."""
    return leaving_keys(current_dataset(seen.engine, seen.project.id, seen.home)[1])


def _bundle(seen: _Seen, folder: Path) -> Iterator[Entry]:
    """Return all that leaves with the files; what cannot be made is said now, not in the middle of the ZIP file."""
    from tlcore.export.bundle import bundle_entries

    result, project_id = whole_result(seen.export, seen.home), seen.project.id
    source = source_of_export(seen.engine, seen.home, project_id, seen.export)
    words = read_card_words(seen.engine, project_id, result.model_id)
    exam_opened = any(exam.model_id == result.model_id for exam in list_exams(seen.engine, project_id))
    entries = bundle_entries(source, result, folder, words, seen.home, exam_opened=exam_opened, present=_present(seen))
    return chain([next(entries)], entries)
