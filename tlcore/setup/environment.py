"""The `.venv` of the two commands: one that is whole and up to date, or none."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tlcore.setup.installing import (
    NEEDED_BYTES,
    SetupError,
    check_modules,
    clean_environment,
    create_empty,
    explain,
    pip_install,
)
from tlcore.setup.python_version import MINIMUM_PYTHON

FOLDER = ".venv"
STAMP = "transfer-lab.lock"
"""In the environment: what it was made from. Empty while that is not all there, absent in someone else's."""

LOCK_POLL_SECONDS = 0.2


def ensure_environment(root: Path, lock_name: str = "requirements.lock") -> Path:
    """Return the Python of an environment that has what a lock file lists; make or update it when needed.

    An up-to-date environment costs one look at its stamp and its interpreter. Two commands at once wait for each
    other. Whatever happens, what is left is a whole environment or none.

    Args:
        root: The project's folder; the environment is its `.venv`.
        lock_name: The lock file in that folder: all requirements, those of requirements too, with their hashes.

    Raises:
        SetupError: If it cannot be made; says what is wrong and what to do.
    """
    folder, lock_path = root / FOLDER, root / lock_name
    if not is_ready(folder, lock_path):
        check_modules()
        try:
            with exclusive(root / ".venv.lock"):
                if not is_ready(folder, lock_path):  # another start may have made it meanwhile
                    make_environment(folder, lock_path)
        except OSError as error:
            raise SetupError(explain(str(error))) from error
    return python_path(folder)


def make_environment(folder: Path, lock_path: Path) -> None:
    """Create the environment, or bring a working one up to date, and leave nothing half made."""
    started = time.monotonic()
    stamp_path = folder / STAMP
    saved, before = read_stamp(folder), None
    if saved and working_python(folder):
        print(f"Transfer Lab brings its environment in {folder} up to date.", flush=True)
        before = installed(folder)
    else:
        remove_environment(folder)  # first, since it may free what is needed
        if shutil.disk_usage(folder.parent).free < NEEDED_BYTES:
            raise SetupError(explain("No space left on device"))
        print(f"Transfer Lab makes its own environment in {folder}, once; it takes a few minutes.", flush=True)
        folder.mkdir()
    try:
        stamp_path.write_text("", encoding="utf-8")
        if before is None:
            create_empty(folder)
        pip_install(python_path(folder), lock_path)
        lines = [f"# Python {working_python(folder)}", *sorted(pinned(lock_path))]
        stamp_path.write_text("\n".join(lines), encoding="utf-8")
    except BaseException:
        if installed(folder) == before:  # pip changes nothing before it has downloaded everything
            stamp_path.write_text(saved, encoding="utf-8")
        else:
            print("Removing the half-made environment.", flush=True)
            remove_environment(folder)
        raise
    print(f"The environment is ready ({time.monotonic() - started:.0f} s).", flush=True)


def is_ready(folder: Path, lock_path: Path) -> bool:
    """Whether the environment is whole, works, and has everything that this lock file lists."""
    stamp = set(read_stamp(folder).splitlines())
    return pinned(lock_path) <= stamp and f"# Python {working_python(folder)}" in stamp


def pinned(lock_path: Path) -> set[str]:
    """Return what a lock file lists, line by line: packages and hashes."""
    lines = lock_path.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def read_stamp(folder: Path) -> str:
    """Return what the environment was made from; empty when there is none, or not a whole one."""
    try:
        return (folder / STAMP).read_text(encoding="utf-8")
    except OSError:
        return ""


def installed(folder: Path) -> set[tuple[str, int]]:
    """Return the packages of an environment, with the times in nanoseconds when they were last changed."""
    found = [path for pattern in ("lib/python*", "Lib") for path in folder.glob(f"{pattern}/site-packages/*")]
    return {(path.name, path.lstat().st_mtime_ns) for path in found if path.name != "__pycache__"}


def python_path(folder: Path) -> Path:
    """Return the interpreter of an environment on this system."""
    return folder / "Scripts" / "python.exe" if sys.platform == "win32" else folder / "bin" / "python"


def working_python(folder: Path) -> str | None:
    """Ask the environment's own Python for its version, such as `3.12`; `None` when it cannot be used.

    Running it is the only sure sign: the Python that it was made from may have been updated or removed since, and the
    folder may come from another machine.
    """
    question = (
        f"import sys, pip; assert sys.version_info >= {MINIMUM_PYTHON} and sys.prefix != sys.base_prefix;"
        "print('%d.%d' % sys.version_info[:2])"
    )
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
    return answer.stdout.strip() if answer.returncode == 0 else None


def remove_environment(folder: Path) -> None:
    """Remove an environment; a removal that is cut short leaves none either, and the next one clears up after it.

    Raises:
        SetupError: If it was not made by Transfer Lab.
    """
    trash = folder.with_name(folder.name + ".old")
    if trash.exists():
        shutil.rmtree(trash)
    if not folder.exists():
        return
    if any(folder.iterdir()) and not any(folder.glob("transfer-lab*")):  # version 0.4 had stamps of other names
        raise SetupError(
            f"{folder} was not made by Transfer Lab. Delete it or move it away and run the same command again; or, if "
            "it has the requirements, use it as it is: run its Python with `app.py --installed`."
        )
    folder.rename(trash)
    shutil.rmtree(trash)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock that only one process can have; it is free again when its holder ends, however it ends.

    The lock is an SQLite transaction on an empty file: the standard library's one lock that works alike on Linux,
    macOS and Windows and that a killed process cannot leave behind.

    Raises:
        OSError: If the folder cannot be written.
    """
    import sqlite3  # `check_modules` says it plainly where it is missing

    path.touch()  # a plain OSError where SQLite would be vague
    is_waiting = False
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        while True:
            try:
                connection.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise OSError(str(error)) from error
            if not is_waiting:
                print("Another start of Transfer Lab is preparing the environment; waiting for it.", flush=True)
                is_waiting = True
            time.sleep(LOCK_POLL_SECONDS)
        yield
