"""The console script `transfer-lab` that pip installs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

APP_PATH = Path(__file__).resolve().parents[2] / "app.py"


def main() -> None:
    """Start `app.py` in the environment that this script belongs to."""
    command = [sys.executable, str(APP_PATH), "--installed", *sys.argv[1:]]
    if sys.platform != "win32":
        os.execv(sys.executable, command)  # signals then reach the app itself
    sys.exit(subprocess.run(command).returncode)
