"""Find a Chromium or Chrome for the browser tests, or get one (standard library only)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ENVIRONMENT_VARIABLE = "TRANSFER_LAB_CHROMIUM"
COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
INSTALL_SECONDS = 600


def find_chromium() -> Path | None:
    """Return a browser that is installed, the one named by `TRANSFER_LAB_CHROMIUM` first."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(named) if Path(named).is_file() else None
    for command in COMMANDS:
        if found := shutil.which(command):
            return Path(found)
    program_folders = [os.environ.get(name, "") for name in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")]
    candidates = [
        Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
        Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
        *(Path(folder, "Google/Chrome/Application/chrome.exe") for folder in program_folders if folder),
        *(Path(folder, "Microsoft/Edge/Application/msedge.exe") for folder in program_folders if folder),
    ]
    return next((path for path in candidates if path.is_file()), None)


def ensure_chromium(python_path: Path) -> Path | None:
    """Return a browser: an installed one, Debian's package where we may install it, else Playwright's own.

    Args:
        python_path: Python of an environment that has Playwright.
    """
    found = find_chromium() or playwright_chromium(python_path)
    if found is None and may_use_apt():
        print("Installing Chromium from Debian's packages.", flush=True)
        variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        if succeeds(["apt-get", "-q", "update"], variables):
            succeeds(["apt-get", "-q", "install", "-y", "chromium"], variables)
        found = find_chromium()
    if found is None:
        print("Fetching Playwright's own Chromium.", flush=True)
        succeeds([str(python_path), "-m", "playwright", "install", "chromium"], dict(os.environ))
        found = playwright_chromium(python_path)
    return found


def may_use_apt() -> bool:
    """Whether this is Debian and we are root; on Ubuntu the package is only a pointer to another shop."""
    try:
        release = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return False
    is_root = sys.platform != "win32" and os.geteuid() == 0
    return is_root and "ID=debian" in release.splitlines() and shutil.which("apt-get") is not None


def playwright_chromium(python_path: Path) -> Path | None:
    """Return Playwright's own Chromium where it has been fetched."""
    question = (
        "from playwright.sync_api import sync_playwright\n"
        "with sync_playwright() as playwright:\n"
        "    print(playwright.chromium.executable_path)\n"
    )
    answer = subprocess.run([str(python_path), "-c", question], capture_output=True, encoding="utf-8")
    path = Path(answer.stdout.strip() or "-")
    return path if answer.returncode == 0 and path.is_file() else None


def succeeds(command: Sequence[str], variables: dict[str, str]) -> bool:
    """Run a command quietly; show the end of what it said when it fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=variables,
            timeout=INSTALL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{command[0]} did not work: {error}", flush=True)
        return False
    if done.returncode != 0:
        print(done.stdout[-2000:], flush=True)
    return done.returncode == 0
