"""`venv` and pip at work, and words for the failures that a person can do something about."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from tlcore.errors import TransferLabError

NEEDED_BYTES = 4_000_000_000
"""Free space to start with: the finished environment and the downloads that pip unpacks."""

TIDYING_SECONDS = 10.0

AGAIN = "Then run the same command again."
PROBLEMS = (
    (
        r"No space left|not enough space|Errno 28\b|Errno 122\b|WinError 112\b|quota exceeded",
        f"The disk is full: the environment needs about {NEEDED_BYTES / 1e9:.0f} GB. Free some space, or copy Transfer "
        f"Lab to another disk. {AGAIN}",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError",
        "The package index could not be trusted (its certificate was refused). Check the date of this machine, and ask "
        f"whoever runs the network whether pip needs a certificate or proxy of theirs. {AGAIN}",
    ),
    (
        r"Retrying \(|ConnectionError|ConnectTimeout|ReadTimeout|Name or service not known|Network is unreachable",
        "The packages could not be downloaded: no answer from the package index. Connect this machine to the internet, "
        f"or check the proxy and index that pip is set to use. {AGAIN}",
    ),
    (
        r"Permission denied|Read-only file system|Errno 13\b|Errno 30\b|WinError 5\b|WinError 32\b",
        "The environment cannot be written. Close other programs that use it, or copy Transfer Lab to a folder of your "
        f"own. {AGAIN}",
    ),
    (
        r"No matching distribution found for (\S+)",
        "There is no ready-made {0} for Python {python} on {machine}. Python 3.11, 3.12 and 3.13 (64 bit) are known to "
        "work: install one of them and start the same command with it.",
    ),
    (
        r"DO NOT MATCH THE HASHES",
        "A package arrived that is not the one that was published. Run the same command again; if it stays so, ask "
        "whoever runs the network or the package index what they change in downloads.",
    ),
)
"""What pip or the system say, as a pattern, and what to tell the person; the first that fits."""

PIP = """
import os, runpy, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
"""pip that ends with the process that started it, even a killed one: the next start must be alone with the folder."""


class SetupError(TransferLabError):
    """The environment cannot be made on this machine as it is."""


def explain(said: str) -> str:
    """Say why the environment cannot be made and what to do next.

    Args:
        said: What pip or the system said.
    """
    for pattern, sentence in PROBLEMS:
        if found := re.search(pattern, said, re.IGNORECASE):
            machine = f"{platform.system()} {platform.machine()}"
            return sentence.format(*found.groups(), python=platform.python_version(), machine=machine)
    return f"The environment could not be made:\n{said[-1500:]}".rstrip()


def clean_environment() -> dict[str, str]:
    """Return the environment variables for programs of the environment, without what would mix in other packages."""
    dropped = ("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__")
    return {name: value for name, value in os.environ.items() if name not in dropped}


def check_modules() -> None:
    """Raise `SetupError` when this Python comes without the parts that make environments."""
    missing = [name for name in ("venv", "ensurepip", "sqlite3") if importlib.util.find_spec(name) is None]
    if missing:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"This Python cannot make environments: its module `{missing[0]}` is missing. On Debian and Ubuntu install "
            f"it with `sudo apt install python3-venv` (or python{version}-venv); elsewhere install Python from "
            f"python.org. {AGAIN}"
        )


def create_empty(folder: Path) -> None:
    """Create an environment that has pip and nothing else.

    Raises:
        SetupError: If `venv` cannot; says why and what to do.
    """
    import venv

    try:
        venv.create(folder, symlinks=sys.platform != "win32", with_pip=True)
    except subprocess.CalledProcessError as error:
        raise SetupError(explain(f"{error}\n{(error.output or b'').decode(errors='replace')}")) from error


def pip_install(python_path: Path, lock_path: Path) -> None:
    """Install what a lock file lists; pip shows its progress itself.

    pip's own configuration (index, proxy, certificates, constraints) holds as usual.

    Args:
        python_path: Python of the environment.
        lock_path: Packages with their hashes.

    Raises:
        SetupError: If pip fails; says why and what to do.
    """
    command = [
        *(str(python_path), "-I", "-X", "utf8", "-c", PIP),
        *("install", "--require-hashes", "--no-input", "--disable-pip-version-check"),
        # Nobody who starts the app should need a compiler.
        *("--only-binary", ":all:"),
        # Most modules of the packages are never imported; Python compiles the others when they are.
        "--no-compile",
        *("-r", str(lock_path)),
    ]
    # A person's `user = true` makes pip refuse to work in an environment.
    variables = {**clean_environment(), "PIP_USER": "0"}
    said = []
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=variables,
    ) as pip:
        assert pip.stdin is not None
        assert pip.stderr is not None
        try:
            for line in pip.stderr:
                sys.stderr.write(line)
                said.append(line)
            pip.wait()
        except KeyboardInterrupt:
            with contextlib.suppress(subprocess.TimeoutExpired):
                pip.wait(timeout=TIDYING_SECONDS)  # it hears Ctrl-C too, and removes what it was downloading
            raise
        finally:
            pip.stdin.close()
            pip.wait()
    if pip.returncode != 0:
        raise SetupError(explain("".join(said)))
