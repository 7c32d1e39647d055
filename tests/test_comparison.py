"""What changed between two runs, in one line of plain words, and whether one model is better than another."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from scipy.stats import binomtest

from tlcore.config import (
    AugmentationConfig,
    FineTuningConfig,
    HeadConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
)
from tlcore.results.comparison import (
    NOTHING_CHANGED,
    PairedComparison,
    changes_between,
    compare_answers,
    config_changes,
    differences,
    many_comparisons,
    verdict,
)
from tlcore.results.evaluation import Evaluation
from tlcore.settings.augmentation_controls import PRESETS
from tlcore.settings.words import field_name, field_value
from tlcore.storage.jobs import JobStatus
from tlcore.storage.runs import Run

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


def make_run(number: int, config: RunConfig | None = None, *, version: int = 1) -> Run:
    job = JobStatus("id", "run", "p", "finished", "", "", 0, 0, "", 1, None, None, None, None, 0.0, 0.0, 1.0)
    return Run(job, number, version, config or RunConfig(), None)


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


def graded(*right: bool, first_picture: int = 0, names: tuple[str, ...] = ("cat", "dog")) -> Evaluation:
    """Return answers to as many pictures of cats, right or wrong as said."""
    probabilities = np.array([[0.9, 0.1] if one else [0.1, 0.9] for one in right], np.float32).reshape(-1, 2)
    images = tuple(str(first_picture + number) for number in range(len(right)))
    return Evaluation(names, images, np.zeros(len(right), np.int64), probabilities)


def answered(correct: int, total: int) -> Evaluation:
    return graded(*[True] * correct, *[False] * (total - correct))


RUNS = ("Run 1", "Run 2")


def test_seven_pictures_that_only_one_run_gets_right_are_hardly_chance() -> None:
    words = verdict(answered(357, 380), answered(364, 380), RUNS, "validation")
    assert words == (
        "Of 380 validation pictures Run 2 got 7 more right than Run 1: 7 only Run 2, 0 only Run 1. By chance "
        "alone such a difference comes in 2 of 100 cases (exact McNemar test, p = 0.016): hardly chance."
    )
    assert verdict(answered(364, 380), answered(357, 380), RUNS[::-1], "validation") == words


def test_the_same_difference_among_pictures_that_differ_a_lot_may_be_chance() -> None:
    first = graded(*[True] * 40, *[False] * 47)
    second = graded(*[False] * 40, *[True] * 47)
    words = verdict(first, second, RUNS, "test")
    assert "Of 87 test pictures Run 2 got 7 more right than Run 1: 47 only Run 2, 40 only Run 1." in words
    assert "it may well be chance. More pictures would tell." in words


@pytest.mark.parametrize(
    ("more", "cases"), [(2, "50 of 100"), (8, "8 of 1,000"), (11, "fewer than 1 of 1,000"), (1, "100 of 100")]
)
def test_a_probability_is_a_number_of_cases(more: int, cases: str) -> None:
    assert f"comes in {cases} cases" in verdict(answered(0, 20), answered(more, 20), RUNS, "test")


def test_equal_runs_are_not_ranked() -> None:
    assert verdict(graded(True, False), graded(True, False), RUNS, "test") == (
        "Of 2 test pictures Run 1 and Run 2 got the very same right."
    )
    assert verdict(graded(True, False), graded(False, True), ("the group", "Run 2"), "test") == (
        "Of 2 test pictures the group and Run 2 got the same number right: 1 only the group, 1 only Run 2."
    )


def test_only_pictures_that_both_answered_are_compared() -> None:
    older, newer = graded(True, True, False, True), graded(False, False, True, first_picture=2)
    assert "Of the 2 validation pictures that both answered Run 1 got 1 more right than" in verdict(
        older, newer, RUNS, "validation"
    )
    assert compare_answers(older, newer) == PairedComparison(2, 1, 0, 1.0)
    apart = graded(True, first_picture=9)
    assert "answered different test pictures, so they cannot be compared" in verdict(older, apart, RUNS, "test")
    moved = graded(True, True, False, names=("dog", "cat"))
    assert compare_answers(older, moved).total == 0, "a picture that is now of another class is another question"


def test_another_name_of_a_class_changes_no_comparison() -> None:
    renamed = graded(True, False, True, True, names=("kitten", "dog"))
    assert compare_answers(graded(True, True, False, True), renamed) == PairedComparison(4, 1, 1, 1.0)


def test_several_comparisons_give_chance_several_chances() -> None:
    real = verdict(answered(0, 20), answered(9, 20), RUNS, "test")
    luck = verdict(answered(0, 20), answered(1, 20), RUNS, "test")
    assert many_comparisons([real]) == many_comparisons([luck] * 3) == ""
    assert "in up to 15 of 100 cases" in many_comparisons([luck, real, luck])
    assert "in up to 100 of 100 cases" in many_comparisons([real] * 30)


def test_the_p_value_is_that_of_the_exact_test() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        first, second = (graded(*(random.random(60) < skill)) for skill in (0.7, 0.85))
        compared = compare_answers(first, second)
        assert compared.only_first - compared.only_second == first.correct - second.correct
        expected = binomtest(compared.only_first, compared.only_first + compared.only_second).pvalue
        assert compared.p_value == pytest.approx(expected, rel=1e-6, abs=0)
