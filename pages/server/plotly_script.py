"""The address of Plotly's script, which comes from the installed package, so that charts need no network."""

from __future__ import annotations

import gzip
from functools import lru_cache
from importlib.metadata import distribution, version
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PLOTLY_ADDRESS = "/plotly.min.js"

ONE_YEAR_SECONDS = 365 * 24 * 3600


@lru_cache(maxsize=1)
def versioned_address() -> str:
    """Return the address with the package's version, so that browsers may keep the file until it changes."""
    return f"{PLOTLY_ADDRESS}?v={version('plotly')}"


@lru_cache(maxsize=1)
def _script_path() -> Path:
    # Asking for the package's files does not import it, which would take a second.
    return Path(str(distribution("plotly").locate_file("plotly/package_data/plotly.min.js")))


@lru_cache(maxsize=2)
def _script(compressed: bool) -> bytes:
    data = _script_path().read_bytes()
    return gzip.compress(data, compresslevel=6, mtime=0) if compressed else data


def plotly_script(request: Request) -> Response:
    """Answer with Plotly's script, compressed when the browser accepts it."""
    compressed = "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Cache-Control": f"public, max-age={ONE_YEAR_SECONDS}, immutable", "Vary": "Accept-Encoding"}
    if compressed:
        headers["Content-Encoding"] = "gzip"
    return Response(_script(compressed), media_type="text/javascript", headers=headers)


def plotly_route() -> Route:
    """Return the route for the web server."""
    return Route(PLOTLY_ADDRESS, plotly_script)
