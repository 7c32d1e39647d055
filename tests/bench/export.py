"""`python3 -m tests.bench export [part ...]`: the figures of models that leave as JSON lines."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.bench.parts import print_parts

PARTS = tuple(sorted(path.stem.removeprefix("export_") for path in Path(__file__).parent.glob("export_*.py")))


def main(names: list[str]) -> int:
    """Print the lines of the named parts, of all when none is named; returns as `print_parts`."""
    return print_parts("export", PARTS, names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
