"""The real prediction service for tests: started on loopback as people start it, asked, stopped."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tlcore.jobs.processes import ROOT_DIR

END_SECONDS = 20


@dataclass
class Service:
    """A running service.

    Attributes:
        process: Its process.
        port: Where it listens.
        said: The lines of its terminal so far.
    """

    process: subprocess.Popen[str]
    port: int = 0
    said: list[str] = field(default_factory=list)

    def ask(
        self, path: str, body: bytes | None = None, kind: str = "image/jpeg", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of an answer; POST when there is a body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=END_SECONDS)
        with contextlib.closing(connection):
            sent = ({} if body is None else {"Content-Type": kind}) | headers
            connection.request("GET" if body is None else "POST", path, body, sent)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def predict(self, picture: bytes, kind: str = "image/jpeg", query: str = "") -> tuple[int, dict[str, Any]]:
        """Return status and JSON of the answer to a picture."""
        status, _, body = self.ask(f"/predict{query}", picture, kind)
        return status, json.loads(body)

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Stop it as a person does, and return its exit code."""
        self.process.send_signal(how)
        return self.process.wait(END_SECONDS)


def form(*pictures: bytes, field_name: str = "picture") -> tuple[bytes, str]:
    """Return a form with pictures, and its content type."""
    lines = b""
    for picture in pictures:
        head = f'--edge\r\nContent-Disposition: form-data; name="{field_name}"; filename="a.jpg"\r\n\r\n'
        lines += head.encode() + picture + b"\r\n"
    return lines + b"--edge--\r\n", "multipart/form-data; boundary=edge"


@contextlib.contextmanager
def serving_model(bundle: Path, *options: str, **environment: str) -> Iterator[Service]:
    """Serve a bundle on a free port; whatever happens, its process is ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tlcore.serve", str(bundle), "--port", "0", *options],
        cwd=ROOT_DIR,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    service = Service(process)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            service.said.append(line.rstrip("\n"))
            if "Ctrl+C" in line:
                break
        (service.port,) = {int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", "".join(service.said))}
        reading = threading.Thread(target=lambda: service.said.extend(map(str.rstrip, process.stdout)), daemon=True)
        reading.start()
        yield service
    finally:
        process.kill()
        process.wait(END_SECONDS)


def refused(bundle: Path, *options: str) -> str:
    """Return what the command says of a bundle that it does not serve."""
    command = [sys.executable, "-m", "tlcore.serve", str(bundle), "--port", "0", *options]
    done = subprocess.run(command, cwd=ROOT_DIR, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr.strip()
