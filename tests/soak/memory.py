"""An hour of use in some minutes: the memory of the server is flat."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg

from tests.bench.figures import Line, figure
from tests.bench.viewers import OWNER, PATIENCE_SECONDS, Load, Viewer
from tests.ready_projects import ReadyProject, begin_run, make_project, wait_for_end
from tests.server import AppServer, home_at, prepare_home
from tests.signing import cookie_of
from tests.soak.small_runs import SMALL
from tlcore.home import DataRoot
from tlcore.storage.database import open_database

PAGES = ("", "data", "augment", "model", "train", "understand", "predict", "export")
VISITS = 120
"""Each opens all pages: together what thirty people open in an hour who stay on a page for four minutes."""
AT_ONCE = 2
MOST_SECONDS = 240.0
SESSION_SECONDS = 10
"""So long the server keeps what a browser left behind; as the hour is short, this is too (usually two minutes)."""
MOST_GROWTH_MB = 20.0


class Visitor(Viewer):
    """A browser that goes from page to page, without the browser."""

    async def see(self, page: str) -> float:
        """Open a page and wait until it is drawn; return its seconds."""
        message = BackMsg()
        message.rerun_script.query_string = self._query if page else ""
        message.rerun_script.page_name = page
        return await self._ask(message)


def measure(home: DataRoot) -> Iterator[Line]:
    """Let people come, open every page and go, again and again, and look at the server's memory after each visit."""
    prepare_home(home)
    server = AppServer(home, options=("--server.disconnectedSessionTTL", str(SESSION_SECONDS)))
    try:
        server.start()
        engine = open_database(home)
        project = make_project(engine, home, OWNER, "Visited", sample="digits")
        run_id = begin_run(engine, home, ReadyProject(project.id, OWNER, None), SMALL.training)
        wait_for_end(engine, run_id)
        query = urlencode({"project": project.id, "run": run_id})
        megabytes = asyncio.run(_visit(server, query))
    finally:
        server.clean_up()
    quarter = len(megabytes) // 4
    before, after = megabytes[quarter : 2 * quarter], megabytes[-quarter:]
    growth = statistics.median(after) - statistics.median(before)
    how = f"{len(megabytes)} visits to all {len(PAGES)} pages, {AT_ONCE} at once; last quarter against second, medians"
    more = {
        "MB at first": round(megabytes[0]),
        "in the second quarter": round(statistics.median(before)),
        "in the last": round(statistics.median(after)),
        "most": round(max(megabytes)),
    }
    yield figure("memory: visits", len(megabytes), how, at_least=VISITS)
    yield figure("memory: megabytes by which the server grew", growth, how, at_most=MOST_GROWTH_MB, more=more)


async def _visit(server: AppServer, query: str) -> list[float]:
    """Return the megabytes of the server after each visit."""
    megabytes: list[float] = []
    process, deadline = psutil.Process(server.pid), time.monotonic() + MOST_SECONDS
    left = iter(range(VISITS))
    address = f"http://127.0.0.1:{server.port}"

    async def come_and_go() -> None:
        for _ in left:
            if time.monotonic() > deadline:
                return
            async with websockets.connect(
                f"ws://127.0.0.1:{server.port}/_stcore/stream",
                subprotocols=[websockets.Subprotocol("streamlit")],
                max_size=None,
                origin=websockets.Origin(address),
                proxy=None,
                additional_headers={"Cookie": cookie_of(OWNER, home_at(address))},
            ) as connection:
                visitor = Visitor(connection, query, Load())
                async with asyncio.timeout(PATIENCE_SECONDS):
                    for page in PAGES:
                        await visitor.see(page)
            megabytes.append(process.memory_info().rss / 1e6)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(come_and_go())
    return megabytes
