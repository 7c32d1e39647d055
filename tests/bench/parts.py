"""Benchmarks of several parts: each is a module of its own, and its figures are printed as JSON lines."""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence

from tlcore.home import ENVIRONMENT_VARIABLE


def print_parts(group: str, parts: Sequence[str], names: Sequence[str]) -> int:
    """Print the lines of the named parts, of all when none is named; each works in a data root of its own.

    Args:
        group: How names of modules begin: part NAME is `tests.bench.GROUP_NAME`, whose `measure()` yields lines.
        parts: All parts.
        names: Those to print.

    Returns:
        0 when every figure that something is asked of was reached, 1 when one was missed, 2 for an unknown name.
    """
    unknown = sorted(set(names) - set(parts))
    if unknown:
        print(f"no part `{unknown[0]}`; there are {', '.join(parts)}", file=sys.stderr)
        return 2
    missed = False
    for name in names or parts:
        with tempfile.TemporaryDirectory() as home:
            os.environ[ENVIRONMENT_VARIABLE] = home
            for line in importlib.import_module(f"tests.bench.{group}_{name}").measure():
                print(json.dumps(line), flush=True)
                missed |= line.get("reached") is False
    return 1 if missed else 0
