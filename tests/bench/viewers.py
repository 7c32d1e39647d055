"""Thirty people watch a running training: how long each update of the Train page takes, over real web sockets."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.bench.material import PHOTOS, Sizes
from tests.bench.measures import Measurement, percentile, rounded
from tests.ready_projects import LONG_TRAINING, ReadyProject, begin_run, make_project, wait_for_phase
from tests.server import AppServer, home_at, prepare_home
from tests.signing import cookie_of
from tlcore.config import ModelConfig
from tlcore.features.engines import THREADS_VARIABLE
from tlcore.home import DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.jobs import get_job
from tlcore.storage.projects import update_config
from tlcore.storage.runs import read_metrics

LIMIT_MS = 150.0
PERIOD_SECONDS = 1.0
OWNER = "o" * 24
WATCHED_MODEL = ModelConfig(first_trainable="block7a")
PATIENCE_SECONDS = 600.0
"""A slow answer is a figure and no error, however busy the computer is; only none at all is one."""


@dataclass(slots=True)
class Load:
    """What the viewers saw."""

    first_seconds: list[float] = field(default_factory=list)
    update_seconds: list[float] = field(default_factory=list)
    num_bytes: int = 0


class Viewer:
    """A browser tab on the Train page, without the browser: it opens the page, then asks for each update."""

    def __init__(self, connection: websockets.ClientConnection, query: str, load: Load) -> None:
        self._connection = connection
        self._query = query
        self._load = load
        self._page_script_hash = ""
        self._fragment = ""

    async def open_page(self) -> None:
        """Run the whole page once, as a browser does when it arrives."""
        message = BackMsg()
        message.rerun_script.query_string = self._query
        message.rerun_script.page_name = "train"
        self._load.first_seconds.append(await self._ask(message))
        if not self._fragment:
            raise RuntimeError("The Train page has no part that updates itself; the training is not running.")

    async def update(self) -> float:
        """Ask for one update, as the page's timer does; return its seconds."""
        message = BackMsg()
        message.rerun_script.query_string = self._query
        message.rerun_script.page_script_hash = self._page_script_hash
        message.rerun_script.fragment_id = self._fragment
        message.rerun_script.is_auto_rerun = True
        return await self._ask(message)

    async def _ask(self, message: BackMsg) -> float:
        started = time.perf_counter()
        await self._connection.send(message.SerializeToString())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                data = await self._connection.recv(decode=False)
                self._load.num_bytes += len(data)
                if self._read(ForwardMsg.FromString(data)):
                    return time.perf_counter() - started

    def _read(self, message: ForwardMsg) -> bool:
        """Note what an answer carries; return whether it is the last one of a script run."""
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._page_script_hash = message.new_session.page_script_hash
        elif kind == "navigation":
            self._page_script_hash = message.navigation.page_script_hash or self._page_script_hash
        elif kind == "auto_rerun":
            self._fragment = message.auto_rerun.fragment_id
        elif kind == "delta" and message.delta.new_element.WhichOneof("type") == "exception":
            raise RuntimeError(f"The page shows an error: {message.delta.new_element.exception.message}")
        return kind == "script_finished"


def measure_pages(sizes: Sizes, home: DataRoot) -> Iterator[Measurement]:
    """Start the app and a training with one thread, and let viewers watch it for a while."""
    os.environ[THREADS_VARIABLE] = "1"  # for the runner and its workers
    prepare_home(home)
    server = AppServer(home)
    try:
        server.start()
        engine = open_database(home)
        project = make_project(engine, home, OWNER, "Watched", archive=PHOTOS)
        # An epoch of the head alone takes milliseconds: the training would be over before a busy computer has
        # opened the page for everyone. With a block of the backbone it outlasts all of this.
        update_config(engine, project.id, lambda config: replace(config, model=WATCHED_MODEL))
        run_id = begin_run(engine, home, ReadyProject(project.id, OWNER, None), LONG_TRAINING)
        wait_for_phase(engine, run_id, "training")
        query = urlencode({"project": project.id, "run": run_id})
        load = asyncio.run(watch(server.port, query, sizes))
        job, points = get_job(engine, run_id), read_metrics(engine, run_id)
        engine.dispose()
    finally:
        server.clean_up()
    if not job.is_active:
        raise RuntimeError(f"The training ended while it was watched ({job.message}); the figures would mean nothing.")
    updates = load.update_seconds
    details = {
        "p50": rounded(1000 * statistics.median(updates)),
        "slowest": rounded(1000 * max(updates)),
        "updates": len(updates),
        "viewers": sizes.viewers,
        "slowest_first_page": rounded(1000 * max(load.first_seconds)),
        "kilobytes_per_update": rounded(load.num_bytes / len(updates) / 1000),
        "epochs_seen": int(max((point.epoch for point in points), default=0)),
    }
    p95 = 1000 * percentile(updates, 95)
    yield Measurement("pages", "ms p95 per update", p95, LIMIT_MS, limit_on="ours", details=details)


async def watch(port: int, query: str, sizes: Sizes) -> Load:
    """Open the page for all viewers, then update all of them once a second."""
    load = Load()
    all_are_there = asyncio.Barrier(sizes.viewers)

    async def one(number: int) -> None:
        address = f"ws://127.0.0.1:{port}/_stcore/stream"
        origin = websockets.Origin(f"http://127.0.0.1:{port}")
        cookie = {"Cookie": cookie_of(OWNER, home_at(f"http://127.0.0.1:{port}"))}
        subprotocol = websockets.Subprotocol("streamlit")
        async with websockets.connect(
            address, subprotocols=[subprotocol], max_size=None, origin=origin, proxy=None, additional_headers=cookie
        ) as connection:
            viewer = Viewer(connection, query, load)
            await viewer.open_page()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await all_are_there.wait()
            load.num_bytes = 0  # only the updates count; all pages are open by now
            # Spread over the period, as people come.
            await asyncio.sleep(PERIOD_SECONDS * number / sizes.viewers)
            end = time.perf_counter() + sizes.load_seconds
            while time.perf_counter() < end:
                seconds = await viewer.update()
                load.update_seconds.append(seconds)
                await asyncio.sleep(max(0.0, PERIOD_SECONDS - seconds))

    async with asyncio.TaskGroup() as group:
        for number in range(sizes.viewers):
            group.create_task(one(number))
    return load
