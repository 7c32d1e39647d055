"""The speed benchmark's own arithmetic: limits, turns, percentiles, lines and table. Nothing is measured here."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.export import PARTS as EXPORT_PARTS
from tests.bench.figures import figure
from tests.bench.measures import Measurement, interleaved, medians, percentile, rounded, table
from tests.bench.speed import MEASUREMENTS, exit_code
from tests.bench.understand import PARTS

ROOT = Path(__file__).resolve().parents[1]


def test_a_ratio_above_one_means_that_ours_is_better():
    faster = Measurement("engine", "images/s", ours=200.0, limit=2.0, theirs=80.0, better="more")
    shorter = Measurement("training", "s", ours=4.0, limit=20.0, theirs=100.0)
    assert faster.ratio == pytest.approx(2.5)
    assert shorter.ratio == pytest.approx(25.0)
    assert faster.is_reached
    assert shorter.is_reached


def test_a_ratio_below_its_limit_is_missed():
    assert not Measurement("training", "s", ours=4.0, limit=20.0, theirs=79.0).is_reached
    assert Measurement("training", "s", ours=4.0, limit=20.0, theirs=80.0).is_reached


def test_a_limit_on_ours_alone_is_a_ceiling_or_a_floor():
    assert Measurement("predict", "ms", ours=15.0, limit=15.0, limit_on="ours").is_reached
    assert not Measurement("predict", "ms", ours=15.1, limit=15.0, limit_on="ours").is_reached
    near = Measurement("accuracy", "test accuracy", 0.975, 0.97, theirs=0.98, better="more", limit_on="ours")
    assert near.is_reached
    assert not Measurement("accuracy", "test accuracy", 0.96, 0.97, 0.98, "more", "ours").is_reached


def test_a_limit_on_the_ratio_needs_another_side():
    with pytest.raises(ValueError, match="`theirs` must be given"):
        Measurement("predict", "ms", ours=5.0, limit=2.0)


def test_a_line_has_the_agreed_fields_and_those_of_further_peers():
    line = json.loads(
        Measurement("features", "images/s", 201.23456, 2.0, 80.0, "more", details={"onnx": 160}).to_json()
    )
    assert list(line)[:5] == ["name", "ours", "theirs", "ratio", "limit"]
    assert line["ours"] == 201.2
    assert line["ratio"] == 2.515
    assert line["unit"] == "images/s"
    assert line["reached"] is True
    assert line["onnx"] == 160


def test_a_line_without_another_side_has_no_ratio():
    line = json.loads(Measurement("preview", "ms", 12.0, 30.0, limit_on="ours").to_json())
    assert line["theirs"] is None
    assert line["ratio"] is None


def test_the_ways_take_turns_and_warming_up_does_not_count():
    calls: list[str] = []
    seconds = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert sorted(calls[:2]) == ["a", "b"]
    assert calls[2:] == ["a", "b", "b", "a", "a", "b"]
    assert [len(values) for values in seconds.values()] == [3, 3]


def test_medians_ignore_one_slow_round():
    assert medians({"a": [1.0, 1.1, 90.0], "b": [2.0, 2.0, 2.0]}) == {"a": 1.1, "b": 2.0}


def test_a_percentile_is_a_value_that_was_measured():
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 95) == 95.0
    assert percentile([7.0], 95) == 7.0
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0


def test_figures_are_rounded_to_what_was_measured():
    assert rounded(123456.0) == 123500.0
    assert rounded(0.00123456) == 0.001235


def test_the_table_says_which_limit_was_missed():
    measurements = (
        Measurement("head", "s", 10.0, 20.0, 100.0),
        Measurement("predict", "ms", 9.0, 15.0, limit_on="ours"),
    )
    head, predict = table([json.loads(measurement.to_json()) for measurement in measurements]).splitlines()[1:]
    assert "ratio >= 20" in head
    assert head.endswith("MISSED")
    assert "ours <= 15" in predict
    assert predict.endswith("reached")


def test_the_exit_code_is_zero_only_when_everything_was_measured_and_reached():
    assert exit_code([{"reached": True}], []) == 0
    assert exit_code([{"reached": True}, {"reached": False}], []) == 1
    assert exit_code([{"reached": True}], ["memory"]) == 1


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_every_measurement_has_its_function(name: str):
    path = ROOT.joinpath(*MEASUREMENTS[name].split(".")).with_suffix(".py")
    functions = [node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]
    assert f"measure_{name}" in functions


def test_an_unknown_name_is_refused_with_the_known_ones():
    command = [sys.executable, "-m", "tests.bench.speed", "velocity"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no measurement `velocity`" in done.stderr
    assert "head_augmented" in done.stderr


def test_a_figure_says_what_is_asked_of_it_and_whether_that_is_reached():
    assert figure("share found", 0.91234, "60 pictures", at_least=0.9) == {
        "what": "share found",
        "measured": 0.9123,
        "how": "60 pictures",
        "at least": 0.9,
        "reached": True,
    }
    assert figure("seconds", 1.01, "one", at_most=1.0)["reached"] is False
    assert "reached" not in figure("seconds", 1.01, "one")


@pytest.mark.parametrize("name", [f"understand_{name}" for name in PARTS] + [f"export_{name}" for name in EXPORT_PARTS])
def test_every_part_of_a_benchmark_measures(name: str):
    path = ROOT / f"tests/bench/{name}.py"
    functions = [node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]
    assert "measure" in functions


def test_an_unknown_part_is_refused_with_the_known_ones():
    command = [sys.executable, "-m", "tests.bench.understand", "mood"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no part `mood`" in done.stderr
    assert "doctor" in done.stderr
