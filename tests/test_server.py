"""What a server of the tests said is told where a test fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.page_tests import ROOT_DIR
from tests.server import AppServer, serving
from tlcore.home import DataRoot

FAILING = """
import pytest
from tests.server import AppServer
from tlcore.home import DataRoot

@pytest.fixture(scope="module")
def app(tmp_path_factory):
    server = AppServer(DataRoot(tmp_path_factory.mktemp("served")))
    (server.home.path / "server.log").write_text("ValueError: the cause")
    return server

@pytest.fixture
def page(app):
    return "page"

def test_right(page):
    pass

def test_wrong(page):
    assert page == "another page"
"""


def test_a_failed_test_tells_what_its_server_said(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_runtest_makereport\n")
    (tmp_path / "test_it.py").write_text(FAILING)
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*command, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT_DIR)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("Log of the server `app`") == 1
    assert done.stdout.count("ValueError: the cause") == 1


def test_a_test_that_serves_by_itself_tells_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = DataRoot(tmp_path)
    monkeypatch.setattr(AppServer, "start", lambda self: (self.home.path / "server.log").write_text("the cause"))
    with pytest.raises(ZeroDivisionError) as caught, serving(home):
        raise ZeroDivisionError
    assert caught.value.__notes__ == ["The server said:\nthe cause"]
