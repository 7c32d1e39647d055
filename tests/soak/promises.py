"""Every promise with its share of the time; each is tried in a process of its own, and nothing of it stays behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tests.bench.figures import figure
from tests.server import PREPARED_VARIABLE, prepare_home
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.jobs.processes import ROOT_DIR

PROMISES = {
    "line": 120,
    "tabs": 20,
    "clock": 80,
    "files": 90,
    "viewers": 140,
    "memory": 240,
    "kills": 330,
    "disk": 180,
}
"""How many seconds each may take, and what those before it left over; it is a module of this folder whose
`measure(home)` yields lines."""

PART = "--part"

OWN_DISKS = ("unshare", "--map-root-user", "--mount")
"""The disk is tried where this process and its children may mount one that nobody else sees."""


def main(names: list[str]) -> int:
    """Print a line for each figure of the named promises, of all when none is named.

    Returns:
        0 when all was reached, 1 when something was missed, 2 for an unknown name.
    """
    unknown = sorted(set(names) - PROMISES.keys())
    if unknown:
        print(f"no promise `{unknown[0]}`; there are {', '.join(PROMISES)}", file=sys.stderr)
        return 2
    missed = False
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing stays behind then either
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if PREPARED_VARIABLE not in os.environ:
            prepared = DataRoot(Path(folder, "prepared"))
            prepare_home(prepared)  # once for all
            os.environ[PREPARED_VARIABLE] = str(prepared.path)
        until = time.monotonic()
        for name in names or PROMISES:
            until += PROMISES[name]
            missed |= not _try(name, DataRoot(Path(folder, name)), until - time.monotonic())
    return int(missed)


def _try(name: str, home: DataRoot, seconds: float) -> bool:
    """Try a promise for some seconds at most; return whether all that is asked of it was reached."""
    around = OWN_DISKS if name == "disk" and shutil.which(OWN_DISKS[0]) else ()
    process = subprocess.Popen(
        [*around, sys.executable, "-m", "tests.soak.promises", PART, name],
        cwd=ROOT_DIR,
        env={**os.environ, ENVIRONMENT_VARIABLE: str(home.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    late = threading.Event()

    def end() -> None:
        late.set()
        end_all(home)

    timer = threading.Timer(seconds, end)
    timer.start()
    reached = True
    try:
        assert process.stdout is not None
        for text in process.stdout:
            print(text, end="", flush=True)
            reached &= json.loads(text).get("reached") is not False
        code = process.wait()
    finally:
        timer.cancel()
        end_all(home)
    if late.is_set() or code:
        why = f"it took more than {seconds:.0f} s" if late.is_set() else f"it ended with code {code}"
        print(json.dumps(figure(f"{name}: tried to its end", 0, why, at_least=1)), flush=True)
    return reached and not late.is_set() and not code


def end_all(home: DataRoot) -> None:
    """End every process that works for a data root, however it was started."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(ENVIRONMENT_VARIABLE) == str(home.path):
                process.kill()


def _measure(name: str) -> None:
    """Print the lines of one promise."""
    import importlib

    for line in importlib.import_module(f"tests.soak.{name}").measure(DataRoot.configured()):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == [PART]:
        _measure(sys.argv[2])
    else:
        sys.exit(main(sys.argv[1:]))
