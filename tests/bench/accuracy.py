"""Test accuracy of the default settings on real data sets, one JSON line each."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from tests.conftest import SHARED_DATA
from tlcore.home import ENVIRONMENT_VARIABLE
from tlcore.library import read_dataset, train

# Test accuracy that the default settings must reach.
LIMITS = {"cats_dogs": 0.985, "flowers17": 0.93}


def measure(path: Path, limit: float) -> bool:
    """Train with the default settings, print the result, and return whether it reaches its limit."""
    model = train(read_dataset(path))
    result = {
        "name": path.stem,
        "ours": round(model.test_accuracy, 4),
        "interval": [round(bound, 4) for bound in model.test_accuracy_interval],
        "limit": limit,
        "test_pictures": model.evaluation.total,
    }
    print(json.dumps(result), flush=True)
    return model.test_accuracy >= limit


def main(names: list[str]) -> int:
    """Measure the named data sets, or all; return 0 when every limit was reached."""
    if not SHARED_DATA.is_dir():
        print("The shared data folder is not beside the checkout; there is nothing to measure.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as home:
        os.environ[ENVIRONMENT_VARIABLE] = home
        reached = [
            measure(SHARED_DATA / f"{name}.zip", limit) for name, limit in LIMITS.items() if not names or name in names
        ]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
