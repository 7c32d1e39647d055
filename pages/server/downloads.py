"""The download routes: what a run or a prediction left, streamed from disk to its owner and guests."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from pages.components.results.prediction_table import Columns, answers_csv
from pages.server.teacher import is_teachers_request
from tlcore.errors import TransferLabError, UnreadableError
from tlcore.export.entries import Entry
from tlcore.home import DataRoot
from tlcore.results.model_file import is_whole_model
from tlcore.results.prediction_code import LABELS_FILE, MODEL_FILE, PIXELS_FILE, README_FILE
from tlcore.settings.locks import check_lock, unlocked
from tlcore.storage.answers import AnswerFilter, all_answers, count_answers
from tlcore.storage.database import open_database
from tlcore.storage.jobs import get_job
from tlcore.storage.predictions import Prediction, answers_path, read_predictions
from tlcore.storage.projects import get_project
from tlcore.storage.runs import get_run
from tlcore.travel.packing import Outbox

RUN_FILES = {
    MODEL_FILE: "application/octet-stream",
    **dict.fromkeys((LABELS_FILE, PIXELS_FILE, README_FILE), "text/plain; charset=utf-8"),
}
"""What may leave a run's folder, with its type; everything else in there stays inside."""

ARCHIVE_NAME = "model.zip"
"""All of `RUN_FILES` in one file, made while it is sent."""

BLOCK_BYTES = 1 << 20
LINES_AT_ONCE = 200
"""Of a table; each block is made by a thread of its own."""


def download_url(run_id: str, file: str) -> str:
    """Return the address of a run's file."""
    return f"/download/{run_id}/{file}"


def download_route(owner_of: Callable[[Headers], str | None]) -> Route:
    """Return the route for `download_url`.

    Args:
        owner_of: Tells from a request's headers which browser asks.
    """

    # Not `async`: Starlette then runs it in a thread, where the database may wait.
    def download(request: Request) -> Response:
        owner = owner_of(request.headers)
        folder = None if owner is None else _seen_run_dir(request.path_params["run_id"], owner, request.headers)
        return _not_found() if folder is None else _file_answer(folder, request.path_params["file"])

    return Route(download_url("{run_id}", "{file}"), download)


def answers_url(job_id: str) -> str:
    """Return the address of the answers to many pictures, as a CSV table."""
    return f"/answers/{job_id}/answers.csv"


def answers_route(owner_of: Callable[[Headers], str | None]) -> Route:
    """Return the route for `answers_url`; argument as of `download_route`."""

    def download(request: Request) -> Response:
        owner = owner_of(request.headers)
        found = None if owner is None else _seen_prediction(request.path_params["job_id"], owner)
        if found is None:
            return _not_found()
        path = answers_path(found.job_id, DataRoot.configured())
        summary = found.summary
        columns = Columns(
            summary.class_names, summary.settings.threshold, summary.strange is not None, bool(summary.known)
        )
        lines = answers_csv(columns, all_answers(path))
        try:
            count_answers(path, AnswerFilter())  # a damaged file is said now, not in the middle of the table
        except UnreadableError as error:
            return PlainTextResponse(str(error), status_code=404)
        blocks = ("".join(block) for block in iter(lambda: list(islice(lines, LINES_AT_ONCE)), []))
        disposition = {"Content-Disposition": 'attachment; filename="answers.csv"'}
        return StreamingResponse(blocks, media_type="text/csv; charset=utf-8", headers=disposition)

    return Route(answers_url("{job_id}"), download)


def _seen_prediction(job_id: str, owner: str) -> Prediction | None:
    """Return answers that belong to that browser; whoever else asks learns nothing, and be it a guest of the project.

    They hold names and small pictures of files that are in no data set.
    """
    engine = open_database(DataRoot.configured())
    try:
        project = get_project(engine, get_job(engine, job_id).project_id, owner)
        return next((one for one in read_predictions(engine, project.id)[0] if one.job_id == job_id), None)
    except TransferLabError:
        return None
    finally:
        engine.dispose()


def _file_answer(folder: Path, file: str) -> Response:
    if file in (ARCHIVE_NAME, MODEL_FILE) and not is_whole_model(folder / MODEL_FILE):
        return _not_found()
    if file == ARCHIVE_NAME:
        entries = [Entry(name, folder / name) for name in RUN_FILES if (folder / name).is_file()]
        disposition = {"Content-Disposition": f'attachment; filename="{ARCHIVE_NAME}"'}
        return StreamingResponse(zip_blocks(entries), media_type="application/zip", headers=disposition)
    if file in RUN_FILES and (folder / file).is_file():
        return FileResponse(folder / file, media_type=RUN_FILES[file], filename=file)
    return _not_found()


def _seen_run_dir(run_id: str, owner: str, headers: Headers) -> Path | None:
    """Return the folder of a run that is that browser's or that it may look at; whoever else asks learns nothing."""
    home = DataRoot.configured()
    engine = open_database(home)
    try:
        run = get_run(engine, run_id)
        by_teacher = is_teachers_request(owner, headers)
        get_project(engine, run.job.project_id, owner, as_guest=True, of_anyone=by_teacher)
        check_lock(unlocked(engine) if by_teacher else engine, "download")
    except TransferLabError:
        return None
    finally:
        engine.dispose()
    return home.run_dir(run.id)


def _not_found() -> Response:
    return PlainTextResponse(
        "This file is not here. Open the Export page of your project and download it from there.", status_code=404
    )


def zip_blocks(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield a ZIP file of some files, block by block, so that a big model never lies in memory.

    Nothing is compressed: weights do not get smaller. Files of more than 4 GB, and more of them, become ZIP64.
    """
    return _blocks((_facts(entry), _opened(entry)) for entry in entries)


def held_zip_blocks(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Return the blocks of a ZIP file, as `zip_blocks` does, of files that may be deleted while they are sent.

    All of them are opened at once, the small ones read: they must be few.

    Raises:
        OSError: If one of them cannot be opened.
    """
    with ExitStack() as opened:
        files = []
        for entry in entries:
            facts = _facts(entry)
            if isinstance(entry.content, Path) and facts.file_size <= BLOCK_BYTES:
                files.append((facts, _opened(replace(entry, content=entry.content.read_bytes()))))
            else:
                files.append((facts, opened.enter_context(_opened(entry))))
        opened.pop_all()  # nothing was wrong: whoever writes them closes them
    return _blocks(files)


def _blocks(files: Iterable[tuple[zipfile.ZipInfo, BinaryIO]]) -> Iterator[bytes]:
    outbox = Outbox()
    with zipfile.ZipFile(outbox, "w") as archive:
        for facts, source in files:
            with source, archive.open(facts, "w") as target:
                while block := source.read(BLOCK_BYTES):
                    target.write(block)
                    yield outbox.take()
    yield outbox.take()


def _opened(entry: Entry) -> BinaryIO:
    return io.BytesIO(entry.content) if isinstance(entry.content, bytes) else entry.content.open("rb")


def _facts(entry: Entry) -> zipfile.ZipInfo:
    """Return what a ZIP file says of a file: its time, and its size, which tells whether it needs ZIP64."""
    if isinstance(entry.content, Path):
        return zipfile.ZipInfo.from_file(entry.content, entry.name, strict_timestamps=False)
    facts = zipfile.ZipInfo(entry.name, time.localtime()[:6])
    facts.file_size = len(entry.content)
    facts.external_attr = 0o644 << 16  # who may read it where it is unpacked
    return facts
