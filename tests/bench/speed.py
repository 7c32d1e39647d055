"""`python3 -m tests.bench speed`: every measurement in a process of its own, JSON lines, then a table."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.measures import table
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.quiet import silence_tensorflow

MEASUREMENTS = {
    "features": "tests.bench.engines",
    "head": "tests.bench.trainings",
    "head_augmented": "tests.bench.trainings",
    "finetune_last": "tests.bench.trainings",
    "finetune_stage": "tests.bench.trainings",
    "again": "tests.bench.second_run",
    "preview": "tests.bench.answers",
    "predict": "tests.bench.answers",
    "pages": "tests.bench.viewers",
    "memory": "tests.bench.worker_memory",
}
"""The module of each measurement; it has a function `measure_<name>`."""


def measure(name: str, *, quick: bool) -> None:
    """Measure one thing in this process and print its JSON lines."""
    from tests.bench.material import FULL, QUICK

    silence_tensorflow()
    function = getattr(importlib.import_module(MEASUREMENTS[name]), f"measure_{name}")
    for measurement in function(QUICK if quick else FULL, DataRoot.configured()):
        print(measurement.to_json(), flush=True)


def run_apart(name: str, home: DataRoot, *, quick: bool) -> tuple[list[dict[str, object]], bool]:
    """Measure one thing in a new process, so that no measurement finds the memory and threads of another.

    Returns:
        Its results, and whether it came to its end.
    """
    command = [sys.executable, "-m", "tests.bench.speed", "--here", name, *(["--quick"] if quick else [])]
    variables = {**os.environ, ENVIRONMENT_VARIABLE: str(home.path)}
    lines: list[dict[str, object]] = []
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        for text in process.stdout:
            # Libraries print to the same place.
            if text.startswith('{"name": '):
                print(text, end="", flush=True)
                lines.append(json.loads(text))
            else:
                print(text, end="", file=sys.stderr, flush=True)
    return lines, process.returncode == 0 and bool(lines)


def exit_code(lines: Sequence[dict[str, object]], broken: Sequence[str]) -> int:
    """Return 0 when every measurement came to its end and reached its limit, else 1."""
    return 0 if not broken and all(line["reached"] for line in lines) else 1


def main(arguments: Sequence[str]) -> int:
    """Measure the named things, or all; return the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.bench speed")
    parser.add_argument("names", nargs="*", metavar="name", help=f"only these: {', '.join(MEASUREMENTS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it; the figures mean little")
    parser.add_argument("--here", choices=MEASUREMENTS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.here:
        measure(options.here, quick=options.quick)
        return 0
    unknown = [name for name in options.names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"there is no measurement `{unknown[0]}`; there are {', '.join(MEASUREMENTS)}")

    from tests.conftest import SHARED_DATA

    if not SHARED_DATA.is_dir():
        print("The shared data folder is not beside the checkout; there is nothing to measure.", file=sys.stderr)
        return 2
    lines, broken = [], []
    with tempfile.TemporaryDirectory(prefix="transfer-lab-bench-", ignore_cleanup_errors=True) as folder:
        for name in options.names or MEASUREMENTS:
            print(f"measuring {name}", file=sys.stderr, flush=True)
            found, is_complete = run_apart(name, DataRoot(Path(folder)), quick=options.quick)
            lines += found
            broken += [] if is_complete else [name]
    print("\n" + table(lines))
    if options.quick:
        print("These are small sizes, to try the benchmark; the figures mean little.")
    for name in broken:
        print(f"{name}: ended with an error, see above")
    return exit_code(lines, broken)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
