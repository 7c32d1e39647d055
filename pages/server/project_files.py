"""The route by which a whole project leaves as one file, made while it is sent, to its owner alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from pages.server.teacher import is_teachers_request
from tlcore.errors import LockedError, NotFoundError, StorageError, TransferLabError
from tlcore.home import DataRoot
from tlcore.settings.locks import check_lock, unlocked
from tlcore.storage.database import open_database
from tlcore.storage.projects import get_project

ENDING = ".transferlab.zip"


def project_file_url(project_id: str) -> str:
    """Return the address of the file of a project."""
    return f"/project-file/{project_id}"


def project_file_route(owner_of: Callable[[Headers], str | None]) -> Route:
    """Return the route for `project_file_url`.

    Args:
        owner_of: Tells from a request's headers which browser asks.
    """

    # Not `async`: Starlette then runs it in a thread, where the database may wait.
    def download(request: Request) -> Response:
        owner = owner_of(request.headers)
        gone = "This project is not here. Open it in the browser that made it, and take it from there with Share."
        if owner is None:
            return PlainTextResponse(gone, status_code=404)
        try:
            found = _leaving(request.path_params["project_id"], owner, request.headers)
        except NotFoundError:
            return PlainTextResponse(gone, status_code=404)
        except LockedError as error:
            return PlainTextResponse(str(error), status_code=403)
        except StorageError as error:
            return PlainTextResponse(str(error), status_code=507)
        except TransferLabError as error:
            return PlainTextResponse(str(error), status_code=500)
        blocks, name = found
        disposition = f"attachment; filename*=UTF-8''{quote(name)}"
        return StreamingResponse(blocks, media_type="application/zip", headers={"Content-Disposition": disposition})

    return Route(project_file_url("{project_id}"), download)


def _leaving(project_id: str, owner: str, headers: Headers) -> tuple[Iterator[bytes], str]:
    """Return the file of a project and its name.

    A guest may look at a project and take a copy of it where the link allows one, but not carry all of it away.

    Raises:
        NotFoundError: For whoever is no owner.
        LockedError: If the teacher has locked taking things along.
        StorageError: If something of it cannot be read, or it is too large.
        UnreadableError: If this version cannot read it.
    """
    from tlcore.travel.leaving import departure  # with all that a project is made of

    home = DataRoot.configured()
    engine = open_database(home)
    try:
        project = get_project(engine, project_id, owner)
        check_lock(unlocked(engine) if is_teachers_request(owner, headers) else engine, "download")
        found = departure(engine, project_id, home)
        found.check_opens()
    finally:
        engine.dispose()
    return found.blocks(), file_name(project.name)


def file_name(name: str) -> str:
    """Return the name of the file of a project, made of what every system takes."""
    kept = "".join(letter if letter.isalnum() or letter in "-_ ()" else "_" for letter in name).strip()
    return f"{kept or 'project'}{ENDING}"


def project_name(file: str) -> str:
    """Return what to call a project whose file has this name, until it is read."""
    name = file.rpartition("/")[2]
    return name[: -len(ENDING)] if name.lower().endswith(ENDING) else name.partition(".")[0]
