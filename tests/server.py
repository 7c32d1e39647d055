"""The real web server for tests: started on loopback with a data root of its own, killed, started again, cleaned up."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from tests.watched_streamlit import OUTGOING_VARIABLE
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.jobs.processes import ROOT_DIR

PREPARED_VARIABLE = "TRANSFER_LAB_PREPARED"
"""Names a data root whose prepared backbone is taken over: saves half a minute while one writes tests."""

PROBE = "/made-of"
"""Where `tests/app_with_a_probe.py` tells what its server is made of."""

LOG_TAIL = 8000
"""So many characters of a server's log are told beside a failed test: its last tracebacks."""
OUTGOING = "outgoing.txt"
START_SECONDS = 90
PREPARE_SECONDS = 300
JOB_MODULES = "tlcore.jobs."


_HOMES: dict[str, DataRoot] = {}


def home_at(address: str) -> DataRoot:
    """Return the data root of the server at an address, the configured one where a test has another server."""
    return _HOMES.get(address, DataRoot.configured())


class AppServer:
    """`streamlit run app.py` on a free port of this machine, or the app with what a test adds to it.

    Attributes:
        home: Its data root.
        options: Options of Streamlit.
    """

    def __init__(self, home: DataRoot, script: str = "app.py", options: Sequence[str] = ()) -> None:
        self.home = home
        self.script = script
        self.options = options
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where the app is, without a slash at the end."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> str | None:
        """The file with its certificate, where it is served over HTTPS."""
        name = "--server.sslCertFile"
        return self.options[self.options.index(name) + 1] if name in self.options else None

    @property
    def pid(self) -> int:
        """The process of the server that was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What all servers of this data root have said so far."""
        return (self.home.path / "server.log").read_text(encoding="utf-8", errors="replace")

    @property
    def last_words(self) -> str:
        """The end of the log, where the traceback stands of an error that a page only names."""
        return self.log[-LOG_TAIL:]

    @property
    def outgoing(self) -> list[str]:
        """Which other machines the servers of this data root have called so far."""
        path = self.home.path / OUTGOING
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def start(self) -> None:
        """Start the server and wait until it is well."""
        self.home.path.mkdir(parents=True, exist_ok=True)
        _HOMES[self.address] = self.home
        command = [sys.executable, "-m", "tests.watched_streamlit", "run", self.script, "--server.headless", "true"]
        with (self.home.path / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--server.port", str(self.port), *self.options],
                cwd=ROOT_DIR,
                env={**_environment(self.home), OUTGOING_VARIABLE: str(self.home.path / OUTGOING)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while not _is_healthy(self.address, self.certificate):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"The server did not start:\n{self.last_words}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End the server as a crash would, without a word; its jobs go on."""
        if self._process is not None:
            psutil.Process(self._process.pid).kill()
            self._process.wait(10)

    def clean_up(self) -> None:
        """End the server, and the runner and workers of its data root, which outlive it on purpose."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process.kill()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_ours = any(JOB_MODULES in part for part in process.cmdline())
                if is_ours and process.environ().get(ENVIRONMENT_VARIABLE) == str(self.home.path):
                    process.kill()


@contextlib.contextmanager
def serving(
    home: DataRoot, script: str = "app.py", *, prepared: DataRoot | None = None, options: Sequence[str] = ()
) -> Iterator[AppServer]:
    """Serve a data root, with the backbone that another one has ready if that is given, and clean up afterwards."""
    if prepared is not None:
        shutil.copytree(prepared.compiled_dir, home.compiled_dir)
    server = AppServer(home, script, options)
    try:
        server.start()
        yield server
    except Exception as error:  # a test that serves by itself; of fixtures `conftest.py` tells it
        with contextlib.suppress(OSError):
            error.add_note(f"The server said:\n{server.last_words}")
        raise
    finally:
        server.clean_up()


def prepare_home(home: DataRoot) -> None:
    """Prepare the embedded backbone in a data root, as the first start of the app does."""
    prepared = os.environ.get(PREPARED_VARIABLE)
    for name in ("compiled",) if prepared else ():
        shutil.copytree(Path(str(prepared)) / name, home.path / name, dirs_exist_ok=True)
    command = [sys.executable, "-m", "tlcore.prepare"]
    done = subprocess.run(
        command, cwd=ROOT_DIR, env=_environment(home), capture_output=True, text=True, timeout=PREPARE_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _environment(home: DataRoot) -> dict[str, str]:
    return {**os.environ, ENVIRONMENT_VARIABLE: str(home.path)}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _is_healthy(address: str, certificate: str | None) -> bool:
    trust = ssl.create_default_context(cafile=certificate) if certificate else None
    try:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2, context=trust) as answer:
            return answer.status == 200
    except OSError:
        return False
