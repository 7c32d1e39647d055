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
import venv
from collections.abc import Iterator
from pathlib import Path

from tlcore.setup.installing import AGAIN, SetupError, clean_environment, pip_install
from tlcore.setup.python_version import MINIMUM_PYTHON

FOLDER = ".venv"
LOCK = ".venv.lock"
INCOMPLETE = "transfer-lab-incomplete"
NEEDED_BYTES = 4_000_000_000
"""Free space to start with: the finished environment and the downloads that pip unpacks."""

LOCK_POLL_SECONDS = 0.2


def ensure_environment(root: Path, lock_name: str = "requirements.lock") -> Path:
    """Return the Python of an environment that has what a lock file names; make or update it when needed.

    An up-to-date environment costs one look at its stamp and its interpreter. Two commands at once wait for each
    other. Whatever happens, what is left is a whole environment or none.

    Args:
        root: The project's folder; the environment is its `.venv`.
        lock_name: The lock file in that folder.

    Raises:
        SetupError: If it cannot be made; says what is wrong and what to do.
    """
    lock_path, folder = root / lock_name, root / FOLDER
    if is_ready(folder, lock_path):
        return python_path(folder)
    try:
        with exclusive(root / LOCK):
            if not is_ready(folder, lock_path):  # another start may have made it meanwhile
                make_environment(folder, lock_path)
    except OSError as error:
        raise SetupError(os_problem(error, root)) from error
    return python_path(folder)


def make_environment(folder: Path, lock_path: Path) -> None:
    """Create the environment, or bring a working one up to date, and leave nothing half made."""
    check_modules()
    version = environment_version(folder)
    if version is None:
        remove_environment(folder)  # first, since it may free what is needed
        check_space(folder.parent, NEEDED_BYTES)
        print(f"Transfer Lab makes its own environment in {folder}. This happens once and takes minutes.", flush=True)
        version = create_environment(folder)
    else:
        print(f"Transfer Lab brings its environment in {folder} up to date.", flush=True)
    marker, before = folder / INCOMPLETE, installed_packages(folder)
    was_incomplete = marker.exists()
    marker.touch()
    try:
        pip_install(python_path(folder), lock_path)
        for path in lock_path.parent.glob("*.lock"):  # tests need all that the app needs, so the app is ready too
            if pins(path) <= pins(lock_path):
                stamp_path(folder, path).write_text(stamp(path, version), encoding="utf-8")
        was_incomplete = False
    finally:
        if was_incomplete or (installed_packages(folder) != before and not is_stamped(folder, lock_path, version)):
            print("Removing the half-made environment.", flush=True)
            remove_environment(folder)
        else:  # whole, or as it was before
            marker.unlink(missing_ok=True)
    print("The environment is ready.", flush=True)


def create_environment(folder: Path) -> str:
    """Create an empty environment with pip, marked incomplete, and return the version of its Python."""
    folder.mkdir()
    (folder / INCOMPLETE).touch()
    print("Creating the environment.", flush=True)
    try:
        venv.create(folder, with_pip=True)
        said = ""
    except subprocess.CalledProcessError as error:
        said = str(error.output or error)
    except BaseException:
        remove_environment(folder)
        raise
    version = None if said else environment_version(folder, may_be_incomplete=True)
    if version is None:
        remove_environment(folder)
        if "No space left" in said:
            raise SetupError(os_problem(OSError(errno.ENOSPC, "No space left on device"), folder.parent))
        raise SetupError(f"Python could not create an environment in {folder}. It said:\n{said[-1500:]}".rstrip())
    return version


def installed_packages(folder: Path) -> frozenset[str]:
    """Return the packages of an environment with their versions, as the names of their folders."""
    patterns = ("lib/python*/site-packages/*.dist-info", "Lib/site-packages/*.dist-info")
    return frozenset(path.name for pattern in patterns for path in folder.glob(pattern))


def is_ready(folder: Path, lock_path: Path) -> bool:
    """Whether the environment is whole, works, and was made from exactly this lock file."""
    if not any(folder.glob("transfer-lab-*.stamp")):
        return False
    version = environment_version(folder)
    return version is not None and is_stamped(folder, lock_path, version)


def is_stamped(folder: Path, lock_path: Path, python_version: str) -> bool:
    """Whether an environment was made from exactly this lock file."""
    try:
        return stamp_path(folder, lock_path).read_text(encoding="utf-8") == stamp(lock_path, python_version)
    except OSError:
        return False


def stamp(lock_path: Path, python_version: str) -> str:
    """Return the text that stands for a lock file installed for this Python."""
    # Universal newlines: a checkout on Windows gets the same stamp.
    text = lock_path.read_text(encoding="utf-8")
    return f"{hashlib.sha256(text.encode()).hexdigest()} {python_version}\n"


def pins(lock_path: Path) -> frozenset[str]:
    """Return the lines of a lock file that name a package and its version."""
    text = lock_path.read_text(encoding="utf-8")
    return frozenset(re.findall(r"^(\S+==[^\\\n]+)", text, re.MULTILINE))


def stamp_path(folder: Path, lock_path: Path) -> Path:
    """Return where the stamp of one lock file lies in the environment."""
    return folder / f"transfer-lab-{lock_path.stem}.stamp"


def python_path(folder: Path) -> Path:
    """Return the interpreter of an environment on this system."""
    return folder / "Scripts" / "python.exe" if sys.platform == "win32" else folder / "bin" / "python"


def environment_version(folder: Path, may_be_incomplete: bool = False) -> str | None:
    """Return the version of the environment's own Python, such as `3.11`; `None` when there is none to be used.

    Running it is the only sure sign: the Python that it was made from may have been updated or removed since, and the
    folder may come from another machine.
    """
    if (folder / INCOMPLETE).exists() and not may_be_incomplete:
        return None
    question = "import sys, pip; print('%d.%d' % sys.version_info[:2], sys.prefix != sys.base_prefix)"
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
    match = re.match(r"((\d+)\.(\d+)) True", answer.stdout)
    if answer.returncode != 0 or match is None or (int(match[2]), int(match[3])) < MINIMUM_PYTHON:
        return None
    return match[1]


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
def exclusive(path: Path) -> Iterator[None]:
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
        waits = False
        while True:
            try:
                connection.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise OSError(str(error)) from error
            if not waits:
                print("Another start of Transfer Lab is preparing the environment; waiting for it.", flush=True)
                waits = True
            time.sleep(LOCK_POLL_SECONDS)
        yield
