"""`python3 -m tests.bench understand [part ...]`: the figures of the Understand and Predict pages as JSON lines."""

from __future__ import annotations

import sys

from tests.bench.parts import print_parts

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


def main(names: list[str]) -> int:
    """Print the lines of the named parts, of all when none is named; returns as `print_parts`."""
    return print_parts("understand", PARTS, names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
