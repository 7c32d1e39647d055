"""How many runs a machine bears, with how many cores each, and settings that are no numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tlcore.errors import RunError
from tlcore.features import engines
from tlcore.jobs import slots
from tlcore.jobs.processes import ROOT_DIR
from tlcore.jobs.slots import SLOTS_VARIABLE, THREADS_VARIABLE, check_settings, num_slots, shares, slots_for, slots_of

BAD = ["0", "-1", "two", "1.5", "1e3", "²", "1 2"]


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SLOTS_VARIABLE, raising=False)
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)


def give(monkeypatch: pytest.MonkeyPatch, cores: int, memory_gb: float) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(slots, "memory_bytes", lambda: int(memory_gb * 1e9))


@pytest.mark.parametrize(
    ("cores", "memory_gb", "expected"),
    [(1, 2, 1), (2, 25, 1), (3, 8, 1), (4, 8, 2), (4, 4, 1), (8, 16, 4), (16, 16, 5), (32, 128, 16)],
)
def test_slots_follow_from_cores_and_memory(cores: int, memory_gb: float, expected: int) -> None:
    assert slots_for(cores, memory_gb) == expected


@pytest.mark.parametrize(
    ("cores", "is_shared", "expected"),
    [
        (2, False, ("1", "2")),
        (2, True, ("1", "1")),  # one core for the pages
        (8, False, ("1", "8")),  # somebody alone has the whole machine
        (4, True, ("2", "2")),
        (8, True, ("4", "2")),
    ],
)
def test_cores_are_dealt_out_to_the_slots(
    monkeypatch: pytest.MonkeyPatch, cores: int, is_shared: bool, expected: tuple[str, str]
) -> None:
    give(monkeypatch, cores, 64)
    assert shares(is_shared=is_shared) == dict(zip((SLOTS_VARIABLE, THREADS_VARIABLE), expected, strict=True))


def test_what_is_set_holds_and_the_rest_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, 8, 64)
    monkeypatch.setenv(SLOTS_VARIABLE, "2")
    assert shares(is_shared=False) == {SLOTS_VARIABLE: "2", THREADS_VARIABLE: "4"}
    monkeypatch.setenv(THREADS_VARIABLE, "3")
    assert shares(is_shared=True) == {SLOTS_VARIABLE: "2", THREADS_VARIABLE: "3"}


def test_a_run_may_use_the_cores_that_the_start_gave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, 8, 64)
    for name, value in shares(is_shared=True).items():
        monkeypatch.setenv(name, value)
    assert (num_slots(), engines.num_compute_threads()) == (4, 2)
    assert (slots_of("run"), slots_of("import"), slots_of("prediction")) == (4, 1, 1)


@pytest.mark.parametrize("text", BAD)
@pytest.mark.parametrize("variable", [SLOTS_VARIABLE, THREADS_VARIABLE])
def test_a_setting_that_is_no_number_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, text)
    for refuse in (check_settings, lambda: shares(is_shared=True)):
        with pytest.raises(RunError, match=f"{variable} must be a whole number from 1 on. It is now "):
            refuse()
    assert num_slots() == 1  # what is in line already goes on


def test_an_empty_setting_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SLOTS_VARIABLE, " ")
    check_settings()
    assert num_slots() == 1


def test_the_app_does_not_start_with_such_a_setting() -> None:
    started = subprocess.run(
        [sys.executable, "app.py", "--no-browser"],
        cwd=ROOT_DIR,
        env={**os.environ, SLOTS_VARIABLE: "many"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert started.returncode == 1
    assert f"The setting {SLOTS_VARIABLE} must be a whole number" in started.stderr
    assert "Traceback" not in started.stderr


def test_the_start_needs_no_package_for_it() -> None:
    program = "from tlcore.jobs.slots import shares; print(shares(is_shared=True))"
    subprocess.run([sys.executable, "-S", "-c", program], cwd=ROOT_DIR, check=True, timeout=60)


def test_a_container_has_the_memory_that_it_may_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = slots.memory_bytes()
    assert whole > 2**28
    for text, expected in (("max\n", slots._machine_bytes()), ("1000000\n", 1_000_000)):
        (tmp_path / "limit").write_text(text)
        monkeypatch.setattr(slots, "MEMORY_LIMIT_FILES", (tmp_path / "limit", tmp_path / "missing"))
        assert slots.memory_bytes() == expected
