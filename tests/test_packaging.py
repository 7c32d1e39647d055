"""What pip gets: one version, the files beside the code, and a console script that starts the app where it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from tests.page_tests import ROOT_DIR
from tlcore.setup.console import APP_PATH

PROJECT = tomllib.loads((ROOT_DIR / "pyproject.toml").read_text("utf-8"))


def test_the_version_has_a_place_in_the_changelog() -> None:
    assert f"## {PROJECT['project']['version']}" in (ROOT_DIR / "CHANGELOG.md").read_text("utf-8")


def test_the_console_script_starts_the_app_in_its_own_environment() -> None:
    assert PROJECT["project"]["scripts"] == {"transfer-lab": "tlcore.setup.console:main"}
    assert APP_PATH == ROOT_DIR / "app.py"
    command = [sys.executable, "-c", "from tlcore.setup.console import main; main()", "--help"]
    done = subprocess.run(command, cwd=ROOT_DIR, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "--backup FILE" in done.stdout


def test_the_wheel_has_all_that_the_app_needs_and_finds_its_pages(tmp_path: Path) -> None:
    source, unpacked = tmp_path / "source", tmp_path / "site"
    for name in ("tlcore", "pages", ".streamlit"):
        shutil.copytree(ROOT_DIR / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT_DIR / name, source)
    offline = ("--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--wheel-dir", str(tmp_path))
    subprocess.run([sys.executable, "-m", "pip", "wheel", *offline, str(source)], check=True)
    wheel_path = next(tmp_path.glob("transfer_lab-*.whl"))
    with zipfile.ZipFile(wheel_path) as wheel:
        wheel.extractall(unpacked)

    def is_ours(path: Path) -> bool:
        return path.suffix != ".pyc" and path.is_file()

    for name in ("tlcore", "pages"):
        shipped = {path.relative_to(unpacked) for path in (unpacked / name).rglob("*") if is_ours(path)}
        assert shipped == {path.relative_to(source) for path in (source / name).rglob("*") if is_ours(path)}
    assert len(list(unpacked.glob("*.data/data/share/transfer-lab/.streamlit/config.toml"))) == 1
    metadata = next(unpacked.glob("*.dist-info/METADATA")).read_text("utf-8")
    assert "Requires-Dist: streamlit==" in metadata
    assert "License-Expression: Apache-2.0" in metadata

    code = f"import sys; sys.path.insert(0, {str(unpacked)!r}); import app; print(app.app.script_path)"
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == unpacked / "pages" / "router.py"
