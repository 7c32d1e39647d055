"""`python3 -m tests.soak [promise ...]`: make the environment, then try each promise in it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Try the promises that the command line names, all when it names none."""
    from tlcore.setup.python_version import check_python

    check_python()
    from tlcore.errors import TransferLabError
    from tlcore.setup.environment import ensure_environment
    from tlcore.setup.installing import clean_environment

    os.chdir(str(ROOT))
    try:
        python = str(ensure_environment(ROOT, "requirements-dev.lock"))
    except TransferLabError as error:
        sys.exit("\n" + str(error))
    command = [python, "-m", "tests.soak.promises", *sys.argv[1:]]
    sys.exit(subprocess.run(command, env=clean_environment()).returncode)


if __name__ == "__main__":
    main()
