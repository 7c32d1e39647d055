"""The speed of backbones on this machine: measured without weights, once, and kept when somebody stops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tlcore.backbones.registry import BackboneSpec, get_backbone
from tlcore.config import HeadConfig, ModelConfig
from tlcore.features import engines
from tlcore.features.engines import EngineSpeeds, read_engine_speeds, this_machine, write_engine_speeds
from tlcore.home import DataRoot
from tlcore.model.cut import plan_model
from tlcore.pricing.backbone_speeds import backbone_milliseconds, measure_backbones
from tlcore.progress import Phase, StopRequested


class Notes:
    """A progress that takes notes, and asks to stop at a phase when told to."""

    def __init__(self, stop_at: str = "") -> None:
        self.phases: list[tuple[str, str, int, int]] = []
        self._stop_at = stop_at

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        if (name, subject, done, total) not in self.phases:
            self.phases.append((name, subject, done, total))
        if subject == self._stop_at:
            raise StopRequested

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        raise AssertionError("nothing is trained")

    def check(self) -> None:
        pass


@pytest.fixture
def specs(monkeypatch: pytest.MonkeyPatch) -> list[BackboneSpec]:
    """Two networks that are built quickly, the larger one first."""
    monkeypatch.setattr(engines, "TRIAL_SECONDS", 0.05)
    return [get_backbone("small_cnn-8-16"), get_backbone("small_cnn-4-8")]


@pytest.mark.parametrize("pooling", ["average", "flatten"])
def test_a_speed_comes_from_a_measurement_and_from_nowhere_else(home: DataRoot, pooling: str) -> None:
    spec = get_backbone("vgg16")
    assert backbone_milliseconds(spec, home) is None
    config = ModelConfig(spec.name, spec.default_size, head=HeadConfig(pooling))  # type: ignore[arg-type]
    write_engine_speeds(plan_model(config).prefix, EngineSpeeds(this_machine(), litert=8.0, tensorflow=10.0), home)
    assert backbone_milliseconds(spec, home) == pytest.approx(100)


def test_speeds_of_another_machine_do_not_count(home: DataRoot) -> None:
    spec = get_backbone("vgg16")
    config = ModelConfig(spec.name, spec.default_size)
    write_engine_speeds(plan_model(config).prefix, EngineSpeeds("another", litert=8.0, tensorflow=10.0), home)
    assert backbone_milliseconds(spec, home) is None


def test_every_backbone_is_measured_once_and_small_ones_first(specs: list[BackboneSpec], home: DataRoot) -> None:
    notes, again = Notes(), Notes()
    measure_backbones(specs, notes, home)
    assert notes.phases == [
        ("measuring", specs[1].title, 0, 2),
        ("measuring", specs[0].title, 1, 2),
    ]
    assert all(0 < (backbone_milliseconds(spec, home) or 0) < 1000 for spec in specs)
    measure_backbones(specs, again, home)
    assert again.phases == []


def test_only_the_speed_is_kept(specs: list[BackboneSpec], home: DataRoot) -> None:
    measure_backbones(specs[:1], Notes(), home)
    assert [path.suffix for path in (home.path / "compiled").iterdir()] == [".json"]


def test_whoever_stops_keeps_what_was_measured(specs: list[BackboneSpec], home: DataRoot) -> None:
    with pytest.raises(StopRequested):
        measure_backbones(specs, Notes(stop_at=specs[0].title), home)
    assert backbone_milliseconds(specs[1], home) is not None
    assert backbone_milliseconds(specs[0], home) is None


def test_a_backbone_of_the_registry_needs_no_weights(
    home: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(engines, "TRIAL_SECONDS", 0.05)
    spec = replace(get_backbone("mobilenet"), default_size=32)
    measure_backbones([spec], Notes(), home)
    assert backbone_milliseconds(spec, home) is not None
    assert (
        read_engine_speeds(plan_model(ModelConfig(spec.name, 32)).prefix, home) is None
    )  # its weights were never here
