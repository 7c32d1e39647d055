"""Private parts of other libraries: tried with the versions that are pinned, and at work in a running server."""

from __future__ import annotations

import http.client
import json
import statistics
import time
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.sync.client import connect

from tests.server import PROBE, AppServer, serving
from tlcore.home import DataRoot
from tlcore.jobs.processes import ROOT_DIR

ANSWERS = 30


@pytest.mark.parametrize(
    ("file", "library"),
    [
        ("pages/server/private_streamlit.py", "Streamlit"),
        ("pages/server/private_asyncio.py", "Streamlit"),
        ("pages/server/private_asyncio.py", "uvicorn"),
        ("tlcore/private_keras.py", "Keras"),
        ("tlcore/serve/connections.py", "uvicorn"),
    ],
)
def test_the_versions_that_were_tried_are_those_that_are_installed(file: str, library: str) -> None:
    tried = (ROOT_DIR / file).read_text("utf-8").partition("\n")[0]
    assert f"{library} {'.'.join(version(library).split('.')[:2])}" in tried


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    home = DataRoot(tmp_path_factory.mktemp("server") / "home")
    with serving(home, "tests/app_with_a_probe.py") as running:
        yield running


def test_its_pictures_messages_and_uploads_are_kept_by_what_is_ours(server: AppServer) -> None:
    address = server.address.replace("http", "ws")
    message = BackMsg()
    message.rerun_script.query_string = ""
    with connect(f"{address}/_stcore/stream", subprotocols=["streamlit"], origin=server.address, proxy=None) as browser:
        browser.send(message.SerializeToString())
        browser.recv(timeout=30)
        with urllib.request.urlopen(f"{server.address}{PROBE}", timeout=30) as answer:
            made_of = json.load(answer)
    assert made_of == {
        "lost": [],
        "storage": "LingeringMediaStorage",
        "queues": ["CompleteMessages"],
        "uploaded_bytes": 0,
    }


def test_its_small_answers_do_not_wait_for_more(server: AppServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    taken = []
    for _ in range(ANSWERS):
        started = time.perf_counter()
        connection.request("GET", "/_stcore/health")
        connection.getresponse().read()
        taken.append(time.perf_counter() - started)
    connection.close()
    # TCP would wait for 40 ms before each but the first few; other programs may delay some of them.
    assert statistics.quantiles(taken, n=4)[0] < 0.03
    assert "Small answers wait" not in server.log
