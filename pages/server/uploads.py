"""The upload routes: files of a person come in pieces and go straight to disk, below the project of that browser."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pages.server.project_files import project_name
from pages.server.teacher import is_teachers_request
from tlcore.errors import ArchiveError, NotFoundError, StorageError, TransferLabError
from tlcore.home import DataRoot
from tlcore.jobs.control import start_job
from tlcore.settings.locks import check_lock, unlocked
from tlcore.storage.database import open_database
from tlcore.storage.deletion import delete_project
from tlcore.storage.model_settings import read_model_settings
from tlcore.storage.projects import create_project, get_project
from tlcore.storage.requests import ImportRequest, PredictionRequest
from tlcore.storage.room import check_coming
from tlcore.storage.staging import job_waiting_with, remove_abandoned, remove_staging_dir
from tlcore.storage.uploads import Announced, PieceWriter, begin_upload, finish_upload, give_up_upload

KEY_HEADER = "X-Lab-Key"
"""Carries the key. A page of another site may send no header of its own without asking first, and nobody answers."""

MAX_LISTING_BYTES = 64 << 20
"""Fifty thousand files with long names, and the beginnings of a few hundred."""

BLOCK_BYTES = 1 << 20
"""What is held in memory of a piece; each block is written by a thread, so that pages do not wait for the disk."""

NEW_PROJECT = "new"
"""In the place of a project, where the files that come are the file of one."""

OPENS: Mapping[str, str] = {"opens": "project"}
"""What is asked for then."""

_SECRET = secrets.token_bytes(32)
"""Keys are good until the server starts anew: whoever sends then begins again."""


def upload_address(project_id: str, folder: str = "") -> str:
    """Return where the files of a project are announced, or sent once they have a folder."""
    return f"/upload/{project_id}/{folder}".rstrip("/")


def upload_key(owner: str, project_id: str, folder: str = "") -> str:
    """Return what lets a browser announce files of its project, or send them into a folder that it was given."""
    return hmac.new(_SECRET, "\n".join((owner, project_id, folder)).encode(), "sha256").hexdigest()


def is_upload_key(key: str, owner: str, project_id: str, folder: str = "") -> bool:
    """Whether a key is the one for this."""
    return hmac.compare_digest(key.encode(), upload_key(owner, project_id, folder).encode())


def upload_routes(owner_of: Callable[[Headers], str | None]) -> Sequence[Route]:
    """Return the routes for `upload_address`: POST announces, then PUT sends a piece, DELETE gives up, POST ends.

    The end of an upload puts its job in line, whatever the page shows by then: an import, or, when it names a model,
    a prediction by that.

    Args:
        owner_of: Tells from a request's headers which browser asks.
    """

    def refusal(request: Request) -> Response | None:
        owner, key = owner_of(request.headers), request.headers.get(KEY_HEADER, "")
        place = request.path_params["project_id"], request.path_params.get("folder", "")
        if owner is None or not is_upload_key(key, owner, *place) or not _is_same_site(request.headers):
            return _message(403, "This page is from before the last start of Transfer Lab. Reload it and try again.")
        return None

    async def begin(request: Request) -> Response:
        if refused := refusal(request):
            return refused
        listing = bytearray()
        async for chunk in request.stream():
            listing += chunk
            if len(listing) > MAX_LISTING_BYTES:
                return _message(413, "The names of these files are too long together. Bring them in several parts.")
        owner = owner_of(request.headers) or ""
        return await run_in_threadpool(_begin, bytes(listing), owner, **request.path_params)

    async def receive(request: Request) -> Response:
        if refused := refusal(request):
            return refused
        try:
            await _write_piece(request)
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads; the piece comes again, or never
        except ValueError as error:
            return _message(400, f"{error} Reload the page and bring the files again.")
        except NotFoundError as error:
            return _message(404, str(error))
        except StorageError as error:
            return _message(507, str(error))
        return Response(status_code=204)

    # Not `async`, here and below: Starlette then runs it in a thread.
    def finish(request: Request) -> Response:
        if refused := refusal(request):
            return refused
        owner = owner_of(request.headers) or ""
        by_teacher = is_teachers_request(owner, request.headers)
        return _finish(owner, dict(request.query_params), **request.path_params, by_teacher=by_teacher)

    def give_up(request: Request) -> Response:
        if refused := refusal(request):
            return refused
        give_up_upload(request.path_params["folder"], DataRoot.configured())
        return Response(status_code=204)

    place = upload_address("{project_id}", "{folder}")
    return (
        Route(upload_address("{project_id}"), begin, methods=["POST"]),
        Route(place, receive, methods=["PUT"]),
        Route(place, finish, methods=["POST"]),
        Route(place, give_up, methods=["DELETE"]),
    )


def _begin(listing: bytes, owner: str, project_id: str) -> Response:
    home = DataRoot.configured()
    try:
        listed = msgspec.json.decode(listing, type=list[tuple[str, int, str]])
        files = [Announced(name, size, base64.b64decode(head, validate=True)) for name, size, head in listed]
        if not files or any(file.num_bytes < 0 for file in files):
            raise ValueError("no files")
    except (ValueError, msgspec.MsgspecError, binascii.Error):
        return _message(400, "The list of files could not be read. Reload the page and try again.")
    engine = open_database(home)
    try:
        remove_abandoned(engine, home)
        folder, expected = begin_upload(files, home, owner, lambda coming: check_coming(engine, owner, coming, home))
    except TransferLabError as error:
        return _message(507 if isinstance(error, StorageError) else 413, str(error))
    finally:
        engine.dispose()
    refused = [(number, file.refusal) for number, file in enumerate(expected) if file.refusal is not None]
    return JSONResponse({"folder": folder, "key": upload_key(owner, project_id, folder), "refused": refused})


def _finish(owner: str, asked: Mapping[str, str], project_id: str, folder: str, *, by_teacher: bool) -> Response:
    home = DataRoot.configured()
    engine = open_database(home)
    try:
        if by_teacher:
            engine = unlocked(engine)
        if project_id != NEW_PROJECT:
            get_project(engine, project_id, owner)
        begun = job_waiting_with(engine, folder)
        if begun is not None:  # the answer to the first time was lost on its way
            return JSONResponse({"job": begun})
        brought = finish_upload(folder, home, asked.get("class_name"))
        if brought is None:
            job_id = None  # the first time is not done yet
        elif project_id == NEW_PROJECT:
            job_id = _open_project(engine, home, owner, brought)
        else:
            job_id = _start(engine, home, project_id, brought, asked)
    except TransferLabError as error:
        remove_staging_dir(folder, home)
        return _message(507 if isinstance(error, StorageError) else 404, str(error))
    except ValueError:
        remove_staging_dir(folder, home)
        return _message(400, "What shall be done with these files could not be read. Reload the page and try again.")
    except BaseException:
        remove_staging_dir(folder, home)
        raise
    finally:
        engine.dispose()
    return JSONResponse({"job": job_id})


def _open_project(engine: sa.Engine, home: DataRoot, owner: str, brought: ImportRequest) -> str:
    """Make the project of a file that came, and put in line that it is filled; return the id of that job.

    Here it is only looked whether it can be such a file: the job reads it, in a process that serves nobody.
    """
    from tlcore.travel.arriving import NO_PROJECT, check_looks_like_one  # with all that a project is made of

    check_lock(engine, "pictures")
    if brought.refused or brought.files or len(brought.archives) != 1:
        raise ArchiveError(brought.refused[0].reason if brought.refused else NO_PROJECT)
    [file] = brought.archives
    check_looks_like_one(home.imports_dir / (brought.staging or "") / file.path)
    # The file says how it is called; until it is read, its own name does.
    project = create_project(engine, owner, project_name(file.name))
    try:
        return start_job(engine, home, "import", project.id, replace(brought, is_project=True))
    except BaseException:
        delete_project(engine, project.id, home)
        raise


def _start(engine: sa.Engine, home: DataRoot, project_id: str, brought: ImportRequest, asked: Mapping[str, str]) -> str:
    """Put in line what is done with the files that came, and return its id."""
    model_id = asked.get("model")
    if model_id is None:
        return start_job(engine, home, "import", project_id, brought)
    request = PredictionRequest(
        model_id,
        staging=brought.staging,
        archives=brought.archives,
        files=brought.files,
        refused=brought.refused,
        settings=read_model_settings(engine, project_id, model_id),
    )
    return start_job(engine, home, "prediction", project_id, request)


async def _write_piece(request: Request) -> None:
    block = bytearray()
    with PieceWriter(request.path_params["folder"], DataRoot.configured()) as piece:
        async for chunk in request.stream():
            block += chunk
            if len(block) >= BLOCK_BYTES:
                await run_in_threadpool(piece.write, bytes(block))
                block.clear()
        await run_in_threadpool(piece.write, bytes(block))
        piece.finish()


def _is_same_site(headers: Headers) -> bool:
    """Whether a request comes from a page of ours, as far as the browser says."""
    origin = headers.get("origin")
    ours = (headers.get("host"), headers.get("x-forwarded-host"))  # a proxy in front may change the first
    return origin is None or urlsplit(origin).netloc in ours


def _message(status: int, text: str) -> Response:
    return JSONResponse({"message": text}, status_code=status)
