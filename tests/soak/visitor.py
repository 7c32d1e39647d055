"""A browser that goes from page to page, without the browser."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg

from tests.bench.viewers import PATIENCE_SECONDS, Load, Viewer
from tests.server import AppServer, home_at
from tests.signing import cookie_of

OWNER = "o" * 24
PAGES = ("", "data", "augment", "model", "train", "understand", "predict", "export")


class Visitor(Viewer):
    """One tab."""

    async def see(self, page: str) -> None:
        """Open a page and wait until it is drawn.

        Raises:
            RuntimeError: If it shows an error that nobody put into words.
        """
        message = BackMsg()
        message.rerun_script.query_string = self._query if page else ""
        message.rerun_script.page_name = page
        await self._ask(message)


async def see_pages(server: AppServer, query: Mapping[str, str], pages: Sequence[str] = PAGES) -> None:
    """Come, open some pages one after the other, and go; errors as of `Visitor.see`."""
    address = f"http://127.0.0.1:{server.port}"
    async with websockets.connect(
        f"ws://127.0.0.1:{server.port}/_stcore/stream",
        subprotocols=[websockets.Subprotocol("streamlit")],
        max_size=None,
        origin=websockets.Origin(address),
        proxy=None,
        additional_headers={"Cookie": cookie_of(OWNER, home_at(address))},
    ) as connection:
        visitor = Visitor(connection, urlencode(query), Load())
        async with asyncio.timeout(PATIENCE_SECONDS):
            for page in pages:
                await visitor.see(page)
