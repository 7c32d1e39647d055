"""`python3 -m tests.bench NAME`: make the environment, then measure in it."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = "requirements-dev.lock"
BENCHMARKS = ("accuracy", "export", "resume", "speed", "understand")


def main() -> None:
    """Run the benchmark that the command line names, in the project's own environment."""
    from tlcore.setup.python_version import check_python

    check_python()
    from tlcore.errors import TransferLabError
    from tlcore.setup.environment import ensure_environment
    from tlcore.setup.installing import clean_environment

    parser = argparse.ArgumentParser(prog="python3 -m tests.bench", description="Measure Transfer Lab on this machine.")
    parser.add_argument("benchmark", choices=BENCHMARKS)
    parser.add_argument("names", nargs="*", help="only these measurements")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try `speed`; the figures mean little")
    options = parser.parse_args()
    if options.quick and options.benchmark != "speed":
        parser.error("--quick goes with `speed` only")
    os.chdir(str(ROOT))
    try:
        python = str(ensure_environment(ROOT, REQUIREMENTS))
    except TransferLabError as error:
        sys.exit("\n" + str(error))
    command = [python, "-m", "tests.bench." + options.benchmark, *options.names]
    command += ["--quick"] if options.quick else []
    sys.exit(subprocess.run(command, env=clean_environment()).returncode)


if __name__ == "__main__":
    main()
