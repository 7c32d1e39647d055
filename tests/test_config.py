"""What a person chose: checked on creation, JSON both ways."""

import json
import math
from dataclasses import replace

import pytest

from tlcore.config import AugmentationConfig, HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import ClassLabel, Dataset, Item
from tlcore.documents import read_document, to_json
from tlcore.errors import UnreadableError

CHOSEN = RunConfig(
    augmentation=AugmentationConfig(
        rotation_range=20,
        width_shift_range=0.2,
        zoom_range=0.1,
        brightness_range=(0.5, 1.5),
        horizontal_flip=True,
        fill_mode="reflect",
    ),
    model=ModelConfig(
        backbone="vgg16",
        image_size=96,
        resize_mode="pad",
        pixel_scaling="divide_255",
        first_trainable="block5",
        head=HeadConfig(pooling="flatten", dense_units=(64, 32), dropout=0.5),
    ),
    training=TrainingConfig(epochs=3, optimizer="sgd", learning_rate=1e-4, patience=None, seed=7),
)


@pytest.mark.parametrize("config", [RunConfig(), CHOSEN], ids=["default", "chosen"])
def test_a_configuration_comes_back_from_json_as_it_was(config: RunConfig) -> None:
    assert read_document(to_json(config), RunConfig) == config
    assert read_document(to_json(config).encode(), RunConfig) == config


def test_json_is_the_tree_of_the_field_names() -> None:
    tree = json.loads(to_json(CHOSEN))
    assert list(tree) == ["augmentation", "model", "training"]
    assert tree["model"]["head"] == {"pooling": "flatten", "dense_units": [64, 32], "dropout": 0.5, "l2": 0.0}


def test_missing_fields_get_their_defaults() -> None:
    assert read_document('{"training": {"epochs": 3}}', RunConfig) == RunConfig(training=TrainingConfig(epochs=3))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "truncated"),
        ("not json", "malformed"),
        ("[]", "Expected `object`"),
        ('{"training": {"epochs": "many"}}', r"Expected `int`, got `str` - at `\$.training.epochs`"),
        ('{"training": {"epochs": 20.5}}', "Expected `int`"),
        ('{"training": {"epochs": 0}}', "`epochs` must be between 1 and 1000. Received: epochs=0"),
        ('{"training": {"optimizer": "magic"}}', "Invalid enum value 'magic'"),
        ('{"trainings": {}}', "unknown field `trainings`"),
        ('{"model": {"head": {"droppout": 0.1}}}', "unknown field `droppout`"),
    ],
)
def test_json_that_is_no_configuration_is_refused_with_its_reason(text: str, told: str) -> None:
    with pytest.raises(UnreadableError, match=f"This version of Transfer Lab cannot read it: .*{told}"):
        read_document(text, RunConfig)


def test_unknown_fields_are_found_inside_lists() -> None:
    text = '{"classes": [{"id": "1", "name": "cat", "color": 0}, {"id": "2", "name": "dog", "color": 1, "size": 3}]}'
    with pytest.raises(ValueError, match="unknown field `size`"):
        read_document(text, Dataset)


def test_a_field_without_default_must_be_there() -> None:
    with pytest.raises(ValueError, match="missing required field `color`"):
        read_document('{"classes": [{"id": "1", "name": "cat"}]}', Dataset)


def test_a_dataset_comes_back_from_json_as_it_was() -> None:
    dataset = Dataset((ClassLabel("1", '猫 "x"', 0),), (Item("a" * 64, "1", "test", "../a.jpg"),))
    assert read_document(to_json(dataset), Dataset) == dataset


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (AugmentationConfig, "rotation_range", -1),
        (AugmentationConfig, "rotation_range", 181),
        (AugmentationConfig, "rotation_range", math.nan),
        (AugmentationConfig, "width_shift_range", 1.1),
        (AugmentationConfig, "height_shift_range", -0.1),
        (AugmentationConfig, "shear_range", 90),
        (AugmentationConfig, "zoom_range", 1.0),
        (AugmentationConfig, "contrast_range", 2),
        (AugmentationConfig, "channel_shift_range", 256),
        (AugmentationConfig, "cval", 256),
        (AugmentationConfig, "fill_mode", "mirror"),
        (HeadConfig, "pooling", "max"),
        (HeadConfig, "dropout", 1.0),
        (ModelConfig, "image_size", 31),
        (ModelConfig, "image_size", 513),
        (ModelConfig, "resize_mode", "squeeze"),
        (ModelConfig, "pixel_scaling", "divide_128"),
        (TrainingConfig, "epochs", 0),
        (TrainingConfig, "batch_size", 0),
        (TrainingConfig, "optimizer", "lion"),
        (TrainingConfig, "learning_rate", 0.0),
        (TrainingConfig, "learning_rate", math.inf),
        (TrainingConfig, "patience", 0),
        (TrainingConfig, "views", 65),
        (TrainingConfig, "seed", -1),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(kind: type, field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"`{field}` must be .* Received: {field}="):
        kind(**{field: value})


@pytest.mark.parametrize("brightness_range", [(1.2, 0.8), (-0.1, 1.0), (0.5, 3.1)])
def test_brightness_must_go_from_darker_to_brighter(brightness_range: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="`brightness_range` must be"):
        AugmentationConfig(brightness_range=brightness_range)


@pytest.mark.parametrize("dense_units", [(1, 2, 3), (0,), (5000,)])
def test_a_head_has_at_most_two_dense_layers_of_at_most_4096_units(dense_units: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="dense_units"):
        HeadConfig(dense_units=dense_units)


def test_augmentation_that_changes_nothing_says_so() -> None:
    assert AugmentationConfig().is_identity
    assert AugmentationConfig(fill_mode="wrap", cval=9).is_identity
    assert not AugmentationConfig(vertical_flip=True).is_identity
    assert not replace(AugmentationConfig(), brightness_range=(0.9, 1.0)).is_identity
