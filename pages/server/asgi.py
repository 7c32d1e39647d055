"""What the web server does around the pages: who is asking, safe headers, routes of its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib
import pkgutil
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config, file_util

import pages.components
from pages.server import private_asyncio, private_streamlit
from pages.server.door import Door, Hosts, said_addresses
from pages.server.downloads import answers_route, download_route
from pages.server.export_files import export_route
from pages.server.frontend_files import FrontendFiles
from pages.server.identity import OwnMedia, UserCookie, owner_of, take_route
from pages.server.keeper import keep, see_to_waiting_jobs
from pages.server.plotly_script import plotly_route
from pages.server.project_files import project_file_route
from pages.server.shared import share_machine
from pages.server.teacher_login import EndedLogins, come_in_route
from pages.server.thumbnails import thumbnail_route
from pages.server.uploads import upload_routes
from tlcore.errors import StorageError
from tlcore.home import DataRoot
from tlcore.network import host_of
from tlcore.storage.identities import read_identities
from tlcore.storage.reserve import keep_reserve


class SafeHeaders:
    """Tell browsers what pages may load and do, who may show them, and to keep addresses, which hold project ids.

    The camera is lent to this app's own pages only.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add the headers to its answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", content_policy(Headers(scope=scope).get("host", "")))
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("X-Frame-Options", "SAMEORIGIN")
                headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
                headers.setdefault("Referrer-Policy", "same-origin")
                headers.setdefault("Permissions-Policy", "camera=(self), microphone=(), geolocation=()")
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


@lru_cache(maxsize=64)
def content_policy(host: str) -> str:
    """Return what a page may load and whom it may talk to: nobody but this server.

    Args:
        host: What the browser calls this server. Older Safaris do not count WebSockets as the page's own otherwise.
    """
    sockets = f" ws://{host} wss://{host}" if host_of(host) else ""
    rules = {
        "default-src": "'self'",
        # Components of ours come as blobs; Plotly compiles what it draws by WebGL, such as the map of the pictures.
        "script-src": " ".join(["'self' blob: 'unsafe-eval'", *inline_scripts()]),
        "style-src": "'self' 'unsafe-inline'",  # Streamlit and Plotly make their styles as they go
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "media-src": "'self' data: blob:",
        "connect-src": f"'self' data: blob:{sockets}",
        "worker-src": "'self' blob:",
        "frame-src": "'self'",
        "frame-ancestors": "'self'",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


@lru_cache(maxsize=1)
def inline_scripts() -> tuple[str, ...]:
    """Return the hashes of the scripts that stand in Streamlit's page itself."""
    page = Path(file_util.get_static_dir(), "index.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    return tuple(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
    )


def routes() -> Sequence[BaseRoute]:
    """Return the addresses that are answered without a page."""
    answered_by_files = [plotly_route(), download_route(owner_of), answers_route(owner_of), thumbnail_route(owner_of)]
    files = [*answered_by_files, export_route(owner_of), project_file_route(owner_of)]
    return [*files, *upload_routes(owner_of), take_route(), come_in_route()]


def middleware() -> Sequence[Middleware]:
    """Return what every request passes through, outermost first."""
    # The hosts of now: once the server runs, Streamlit itself answers by every name.
    door = Middleware(Door, Hosts.configured())
    asking = [Middleware(UserCookie), Middleware(EndedLogins), Middleware(OwnMedia)]
    return [Middleware(SafeHeaders), door, *asking, Middleware(FrontendFiles)]


def warm_up() -> None:
    """Import what the pages import, which would otherwise cost the first visitor of each page up to a second."""
    # Plotly asks of each value whether it is a table, by whatever pandas is at that moment: a chart that is drawn while
    # another visitor's first table still imports pandas would fail.
    importlib.import_module("pandas")
    for module in pkgutil.walk_packages(pages.components.__path__, "pages.components."):
        importlib.import_module(module.name)
    Image.preinit()  # Pillow would look for its file formats at the first picture


def welcome() -> str:
    """Return what a person reads when the app has started: where it is, and who may call it what."""
    here, *others = said_addresses()
    lines = ["", f"  Transfer Lab is open: {here}"]
    if others:
        lines += ["  On the other computers, tablets and telephones:", *(f"    {address}" for address in others)]
        lines += ["  By another name or address: start it with --host NAME."]
    if Hosts.configured().are_all:
        lines += [
            "  It answers by whatever name it is called, so a foreign website can take its place in the browsers of "
            "your class.",
            "  Name the right ones instead: --host NAME.",
        ]
    certificate = config.get_option("server.sslCertFile")
    if certificate and Path(certificate) == DataRoot.configured().certificate_path:
        from tlcore.certificate import fingerprint  # with cryptography, which only this start needs

        lines += ["", *(f"  {line}" for line in certificate_words(fingerprint(Path(certificate))))]
    return "\n".join([*lines, "  Ctrl+C stops it.", ""])


def certificate_words(mark: str) -> list[str]:
    """Return what to tell a class about the warning of its browsers, line by line.

    Args:
        mark: The fingerprint of the certificate.
    """
    return [
        'Browsers will warn once: "Your connection is not private" (Chrome, Edge), "Potential Security Risk Ahead"',
        '(Firefox), "This Connection Is Not Private" (Safari). The connection is encrypted all the same. They warn',
        "because this computer made its certificate itself, and nobody outside vouches for an address in a classroom.",
        "Go on with Advanced, then Proceed or Accept the Risk; in Safari with Show Details, then visit this website.",
        "Do so only here, and only where the certificate that the browser shows has this SHA-256 fingerprint:",
        mark[:47],
        mark[48:],
    ]


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any] | None]:
    """Surround the life of the web server: get ready for the first visitor, and look after unfinished jobs."""
    private_streamlit.check()
    warm_up()
    private_asyncio.patch(asyncio.get_running_loop())
    home = DataRoot.configured()
    share_machine()  # before the program starts that works through the line
    try:
        see_to_waiting_jobs(home)
        read_identities(home)
        keep_reserve(home)
    except StorageError as error:  # every page says the same, and works as soon as it is mended
        print(error, file=sys.stderr, flush=True)
    print(welcome(), flush=True)
    private_streamlit.leave_hosts_to_the_door()
    keeper = asyncio.create_task(keep(home))
    yield None
    keeper.cancel()
