"""The rows of the Augment page name every setting, in ranges that the settings accept."""

from dataclasses import fields, replace

import pytest

from tlcore.config import FILL_MODES, AugmentationConfig
from tlcore.settings.augmentation_controls import CONTROLS, PRESET_SPECS, PRESETS, AugmentationSpec
from tlcore.settings.words import CHOICES

NUMBERS = [control for control in CONTROLS if control.kind in ("slider", "range")]


def test_every_setting_has_exactly_one_control() -> None:
    assert sorted(control.field for control in CONTROLS) == sorted(field.name for field in fields(AugmentationConfig))


def test_every_fill_mode_has_exactly_one_row() -> None:
    assert tuple(CHOICES["fill_mode"]) == FILL_MODES


@pytest.mark.parametrize("control", NUMBERS, ids=lambda control: control.field)
def test_settings_accept_both_ends_of_every_control(control: AugmentationSpec) -> None:
    for value in (control.minimum, control.maximum):
        chosen = (value, value) if control.kind == "range" else value
        replace(AugmentationConfig(), **{control.field: chosen})


@pytest.mark.parametrize("control", NUMBERS, ids=lambda control: control.field)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_set_by_hand(control: AugmentationSpec, name: str) -> None:
    value = getattr(PRESETS[name], control.field)
    for number in value if control.kind == "range" else (value,):
        assert control.minimum <= number <= control.maximum
        steps = (number - control.minimum) / control.step
        assert steps == pytest.approx(round(steps))


def test_presets_differ_and_none_changes_nothing() -> None:
    assert len({row.config for row in PRESET_SPECS}) == len(PRESET_SPECS)
    assert PRESETS["none"].is_identity


def test_the_tutorial_preset_is_that_of_the_tutorials() -> None:
    assert PRESETS["tutorial"] == AugmentationConfig(
        rotation_range=20,
        width_shift_range=0.2,
        height_shift_range=0.2,
        zoom_range=0.2,
        horizontal_flip=True,
        fill_mode="nearest",
    )


def test_presets_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        PRESETS["none"] = AugmentationConfig(rotation_range=90)  # type: ignore[index]
