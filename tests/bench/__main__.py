"""`python3 -m tests.bench accuracy`: make the environment, then measure inside it."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ("accuracy",)


def main() -> None:
    """Run the benchmark that the command line names, in the project's own environment."""
    from tlcore.python_version import check_python

    check_python()
    from tlcore.environment import clean_environment, ensure_environment
    from tlcore.errors import TransferLabError

    parser = argparse.ArgumentParser(prog="python3 -m tests.bench", description="Measure Transfer Lab on this machine.")
    parser.add_argument("benchmark", choices=BENCHMARKS)
    parser.add_argument("names", nargs="*", help="only these measurements")
    options = parser.parse_args()
    os.chdir(str(ROOT))
    try:
        python = str(ensure_environment(ROOT, "requirements-dev.txt"))
    except TransferLabError as error:
        sys.exit("\n" + str(error))
    command = [python, "-m", f"tests.bench.{options.benchmark}", *options.names]
    sys.exit(subprocess.run(command, env=clean_environment()).returncode)


if __name__ == "__main__":
    main()
