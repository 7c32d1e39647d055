"""pip, run with visible progress, its failures put into words."""

from __future__ import annotations

import os
import platform
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tlcore.errors import TransferLabError
from tlcore.setup.progress_line import ProgressLine, duration

AGAIN = "Then run the same command again."
TICK_SECONDS = 0.5
ENDING_SECONDS = 10.0


class SetupError(TransferLabError):
    """The environment cannot be made on this machine as it is."""


class PipOutput:
    """What pip's lines say: how far it is, and why it stopped."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.to_install = 0
        self.current = ""
        self._percent = ""
        self._lines: list[str] = []

    @property
    def is_installing(self) -> bool:
        """Whether everything is downloaded and pip has begun to change the environment."""
        return self.to_install > 0

    def read(self, line: str) -> None:
        """Take one line of pip's output."""
        line = line.strip()
        if progress := re.match(r"Progress (\d+) of (\d+)", line):
            done, total = int(progress[1]), int(progress[2])
            self._percent = f" {100 * done // total} %" if total else ""
            return
        self._lines.append(line)
        if collecting := re.match(r"Collecting ([\w.-]+)", line):
            self.found.append(collecting[1])
            self.current, self._percent = collecting[1], ""
        elif downloading := re.match(r"(?:Downloading|Using cached) (\S+?)-\S+ \(([^)]+)\)", line):
            self.current, self._percent = f"{downloading[1]} ({downloading[2]})", ""
        elif line.startswith("Installing collected packages:"):
            self.to_install = line.count(",") + 1
        elif "Retrying (" in line:
            self.current, self._percent = "no answer from the package index, trying again", ""

    def status(self, installed: int, seconds: float) -> str:
        """Say how far pip is.

        Args:
            installed: Packages that were put into the environment since pip started.
            seconds: Time since pip started.
        """
        if self.is_installing:
            done = min(installed, self.to_install)
            percent = 100 * done // self.to_install
            return f"Installing packages: {done} of {self.to_install} ({percent} %), {duration(seconds)}"
        current = f": {self.current}{self._percent}" if self.current else ""
        return f"Downloading packages, {len(self.found)} so far{current}, {duration(seconds)}"

    def problem(self) -> str:
        """Say why pip failed and what to do next."""
        text = "\n".join(self._lines)
        if re.search(r"No space left on device|not enough space|Errno 28|Disk quota exceeded", text, re.IGNORECASE):
            return f"The disk became full while the packages were installed. Free some space. {AGAIN}"
        if re.search(r"CERTIFICATE_VERIFY_FAILED|SSLError", text):
            return (
                "The package index could not be trusted (its certificate was refused). Check the date of this machine, "
                f"and ask whoever runs the network whether pip needs a certificate or proxy of theirs. {AGAIN}"
            )
        if re.search(
            r"Retrying \(|ConnectionError|ConnectTimeout|Name or service not known|Network is unreachable", text
        ):
            return (
                "The packages could not be downloaded: no answer from the package index. Connect this machine to the "
                f"internet, or check the proxy and index that pip is set to use. {AGAIN}"
            )
        if re.search(r"Permission denied|Access is denied|Errno 13|WinError 5", text):
            return (
                "The environment cannot be written. Close other programs that use it, or copy Transfer Lab to a folder "
                f"of your own. {AGAIN}"
            )
        if missing := re.search(r"No matching distribution found for (\S+)", text):
            return (
                f"There is no ready-made {missing[1]} for Python {platform.python_version()} on "
                f"{platform.system()} {platform.machine()}. Python 3.11, 3.12 and 3.13 (64 bit) are known to work: "
                "install one of them and start the same command with it."
            )
        errors = [line for line in self._lines if line.startswith("ERROR")] or self._lines[-5:]
        return "The packages could not be installed. pip said:\n  " + "\n  ".join(errors[:5])


def clean_environment() -> dict[str, str]:
    """Return the environment variables for programs of the environment, without what would mix in other packages."""
    dropped = ("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__")
    return {name: value for name, value in os.environ.items() if name not in dropped}


def pip_install(
    python_path: Path,
    requirements_path: Path,
    on_change: Callable[[], object],
    progress: ProgressLine,
    has_raw_progress: bool = False,
) -> None:
    """Install a requirements file with visible progress.

    pip's own configuration (index, proxy, certificates, constraints) holds as usual.

    Args:
        python_path: Python of the environment.
        requirements_path: What to install.
        on_change: Called once, just before pip begins to change the environment.
        progress: Where the progress goes.
        has_raw_progress: Whether this pip knows `--progress-bar raw` (24.1 and newer).

    Raises:
        SetupError: If pip fails; says why and what to do.
    """
    command = [
        *(str(python_path), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"),
        # Nobody who starts the app should need a compiler.
        *("--only-binary", ":all:"),
        *("--progress-bar", "raw" if has_raw_progress else "off"),
        # Most modules of the packages are never imported; Python compiles the others when they are.
        "--no-compile",
        *("-r", str(requirements_path)),
    ]
    # A person's `user = true` makes pip refuse to work in an environment.
    variables = {**clean_environment(), "PIP_USER": "0", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    output = PipOutput()
    started = time.monotonic()
    packages_before = count_packages(python_path)

    def read(line: str) -> None:
        was_installing = output.is_installing
        output.read(line)
        if output.is_installing and not was_installing:
            on_change()

    def tick() -> None:
        installed = count_packages(python_path) - packages_before if output.is_installing else 0
        progress.show(output.status(installed, time.monotonic() - started))

    try:
        code = run_watched(command, variables, read, tick)
    finally:
        progress.finish()
    if code != 0:
        raise SetupError(output.problem())


def count_packages(python_path: Path) -> int:
    """Count the packages of an environment, quickly and while pip is at work."""
    root = python_path.parents[1]
    return sum(1 for pattern in ("lib/python*", "Lib") for _ in root.glob(f"{pattern}/site-packages/*.dist-info"))


def run_watched(
    command: Sequence[str],
    variables: Mapping[str, str],
    on_line: Callable[[str], object],
    on_tick: Callable[[], object],
) -> int:
    """Run a program, hand over its lines as they come, and tick while it is silent.

    The program never outlives this call: an interruption ends it too.

    Returns:
        The program's exit code.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=dict(variables),
    )
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def collect() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=collect, daemon=True).start()
    try:
        while True:
            try:
                line = lines.get(timeout=TICK_SECONDS)
            except queue.Empty:
                on_tick()
                continue
            if line is None:
                return process.wait()
            on_line(line)
            on_tick()
    finally:
        end_process(process)


def end_process(process: subprocess.Popen[str]) -> None:
    """End a program that still runs, with time to tidy up where the system has a way to ask for it."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
    else:
        process.terminate()
    try:
        process.wait(timeout=ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
