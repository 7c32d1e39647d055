"""What pip gets: one version, the files beside the code, and a console script that starts the app where it is."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from tests.page_tests import ROOT_DIR
from tlcore.setup.console import APP_PATH

PROJECT = tomllib.loads((ROOT_DIR / "pyproject.toml").read_text("utf-8"))


def test_the_files_beside_the_code_are_named_for_the_package() -> None:
    patterns = {
        name: {path for pattern in globs for path in (ROOT_DIR / name).glob(pattern)}
        for name, globs in PROJECT["tool"]["setuptools"]["package-data"].items()
    }
    listed = subprocess.run(["git", "ls-files", "tlcore", "pages"], cwd=ROOT_DIR, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    data = {ROOT_DIR / name for name in listed.stdout.splitlines() if not name.endswith(".py")}
    data |= {ROOT_DIR / name / "py.typed" for name in ("tlcore", "pages")}
    assert data == patterns["tlcore"] | patterns["pages"]


def test_the_version_has_a_place_in_the_changelog() -> None:
    assert f"## {PROJECT['project']['version']}" in (ROOT_DIR / "CHANGELOG.md").read_text("utf-8")


def test_the_console_script_starts_the_app_in_its_own_environment() -> None:
    assert PROJECT["project"]["scripts"] == {"transfer-lab": "tlcore.setup.console:main"}
    assert APP_PATH == ROOT_DIR / "app.py"
    command = [sys.executable, "-c", "from tlcore.setup.console import main; main()", "--help"]
    done = subprocess.run(command, cwd=ROOT_DIR, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "--backup FILE" in done.stdout
