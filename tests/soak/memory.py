"""An hour of use in some minutes: the memory of the server is flat."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator, Mapping

import psutil

from tests.bench.figures import Line, figure
from tests.ready_projects import ReadyProject, begin_run, make_project, wait_for_end
from tests.server import AppServer, prepare_home
from tests.soak.small_runs import SMALL
from tests.soak.visitor import OWNER, PAGES, see_pages
from tlcore.home import DataRoot
from tlcore.storage.database import open_database

VISITS = 120
"""Each opens all pages: together what thirty people open in an hour who stay on a page for four minutes."""
AT_ONCE = 2
MOST_SECONDS = 190.0
SESSION_SECONDS = 10
"""So long the server keeps what a browser left behind; as the hour is short, this is too (usually two minutes)."""
MOST_GROWTH_MB = 20.0


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
        query = {"project": project.id, "run": run_id}
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


async def _visit(server: AppServer, query: Mapping[str, str]) -> list[float]:
    """Return the megabytes of the server after each visit."""
    megabytes: list[float] = []
    process, deadline = psutil.Process(server.pid), time.monotonic() + MOST_SECONDS
    left = iter(range(VISITS))

    async def come_and_go() -> None:
        for _ in left:
            if time.monotonic() > deadline:
                return
            await see_pages(server, query)
            megabytes.append(process.memory_info().rss / 1e6)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(come_and_go())
    return megabytes
