"""`python3 -m tests.bench understand [part ...]`: the figures of the Understand and Predict pages as JSON lines."""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile

from tests.bench.figures import Line
from tlcore.home import ENVIRONMENT_VARIABLE

PARTS = (
    "backbones",
    "doctor",
    "backgrounds",
    "coach",
    "figures",
    "confusion",
    "neighbours",
    "map",
    "why",
    "reruns",
    "predict",
    "damage",
    "weights",
    "teacher",
    "sharing",
    "storage",
)
"""Each is a module `tests.bench.understand_NAME` whose `measure()` yields lines."""


def main(names: list[str]) -> int:
    """Print the lines of the named parts, of all when none is named.

    Returns:
        0 when every figure that something is asked of was reached, 1 when one was missed, 2 for an unknown name.
    """
    unknown = sorted(set(names) - set(PARTS))
    if unknown:
        print(f"no part `{unknown[0]}`; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    missed = False
    for name in names or PARTS:
        with tempfile.TemporaryDirectory() as home:
            os.environ[ENVIRONMENT_VARIABLE] = home
            for line in importlib.import_module(f"tests.bench.understand_{name}").measure():
                missed |= _print(line)
    return 1 if missed else 0


def _print(line: Line) -> bool:
    print(json.dumps(line), flush=True)
    return line.get("reached") is False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
