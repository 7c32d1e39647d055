"""The route of thumbnails: small pictures of a data set, one by one, for its owner and guests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache

import sqlalchemy as sa
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pages.server.teacher import is_teachers_request
from tlcore.errors import TransferLabError
from tlcore.home import DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.datasets import get_version, load_dataset
from tlcore.storage.images import ImageStore
from tlcore.storage.projects import get_project

ONE_YEAR_SECONDS = 365 * 24 * 3600
_OF_BROWSER = {"Vary": "Cookie"}
"""What a browser keeps is for who it was then: it may become somebody else."""


def thumbnail_address(project_id: str, version: int | str, number: int | str = "{}") -> str:
    """Return the address of a thumbnail.

    Args:
        project_id: The project.
        version: The data set version, which never changes; so browsers may keep what they got.
        number: The place of the picture among `Dataset.items`, from 0; left open when not given.
    """
    return f"/thumbnail/{project_id}/{version}/{number}"


def thumbnail_route(owner_of: Callable[[Headers], str | None]) -> Route:
    """Return the route for `thumbnail_address`.

    Args:
        owner_of: Tells from a request's headers which browser asks.
    """

    # Not `async`: Starlette then runs it in a thread, where the database may wait.
    def thumbnail(request: Request) -> Response:
        owner = owner_of(request.headers)
        found = None if owner is None else _seen_thumbnail(owner, request.headers, **request.path_params)
        if found is None:
            no_store = {"Cache-Control": "no-store", **_OF_BROWSER}
            return PlainTextResponse("This picture is not here.", status_code=404, headers=no_store)
        picture, is_own = found
        if is_own:
            keep = {"Cache-Control": f"private, max-age={ONE_YEAR_SECONDS}, immutable", **_OF_BROWSER}
            return Response(picture, media_type="image/jpeg", headers=keep)
        # The link of a guest may be ended, so their browser asks each time; what is the same is not sent again.
        tag = f'"{hashlib.sha256(picture).hexdigest()[:32]}"'
        ask = {"Cache-Control": "private, no-cache", "ETag": tag, **_OF_BROWSER}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=ask)
        return Response(picture, media_type="image/jpeg", headers=ask)

    return Route(thumbnail_address("{project_id}", "{version:int}", "{number:int}"), thumbnail)


def _seen_thumbnail(
    owner: str, headers: Headers, project_id: str, version: int, number: int
) -> tuple[bytes, bool] | None:
    """Return a thumbnail of a project, and whether that is the browser's own; whoever may not see it learns nothing.

    Who may look at a project of somebody else gets what is in its present data set, by whatever version.
    """
    home = DataRoot.configured()
    try:
        engine = _database(home)
        of_anyone = is_teachers_request(owner, headers)
        project = get_project(engine, project_id, owner, as_guest=True, of_anyone=of_anyone)
        images = _images(get_version(engine, project_id, version).content, home)
        if number >= len(images):
            return None
        is_own, key = project.owner == owner, images[number]
        if not is_own and project.version != version:
            now = get_version(engine, project_id, project.version or 0).content
            if key not in _keys(now, home):
                return None
        return ImageStore(home).thumbnail(key), is_own
    except TransferLabError:
        return None


@lru_cache(maxsize=4)
def _database(home: DataRoot) -> sa.Engine:
    return open_database(home)


@lru_cache(maxsize=24)
def _images(content: str, home: DataRoot) -> tuple[str, ...]:
    return tuple(item.image for item in load_dataset(content, home).items)


@lru_cache(maxsize=24)
def _keys(content: str, home: DataRoot) -> frozenset[str]:
    return frozenset(_images(content, home))
