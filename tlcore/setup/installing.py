"""pip with its own progress, and its failures put into words."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from tlcore.errors import TransferLabError

AGAIN = "Then run the same command again."
ENDING_SECONDS = 10.0


class SetupError(TransferLabError):
    """The environment cannot be made on this machine as it is."""


def clean_environment() -> dict[str, str]:
    """Return the environment variables for programs of the environment, without what would mix in other packages."""
    dropped = ("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__")
    return {name: value for name, value in os.environ.items() if name not in dropped}


def pip_install(python_path: Path, lock_path: Path) -> None:
    """Install exactly what a lock file names.

    pip's own configuration (index, proxy, certificates) holds as usual, and it shows its own progress on a terminal.

    Args:
        python_path: Python of the environment.
        lock_path: Every package with its version and hashes.

    Raises:
        SetupError: If pip fails; says why and what to do.
    """
    command = [
        *(str(python_path), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-deps"),
        # Nobody who starts the app should need a compiler.
        *("--only-binary", ":all:", "--require-hashes", "-r", str(lock_path)),
        # Most modules of the packages are never imported; Python compiles the others when they are.
        "--no-compile",
    ]
    if not sys.stdout.isatty():
        command.append("--quiet")
    # A person's `user = true` makes pip refuse to work in an environment.
    variables = {**clean_environment(), "PIP_USER": "0", "PYTHONUTF8": "1"}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8", errors="replace", env=variables
    )
    try:
        _, said = process.communicate()
    finally:  # an interruption ends pip too
        _end(process)
    if process.returncode != 0:
        raise SetupError(problem(said))


def problem(said: str) -> str:
    """Say why pip failed and what to do next.

    Args:
        said: What it wrote to standard error.
    """
    if re.search(r"No space left on device|not enough space|Errno 28|Disk quota exceeded", said, re.IGNORECASE):
        return f"The disk became full while the packages were installed. Free some space. {AGAIN}"
    if re.search(r"CERTIFICATE_VERIFY_FAILED|SSLError", said):
        return (
            "The package index could not be trusted (its certificate was refused). Check the date of this machine, "
            f"and ask whoever runs the network whether pip needs a certificate or proxy of theirs. {AGAIN}"
        )
    if re.search(r"Retrying \(|ConnectionError|ConnectTimeout|Name or service not known|Network is unreachable", said):
        return (
            "The packages could not be downloaded: no answer from the package index. Connect this machine to the "
            f"internet, or check the proxy and index that pip is set to use. {AGAIN}"
        )
    if re.search(r"Permission denied|Access is denied|Errno 13|WinError 5", said):
        return (
            "The environment cannot be written. Close other programs that use it, or copy Transfer Lab to a folder "
            f"of your own. {AGAIN}"
        )
    if missing := re.search(r"No matching distribution found for (\S+)", said):
        return (
            f"There is no ready-made {missing[1]} for Python {platform.python_version()} on "
            f"{platform.system()} {platform.machine()}. Python 3.11, 3.12 and 3.13 (64 bit) are known to work: "
            "install one of them and start the same command with it."
        )
    lines = said.strip().splitlines()
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-5:]
    return "The packages could not be installed. pip said:\n  " + "\n  ".join(errors[:5])


def _end(process: subprocess.Popen[str]) -> None:
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
