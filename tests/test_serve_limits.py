"""Whoever sends slowly, half or without end keeps the prediction service from nobody else."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import uvicorn
from numpy.typing import NDArray

from tlcore.serve.connections import connections_with
from tlcore.serve.receiving import Limits
from tlcore.serve.service import make_service

PATIENCE_SECONDS = 20
ANSWERED, REFUSED = b"HTTP/1.1 200", b"HTTP/1.1 503"


@dataclass
class Model:
    """Answers anything, once it may."""

    may_answer: threading.Event = field(default_factory=threading.Event)
    asked: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    format: str = "litert"
    manifest: Any = field(
        default_factory=lambda: SimpleNamespace(title="x", class_names=("a", "b"), threshold=0.0, grey_range=None)
    )

    def predict_bytes(self, _data: bytes) -> NDArray[np.float32]:
        self.asked.release()
        assert self.may_answer.wait(PATIENCE_SECONDS)
        return np.array([0.25, 0.75], np.float32)


@contextlib.contextmanager
def served(limits: Limits, model: Model | None = None) -> Iterator[int]:
    """Serve on a free port, which is yielded."""
    if model is None:
        model = Model()
        model.may_answer.set()
    listening = socket.create_server(("127.0.0.1", 0))
    app: Any = make_service(model, limits)  # type: ignore[arg-type]
    config = uvicorn.Config(app, http=connections_with(limits), log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: server.run(sockets=[listening]))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        model.may_answer.set()
        server.should_exit = server.force_exit = True
        thread.join(PATIENCE_SECONDS)


def sent(port: int, length: int, body: bytes) -> socket.socket:
    """Return a connection on which a picture of so many bytes was announced, and the service was seen to read it."""
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
    client.sendall(
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nConnection: close\r\n"
        + f"Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n".encode()
    )
    seen = client.recv(25, socket.MSG_WAITALL)
    if seen.startswith(b"HTTP/1.1 100"):
        client.sendall(body)
    return client


def answer(client: socket.socket) -> bytes:
    data = b""
    with client:
        while part := client.recv(65536):
            data += part
    return data


def asked(port: int, body: bytes = b"abc") -> bytes:
    return answer(sent(port, len(body), body))


def dripping(client: socket.socket) -> float:
    """Send a byte again and again until the other side has had enough, and return how many seconds that took."""
    started = time.monotonic()
    client.settimeout(0.05)
    with client, contextlib.suppress(ConnectionError):
        while time.monotonic() - started < PATIENCE_SECONDS:
            with contextlib.suppress(TimeoutError):
                if not client.recv(65536):
                    break
            client.sendall(b"x")
    return time.monotonic() - started


def test_pictures_that_come_slowly_keep_the_model_from_nobody() -> None:
    limits = Limits(1.0, 2, PATIENCE_SECONDS)
    with served(limits) as port, contextlib.ExitStack() as stack:
        for _ in range(limits.receiving):
            assert ANSWERED in asked(port)
            stack.enter_context(sent(port, 9, b"x"))
        refused = sent(port, 3, b"abc")
        assert b"Too many pictures at once" in answer(refused)
        stack.close()
        while ANSWERED not in (said := asked(port)):  # until it is seen that they have gone
            assert b"Too many" in said or not said


def test_a_picture_that_finds_no_place_is_told_so_and_large_ones_are_not_all_kept() -> None:
    model = Model()
    with served(Limits(1.0, 1, PATIENCE_SECONDS), model) as port:
        first = sent(port, 3, b"abc")
        assert model.asked.acquire(timeout=PATIENCE_SECONDS)
        assert b"Too many pictures at once" in asked(port)
        model.may_answer.set()
        assert ANSWERED in answer(first)
        with sent(port, 1_000_000, bytes(900_000)):
            while True:
                said = asked(port, bytes(500_000))
                if b"Too many pictures at once" in said:
                    break
                assert ANSWERED in said  # the large one has not come yet
        while ANSWERED not in asked(port, bytes(500_000)):
            pass


def test_who_sends_a_byte_now_and_then_is_not_listened_to_for_ever() -> None:
    limits = Limits(1.0, 1, 1.0)
    with served(limits) as port:
        too_long = [socket.create_connection(("127.0.0.1", port)) for _ in range(limits.receiving)]
        for client in too_long:
            client.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 99999999\r\n\r\n"
            )
        head = socket.create_connection(("127.0.0.1", port))
        head.sendall(b"GET /health HTTP/1.1\r\nX: ")
        took: list[float] = []
        threads = [
            threading.Thread(target=lambda client=client: took.append(dripping(client))) for client in (*too_long, head)
        ]
        for thread in threads:
            thread.start()
        assert ANSWERED in asked(port)  # those that are thrown away have no place
        for thread in threads:
            thread.join()
        assert max(took) < PATIENCE_SECONDS / 2


@pytest.mark.parametrize("said", [b"", b"GET /hea", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /hea"])
def test_half_a_request_is_not_waited_for(said: bytes) -> None:
    with (
        served(Limits(1.0, 1, 0.5)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as client,
    ):
        client.sendall(said)
        if said.startswith(b"GET /health"):
            assert client.recv(65536).startswith(ANSWERED)
            client.sendall(b"l")
        while client.recv(65536):
            pass


def test_who_reads_no_answers_is_let_go() -> None:
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with served(Limits(1.0, 1, 0.5)) as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE_SECONDS)
        client.connect(("127.0.0.1", port))
        with pytest.raises(ConnectionError):
            client.sendall(ask * (20_000_000 // len(ask)))


def test_there_are_only_so_many_connections() -> None:
    limits = Limits(1.0, 1, PATIENCE_SECONDS)
    with served(limits) as port:
        assert ANSWERED in asked(port)
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(limits.connections)]
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as client:
            said = answer(client)
        assert said.startswith(REFUSED)
        assert b"Too many have connected" in said
        for client in idle:
            client.close()
        while True:
            with contextlib.suppress(ConnectionError):
                if ANSWERED in asked(port):
                    break
