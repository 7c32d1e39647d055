"""The `.venv` of the two commands: whether it is there and up to date, and how it is made without leftovers."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tlcore.setup.installing import AGAIN, SetupError, clean_environment, pip_install, run_watched
from tlcore.setup.progress_line import ProgressLine, duration
from tlcore.setup.python_version import MINIMUM_PYTHON

FOLDER = ".venv"
LOCK = ".venv.lock"
INCOMPLETE = "transfer-lab-incomplete"
NEEDED_BYTES = 4_000_000_000
"""Free space to start with: the finished environment and the downloads that pip unpacks."""

LOCK_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class ProbeSummary:
    """What a working environment says about itself."""

    python_version: str
    pip_version: tuple[int, int]


def ensure_environment(root: Path, requirements_name: str = "requirements.txt") -> Path:
    """Return the Python of an environment that has the requirements; make or update it when needed.

    An up-to-date environment costs one look at its stamp and its interpreter. Two commands at once wait for each
    other. Whatever happens, what is left is a whole environment or none.

    Args:
        root: The project's folder; the environment is its `.venv`.
        requirements_name: The requirements file in that folder; may include others with `-r`.

    Raises:
        SetupError: If it cannot be made; says what is wrong and what to do.
    """
    requirements_path = root / requirements_name
    folder = root / FOLDER
    if is_ready(folder, requirements_path):
        return python_path(folder)
    progress = ProgressLine()
    try:
        with exclusive(root / LOCK, progress):
            if not is_ready(folder, requirements_path):  # another start may have made it meanwhile
                make_environment(folder, requirements_path, progress)
    except OSError as error:
        raise SetupError(os_problem(error, root)) from error
    return python_path(folder)


def make_environment(folder: Path, requirements_path: Path, progress: ProgressLine) -> None:
    """Create the environment, or bring a working one up to date, and leave nothing half made."""
    started = time.monotonic()
    check_modules()
    marker = folder / INCOMPLETE
    try:
        probe = probe_environment(folder)
        if probe is None:
            remove_environment(folder)  # first, since it may free what is needed
            check_space(folder.parent, NEEDED_BYTES)
            print(f"Transfer Lab makes its own environment in {folder}. This happens once.", flush=True)
            probe = create_environment(folder, progress)
        else:
            print(f"Transfer Lab brings its environment in {folder} up to date.", flush=True)
        pip_install(
            python_path(folder),
            requirements_path,
            on_change=marker.touch,
            progress=progress,
            has_raw_progress=probe.pip_version >= (24, 1),
        )
        for path in included_files(requirements_path):
            stamp_path(folder, path).write_text(stamp(path, probe.python_version), encoding="utf-8")
        marker.unlink(missing_ok=True)
    finally:
        if marker.exists():
            progress.finish("Removing the half-made environment.")
            remove_environment(folder)
    print(f"The environment is ready ({duration(time.monotonic() - started)}).", flush=True)


def create_environment(folder: Path, progress: ProgressLine) -> ProbeSummary:
    """Create an empty environment with pip, marked incomplete until its packages are in."""
    folder.mkdir()
    (folder / INCOMPLETE).touch()
    said: list[str] = []
    command = [sys.executable, "-m", "venv", str(folder)]
    started = time.monotonic()
    code = run_watched(
        command,
        clean_environment(),
        said.append,
        lambda: progress.show(f"Creating the environment, {duration(time.monotonic() - started)}"),
    )
    progress.finish()
    probe = probe_environment(folder, may_be_incomplete=True) if code == 0 else None
    if probe is None:
        text = "".join(said)
        if "No space left" in text:
            raise SetupError(os_problem(OSError(errno.ENOSPC, "No space left on device"), folder.parent))
        raise SetupError(f"Python could not create an environment in {folder}. It said:\n{text[-1500:]}".rstrip())
    return probe


def is_ready(folder: Path, requirements_path: Path) -> bool:
    """Whether the environment is whole, works, and was made from exactly these requirements."""
    try:
        saved = stamp_path(folder, requirements_path).read_text(encoding="utf-8")
    except OSError:
        return False
    probe = probe_environment(folder)
    return probe is not None and saved == stamp(requirements_path, probe.python_version)


def stamp(requirements_path: Path, python_version: str) -> str:
    """Return the text that stands for these requirements installed for this Python."""
    digest = hashlib.sha256()
    for path in included_files(requirements_path):
        # Universal newlines: a checkout on Windows gets the same stamp.
        digest.update(path.read_text(encoding="utf-8").encode() + b"\0")
    return f"{digest.hexdigest()} {python_version}\n"


def included_files(requirements_path: Path) -> list[Path]:
    """Return a requirements file and those that it includes with `-r`, itself first."""
    found = [requirements_path]
    for path in found:
        for name in re.findall(r"^-r\s+(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            if (included := path.parent / name) not in found:
                found.append(included)
    return found


def stamp_path(folder: Path, requirements_path: Path) -> Path:
    """Return where the stamp of one requirements file lies in the environment."""
    return folder / f"transfer-lab-{requirements_path.stem}.stamp"


def python_path(folder: Path) -> Path:
    """Return the interpreter of an environment on this system."""
    return folder / "Scripts" / "python.exe" if sys.platform == "win32" else folder / "bin" / "python"


def probe_environment(folder: Path, may_be_incomplete: bool = False) -> ProbeSummary | None:
    """Ask the environment's own Python who it is; `None` when there is none that can be used.

    Running it is the only sure sign: the Python that it was made from may have been updated or removed since, and the
    folder may come from another machine.
    """
    if (folder / INCOMPLETE).exists() and not may_be_incomplete:
        return None
    question = "import sys, pip; print('%d.%d' % sys.version_info[:2], pip.__version__, sys.prefix != sys.base_prefix)"
    try:
        answer = subprocess.run(
            [str(python_path(folder)), "-I", "-c", question],
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            env=clean_environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"(\d+)\.(\d+) (\d+)\.(\d+)\S* True", answer.stdout)
    if answer.returncode != 0 or match is None or (int(match[1]), int(match[2])) < MINIMUM_PYTHON:
        return None
    return ProbeSummary(f"{match[1]}.{match[2]}", (int(match[3]), int(match[4])))


def remove_environment(folder: Path) -> None:
    """Remove an environment, its mark of being incomplete last, so that a removal cut short is noticed."""
    if not folder.exists():
        return
    marker = folder / INCOMPLETE
    is_ours = marker.exists() or any(folder.glob("transfer-lab-*.stamp")) or not any(folder.iterdir())
    if not is_ours:
        raise SetupError(
            f"{folder} was not made by Transfer Lab and cannot be used. Delete it or move it away. {AGAIN}"
        )
    marker.touch()
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != marker:
            path.unlink()
    marker.unlink()
    folder.rmdir()


def check_modules() -> None:
    """Raise `SetupError` when this Python comes without the parts that make environments."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"This Python cannot make environments: its module `{missing[0]}` is missing. On Debian and Ubuntu install "
            f"it with `sudo apt install python3-venv` (or python{version}-venv); elsewhere install Python from "
            f"python.org. {AGAIN}"
        )


def check_space(root: Path, needed_bytes: int) -> None:
    """Raise `SetupError` when the disk has too little space for the environment."""
    free_bytes = shutil.disk_usage(root).free
    if free_bytes < needed_bytes:
        raise SetupError(
            f"Transfer Lab needs about {needed_bytes / 1e9:.0f} GB of free space for its environment; the disk of "
            f"{root} has {free_bytes / 1e9:.1f} GB. Free some space or copy Transfer Lab to another disk. {AGAIN}"
        )


def os_problem(error: OSError, root: Path) -> str:
    """Put an operating system's error into words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk of {root} is full. Free about {NEEDED_BYTES / 1e9:.0f} GB. {AGAIN}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"The folder {root} cannot be written, so Transfer Lab cannot keep its environment there. "
            f"Copy Transfer Lab to a folder of your own. {AGAIN}"
        )
    return f"The environment could not be made in {root} ({error}). Close programs that use it. {AGAIN}"


@contextlib.contextmanager
def exclusive(path: Path, progress: ProgressLine) -> Iterator[None]:
    """Hold a lock that only one process can have; it is free again when its holder ends, however it ends.

    The lock is an SQLite transaction on an empty file: the standard library's one lock that works alike on Linux,
    macOS and Windows and that a killed process cannot leave behind.

    Raises:
        SetupError: If this Python comes without SQLite, which the app needs too.
        OSError: If the folder cannot be written.
    """
    try:
        import sqlite3
    except ImportError as error:
        raise SetupError(f"This Python comes without SQLite. Install Python from python.org. {AGAIN}") from error
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o666))  # a plain OSError where SQLite would be vague
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        while True:
            try:
                connection.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise OSError(str(error)) from error
            progress.show("Another start of Transfer Lab is preparing the environment; waiting for it.")
            time.sleep(LOCK_POLL_SECONDS)
        progress.finish()
        yield
