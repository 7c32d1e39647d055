"""What tries the promises: each has its row in the README, and whatever happens, nothing of a trial stays behind."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.soak import promises
from tests.soak.confirmed import Confirmed
from tests.soak.promises import PROMISES
from tlcore.config import TrainingConfig
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.projects import create_project, rename_project, update_config

ROOT = Path(__file__).resolve().parents[1]
MOST_SECONDS = 20 * 60


def rows() -> dict[str, list[str]]:
    """Return the names of the tests of each promise, as the README has them."""
    text = (ROOT / "README.md").read_text("utf-8").split("## Promises")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ") and "`: " in line]
    return {re.findall(r"`(\w+)`", cell[1])[0]: re.findall(r"`(test_\w+\.py)`", cell[-1]) for cell in cells}


def test_every_promise_stands_in_the_readme_with_tests_that_are_there() -> None:
    assert rows().keys() == PROMISES.keys()
    assert [name for names in rows().values() for name in names if not (ROOT / "tests" / name).is_file()] == []


def test_all_together_take_twenty_minutes_at_most() -> None:
    assert sum(PROMISES.values()) <= MOST_SECONDS


@pytest.mark.parametrize("name", PROMISES)
def test_every_promise_can_be_tried(name: str) -> None:
    assert callable(importlib.import_module(f"tests.soak.{name}").measure)


def test_an_unknown_promise_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.promises", "eternity"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no promise `eternity`; there are line, " in done.stderr


def test_a_trial_that_does_not_end_is_ended_with_all_that_it_started(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sleeper = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    monkeypatch.setattr(promises, "sys", type("Sys", (), {"executable": sys.executable}))
    real_popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda _command, **options: real_popen([sys.executable, "-c", sleeper], **options)
    )
    started = time.monotonic()
    assert not promises._try("line", home, 1.0)
    assert time.monotonic() - started < 60
    line = json.loads(capsys.readouterr().out)
    assert (line["what"], line["how"], line["reached"]) == ("line: tried to its end", "it took more than 1 s", False)
    assert not [process for process in psutil.process_iter() if works_for(process, home)]


def works_for(process: psutil.Process, home: DataRoot) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(ENVIRONMENT_VARIABLE) == str(home.path)
    except psutil.Error:
        return False


def test_what_was_confirmed_and_is_not_there_is_named(home: DataRoot, tmp_path: Path) -> None:
    engine = open_database(home)
    project = create_project(engine, "ann", "0")
    said = tmp_path / "said.txt"
    confirmed = Confirmed(engine, home, project.id, said)
    rename_project(engine, project.id, "3")
    update_config(engine, project.id, lambda config: type(config)(training=TrainingConfig(seed=2)))
    said.write_text("name 3 \nsettings 2 \nname 4", "ascii")  # the last line was cut, so nobody was told
    assert confirmed.lost_at_last() == []
    assert confirmed.last_step() == 3
    said.write_text(f"name 4 \nsettings 3 \nversion 1 1\npicture 1 {64 * '0'}\n", "ascii")
    lost = confirmed.lost_at_last()
    assert lost[:3] == [
        "the name of step 4: it is 3",
        "the settings of step 3: they are of 2",
        "version 1: it is None",
    ]
    assert [re.match(r"the (\w+) of step 1: ", one)[1] for one in lost[3:]] == ["version", "picture"]  # type: ignore[index]
