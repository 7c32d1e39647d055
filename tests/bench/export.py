"""`python3 -m tests.bench export [part ...]`: the figures of models that leave as JSON lines."""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

from tlcore.home import ENVIRONMENT_VARIABLE

PARTS = tuple(sorted(path.stem.removeprefix("export_") for path in Path(__file__).parent.glob("export_*.py")))
"""Each is a module `tests.bench.export_NAME` whose `measure()` yields lines."""


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
            for line in importlib.import_module(f"tests.bench.export_{name}").measure():
                print(json.dumps(line), flush=True)
                missed |= line.get("reached") is False
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
