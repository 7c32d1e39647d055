"""The address of Plotly's script, which comes from the installed package, so that charts need no network."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import distribution, version

from starlette.responses import FileResponse
from starlette.routing import Route

PLOTLY_ADDRESS = "/lab/static/plotly.min.js"
"""Below a folder `static`, so that `FrontendFiles` compresses it once."""

ONE_YEAR_SECONDS = 365 * 24 * 3600


@lru_cache(maxsize=1)
def versioned_address() -> str:
    """Return the address with the package's version, so that browsers may keep the file until it changes."""
    return f"{PLOTLY_ADDRESS}?v={version('plotly')}"


def plotly_route() -> Route:
    """Return the route for the web server; `FrontendFiles` keeps and compresses the answer."""
    # Asking for the package's files does not import it, which would take a second.
    path = str(distribution("plotly").locate_file("plotly/package_data/plotly.min.js"))
    headers = {"Cache-Control": f"public, max-age={ONE_YEAR_SECONDS}, immutable"}
    return Route(PLOTLY_ADDRESS, lambda _request: FileResponse(path, media_type="text/javascript", headers=headers))
