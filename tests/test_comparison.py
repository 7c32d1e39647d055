"""What changed between two runs, in one line of plain words, and whether it made a difference."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import pytest

from tlcore.config import (
    AugmentationConfig,
    FineTuningConfig,
    HeadConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
)
from tlcore.results.comparison import NOTHING_CHANGED, changes_between, config_changes, differences, verdict
from tlcore.settings.augmentation_controls import PRESETS
from tlcore.settings.words import field_name, field_value
from tlcore.storage.jobs import JobStatus
from tlcore.storage.runs import Run, RunSummary

OTHER = RunConfig(
    augmentation=AugmentationConfig(
        rotation_range=20.0,
        width_shift_range=0.1,
        height_shift_range=0.1,
        shear_range=5.0,
        zoom_range=0.1,
        brightness_range=(0.5, 1.5),
        contrast_range=0.1,
        channel_shift_range=10.0,
        horizontal_flip=True,
        vertical_flip=True,
        fill_mode="constant",
        cval=9.0,
    ),
    model=ModelConfig(
        backbone="vgg16",
        image_size=128,
        resize_mode="pad",
        pixel_scaling="divide_255",
        first_trainable="block4",
        also_frozen=("block5",),
        weights="random",
        head=HeadConfig(pooling="flatten", dense_units=(64, 32), dropout=0.5, l2=0.001),
    ),
    training=TrainingConfig(
        epochs=7,
        batch_size=8,
        optimizer="sgd",
        learning_rate=0.01,
        patience=None,
        views=8,
        new_views_every_epoch=True,
        seed=3,
        schedule="cosine",
        warmup_epochs=2,
        label_smoothing=0.1,
        balance="weights",
        fine_tuning=FineTuningConfig("block3", epochs=4, learning_rate=1e-5),
    ),
)
"""Every field differs from the default."""


def make_run(number: int, config: RunConfig | None = None, *, version: int = 1, correct: int | None = None) -> Run:
    job = JobStatus("id", "run", "p", "finished", "", "", 0, 0, "", 1, None, None, None, None, 0.0, 0.0, 1.0)
    summary = None if correct is None else RunSummary(4, 5, 0.9, correct, 100, 2562, 3_370_000, 12.0)
    return Run(job, number, version, config or RunConfig(), summary)


def with_training(**changes: object) -> RunConfig:
    return replace(RunConfig(), training=replace(TrainingConfig(), **changes))


def with_model(**changes: object) -> RunConfig:
    return replace(RunConfig(), model=replace(ModelConfig(), **changes))


def leaf_names(config: object) -> list[str]:
    names = []
    for row in fields(config):  # type: ignore[arg-type]
        value = getattr(config, row.name)
        names += leaf_names(value) if is_dataclass(value) else [row.name]
    return names


def test_every_field_that_differs_is_found_by_its_path() -> None:
    found = list(differences(RunConfig(), OTHER))
    assert [one.path.rpartition(".")[2] for one in found] == leaf_names(RunConfig())
    assert "model.head.dropout" in {one.path for one in found}


def test_the_same_settings_on_the_same_pictures_change_nothing() -> None:
    assert not list(differences(OTHER, OTHER))
    assert changes_between(make_run(1, OTHER), make_run(2, OTHER)) == NOTHING_CHANGED


def test_a_changed_rate_and_a_thawed_block_stand_in_one_line() -> None:
    before = with_model(first_trainable="top")
    after = replace(before, model=replace(before.model, first_trainable="block7a"))
    after = replace(after, training=replace(after.training, learning_rate=0.0003))
    line = changes_between(make_run(1, before), make_run(2, after))
    assert line == "learning rate 0.003 to 0.0003, block7a thawed"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"first_trainable": None}, {"first_trainable": "block7a"}, "block7a and top thawed"),
        ({"first_trainable": "block6d"}, {"first_trainable": None}, "3 blocks from block6d to top frozen"),
        ({"first_trainable": "block6d"}, {"first_trainable": "block6d", "also_frozen": ("top",)}, "top frozen"),
        ({}, {"backbone": "vgg16"}, "backbone EfficientNet-Lite0 to VGG16"),
        ({}, {"weights": "random"}, "first weights ImageNet to random"),
        ({}, {"image_size": 96}, "picture size 224 pixels to 96 pixels"),
        (
            {"pixel_scaling": "divide_255"},
            {},
            "pixel scaling divided by 255 (a common mistake) to as the backbone expects",
        ),
    ],
)
def test_changes_of_the_model_in_words(before: dict[str, object], after: dict[str, object], words: str) -> None:
    assert config_changes(with_model(**before), with_model(**after)) == [words]


def test_another_backbone_says_what_learns_now() -> None:
    thawed = with_model(backbone="vgg16", first_trainable="block5")
    assert config_changes(RunConfig(), thawed)[-1] == "now block5 learns too"
    assert config_changes(thawed, RunConfig())[-1] == "now only the head learns"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({}, {"patience": None}, "early stopping after 5 epochs to off"),
        ({}, {"new_views_every_epoch": True}, "new views in every epoch on"),
        ({}, {"label_smoothing": 0.1}, "label smoothing 0 % to 10 %"),
        ({}, {"optimizer": "sgd"}, "optimizer Adam to SGD with momentum 0.9"),
        (
            {},
            {"fine_tuning": FineTuningConfig("block7a", 10, 1e-5)},
            "second phase none to 10 epochs from block7a on with learning rate 0.00001, smoothly down to zero (cosine)",
        ),
        (
            {"fine_tuning": FineTuningConfig("block7a", 10, 1e-5)},
            {"fine_tuning": FineTuningConfig("block7a", 10, 1e-4)},
            "second phase: learning rate 0.00001 to 0.0001",
        ),
    ],
)
def test_changes_of_the_training_in_words(before: dict[str, object], after: dict[str, object], words: str) -> None:
    assert config_changes(with_training(**before), with_training(**after)) == [words]


def test_augmentation_that_comes_or_goes_is_one_change() -> None:
    augmented = RunConfig(augmentation=PRESETS["tutorial"])
    (added,) = config_changes(RunConfig(), augmented)
    assert added.startswith("augmentation added (turn 20°, ")
    assert config_changes(augmented, RunConfig()) == ["augmentation left out"]
    more = replace(augmented, augmentation=replace(augmented.augmentation, rotation_range=40.0, horizontal_flip=False))
    assert config_changes(augmented, more) == ["turn 20° to 40°", "mirror left and right off"]


def test_another_data_set_version_is_a_change() -> None:
    assert changes_between(make_run(1), make_run(2, version=3)) == "data set version 1 to 3"


def test_a_field_without_words_of_its_own_is_read_as_it_is_written() -> None:
    assert (field_name("mixup_alpha"), field_value("mixup_alpha", 0.25)) == ("mixup alpha", "0.25")


def test_every_configuration_can_be_told_from_the_default() -> None:
    words = config_changes(RunConfig(), OTHER)
    assert all(words)
    assert len(words) > 20


@pytest.mark.parametrize(
    ("correct", "words"),
    [
        ((90, 94), "Run 2 is 4.0 points better, but the intervals overlap: the difference may be chance"),
        ((94, 90), "Run 1 is 4.0 points better, but"),
        ((60, 95), "Run 2 is 35.0 points better, and the intervals do not overlap"),
        ((90, 90), "the same number"),
    ],
)
def test_the_verdict_counts_with_chance(correct: tuple[int, int], words: str) -> None:
    before, after = (make_run(number, correct=right) for number, right in enumerate(correct, start=1))
    assert words in verdict(before, after, same_test=True)
    assert "different pictures" in verdict(before, after, same_test=False)


def test_without_a_test_there_is_no_verdict() -> None:
    assert verdict(make_run(1), make_run(2, correct=90), same_test=True) == ""
