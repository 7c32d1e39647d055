"""Ask whether faults are known of the packages that the app installs, where somebody can be asked."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECONDS_TO_CONNECT = 3
SECONDS_FOR_ONE = 15
SECONDS_FOR_ALL = 120

NOT_DONE = "audit: not done; nobody who knows of faults in packages can be reached from here"


def audit(python: Path, lock_path: Path, variables: Mapping[str, str]) -> str:
    """Return what is known of the locked packages, in lines to print.

    One package is asked about first: without an answer to that, nothing more is asked, so that a computer without
    internet waits a few seconds at most. Nothing found here fails the tests: what others learn about a package on some
    day says nothing about what was changed in this checkout, and there may be no mended version yet.

    Args:
        python: The interpreter of an environment that has pip-audit.
        lock_path: The lock file.
        variables: The environment variables of the process.
    """
    # Each package's own line begins at the margin, its hashes follow indented.
    entries = re.split(r"\n(?=\S)", lock_path.read_text(encoding="utf-8"))
    first = next(entry for entry in entries if not entry.startswith("#"))
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder) / "one.lock"
        one.write_text(first.rstrip("\n") + "\n", encoding="utf-8")
        if not _answered(_ask(python, one, variables, SECONDS_FOR_ONE)):
            return NOT_DONE
    return report(_ask(python, lock_path, variables, SECONDS_FOR_ALL))


def report(packages: list[dict[str, Any]]) -> str:
    """Return the lines about what pip-audit answered, package by package."""
    answered = _answered(packages)
    if not answered:
        return NOT_DONE
    unknown = len(packages) - len(answered)
    without = f", left out: {unknown}" if unknown else ""
    lines = [
        f"  {package['name']} {package['version']}: {fault['id']}, "
        + (f"mended in {', '.join(fault['fix_versions'])}" if fault["fix_versions"] else "not mended yet")
        for package in answered
        for fault in package["vulns"]
    ]
    if not lines:
        return f"audit: no faults are known; packages asked about: {len(answered)}{without}"
    return "\n".join(
        [f"audit: FAULTS ARE KNOWN of what is installed; packages asked about: {len(answered)}{without}:", *lines]
    )


def _answered(packages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # About the others nobody could say anything; the last line of pip-audit would call them free of faults.
    return [package for package in packages if "vulns" in package]


def _ask(python: Path, lock_path: Path, variables: Mapping[str, str], seconds: float) -> list[dict[str, Any]]:
    """Return what pip-audit says about each package of a lock file; empty where it cannot say anything."""
    options = ("--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json")
    command = [str(python), "-m", "pip_audit", "-r", str(lock_path), "--timeout", str(SECONDS_TO_CONNECT), *options]
    try:
        done = subprocess.run(command, env=dict(variables), capture_output=True, encoding="utf-8", timeout=seconds)
        packages = json.loads(done.stdout)["dependencies"]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return []
    return list(packages)
