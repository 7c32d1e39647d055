"""`python3 -m tests`: make the environment, find a browser, then lint, types, import rules and every test."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

IMPORT_RULES = "from importlinter.cli import lint_imports_command; lint_imports_command()"
CHECKS = (
    ("format", ("-m", "ruff", "format", "--check", ".")),
    ("lint", ("-m", "ruff", "check", ".")),
    ("types", ("-m", "mypy")),
    ("import rules", ("-c", IMPORT_RULES, "--no-cache")),
)
"""What each check is called, and the arguments for the environment's Python."""

MAX_WORKERS = 4
"""Test processes at the same time; each may hold TensorFlow, about 1 GB."""

MEMORY_DIR = Path("/dev/shm")
MEMORY_GB = 4
"""What the tests write at most, with some to spare; most of it goes again at once."""


def place_for_files() -> "str | None":
    """Return a new folder in memory for what the tests write, or `None` where the system has none with enough room.

    The database and other files are written through to the disk, on purpose; tests that wait for that take twice as
    long. What they look at is the same in memory.
    """
    try:
        room = shutil.disk_usage(str(MEMORY_DIR)).free
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
        # Besides the files each process needs memory.
        if room < MEMORY_GB * 1e9 or available < (MEMORY_GB + 2 * MAX_WORKERS) * 1e9:
            return None
        return tempfile.mkdtemp(prefix="transfer-lab-tests-", dir=str(MEMORY_DIR))
    except (OSError, StopIteration, ValueError):
        return None


def run_everything(pytest_arguments: "list[str]") -> int:
    """Run the checks, then the tests, and return an exit code that is zero only when all passed."""
    from tests.audit import audit
    from tests.chromium import ENVIRONMENT_VARIABLE, ensure_chromium
    from tlcore.setup.environment import ensure_environment
    from tlcore.setup.installing import clean_environment

    os.chdir(str(ROOT))
    python = ensure_environment(ROOT, "requirements-dev.lock")
    variables = clean_environment()
    chromium = ensure_chromium(python)
    if chromium is None:
        print("No Chromium or Chrome was found or could be installed: the browser tests are skipped.", flush=True)
        print(f"Install one, or name it in {ENVIRONMENT_VARIABLE}.", flush=True)
    else:
        variables[ENVIRONMENT_VARIABLE] = str(chromium)

    failed = []
    for name, arguments in CHECKS:
        started = time.monotonic()
        done = subprocess.run([str(python), *arguments], env=variables)
        passed = done.returncode == 0
        print(
            "{}: {} ({:.1f} s)".format(name, "passed" if passed else "FAILED", time.monotonic() - started), flush=True
        )
        failed += [] if passed else [name]
    print(audit(python, ROOT / "requirements.lock", variables), flush=True)
    if failed:
        print("Before the tests: {} failed, see above.".format(", ".join(failed)), flush=True)
    # One more than processors: many tests wait, for a browser, a worker or a page.
    workers = ("-n", str(min((os.cpu_count() or 1) + 1, MAX_WORKERS)), "--dist", "worksteal")
    with contextlib.ExitStack() as stack:
        place = place_for_files()
        if place is not None:
            stack.callback(shutil.rmtree, place, ignore_errors=True)
            workers += ("--basetemp", place)
        tests = subprocess.run([str(python), "-m", "pytest", *workers, *pytest_arguments], env=variables)
    return tests.returncode or (1 if failed else 0)


def main() -> None:
    """Run `run_everything`, with every foreseen problem as a plain sentence."""
    from tlcore.setup.python_version import check_python

    check_python()
    from tlcore.errors import TransferLabError

    try:
        sys.exit(run_everything(sys.argv[1:]))
    except TransferLabError as error:
        sys.exit("\n" + str(error))
    except KeyboardInterrupt:
        sys.exit("\nStopped.")


if __name__ == "__main__":
    main()
