"""Every recipe is what its text says, value by value, and can be trained; ours beside it is another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec
import pytest

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tlcore.backbones.registry import get_backbone
from tlcore.config import RANDOM, RunConfig
from tlcore.dataset import Dataset
from tlcore.documents import read_document, to_json
from tlcore.home import DataRoot
from tlcore.intake.splitting import share_validation
from tlcore.model.architecture import check_phases, describe_model, without_contradictions
from tlcore.ready_sets.registry import get_ready_set
from tlcore.settings.augmentation_controls import PRESETS
from tlcore.settings.recipes import OURS, RECIPES, RecipeSpec, recipe_title
from tlcore.training.run import train_classifier

TUTORIALS = RECIPES[1:]

EVERY_TEXT: Mapping[str, object] = {
    "augmentation.rotation_range": 0.0,
    "augmentation.width_shift_range": 0.0,
    "augmentation.height_shift_range": 0.0,
    "augmentation.shear_range": 0.0,
    "augmentation.zoom_range": 0.0,
    "augmentation.brightness_range": (1.0, 1.0),
    "augmentation.contrast_range": 0.0,
    "augmentation.channel_shift_range": 0.0,
    "augmentation.horizontal_flip": False,
    "augmentation.vertical_flip": False,
    "augmentation.fill_mode": "nearest",
    "augmentation.cval": 0.0,
    "model.resize_mode": "stretch",
    "model.pixel_scaling": "backbone",
    "model.first_trainable": None,
    "model.also_frozen": (),
    "model.weights": "imagenet",
    "model.head.dropout": 0.0,
    "model.head.l2": 0.0,
    "training.epochs": 10,
    "training.batch_size": 32,
    "training.optimizer": "adam",
    "training.learning_rate": 0.001,
    "training.patience": None,
    "training.views": 4,
    "training.new_views_every_epoch": False,
    "training.seed": 0,
    "training.schedule": "constant",
    "training.warmup_epochs": 0,
    "training.label_smoothing": 0.0,
    "training.balance": "none",
    "training.fine_tuning": None,
}
"""What holds where a text says nothing else: what Keras does by default, no dropout, the usual ten epochs."""

TEXTS: Mapping[str, Mapping[str, object]] = {
    "small_cnn_mnist": {
        "model.backbone": "small_cnn-32-64",
        "model.image_size": 32,
        "model.first_trainable": "conv1",
        "model.head.pooling": "flatten",
        "model.head.dense_units": (128,),
    },
    "vgg16_dense_1024": {
        "augmentation.rotation_range": 20.0,
        "augmentation.width_shift_range": 0.2,
        "augmentation.height_shift_range": 0.2,
        "augmentation.zoom_range": 0.2,
        "augmentation.horizontal_flip": True,
        "augmentation.fill_mode": "nearest",
        "model.backbone": "vgg16",
        "model.image_size": 224,
        "model.head.pooling": "flatten",
        "model.head.dense_units": (1024,),
        "training.optimizer": "adam",
        "training.learning_rate": 0.001,
    },
    "mobilenet_v2_two_phases": {
        "model.backbone": "mobilenet_v2",
        "model.image_size": 32,
        "model.pixel_scaling": "divide_255",
        "model.head.pooling": "average",
        "model.head.dense_units": (128,),
        "training.optimizer": "adam",
        "training.learning_rate": 0.001,
        "training.epochs": 10,
        "training.batch_size": 64,
        "training.fine_tuning.first_trainable": "Conv1",
        "training.fine_tuning.epochs": 5,
        "training.fine_tuning.learning_rate": 0.00001,
        "training.fine_tuning.schedule": "constant",
    },
    "vgg16_dense_256": {
        "model.backbone": "vgg16",
        "model.image_size": 224,
        "model.head.pooling": "flatten",
        "model.head.dense_units": (256,),
        "training.optimizer": "adam",
        "training.learning_rate": 0.001,
        "training.epochs": 10,
        "training.batch_size": 32,
    },
    "resnet50_dense_128": {
        "augmentation.rotation_range": 20.0,
        "augmentation.zoom_range": 0.2,
        "augmentation.horizontal_flip": True,
        "model.backbone": "resnet50",
        "model.image_size": 224,
        "model.head.pooling": "average",
        "model.head.dense_units": (128,),
        "training.optimizer": "adam",
        "training.fine_tuning.first_trainable": "conv5_block1",
        "training.fine_tuning.epochs": 5,
        "training.fine_tuning.learning_rate": 0.00001,
        "training.fine_tuning.schedule": "constant",
    },
}
"""The texts, by recipe."""

DATA: Mapping[str, tuple[str | None, float | None]] = {
    "small_cnn_mnist": ("mnist", None),
    "vgg16_dense_1024": (None, None),
    "mobilenet_v2_two_phases": ("cifar10", 0.2),
    "vgg16_dense_256": (None, None),
    "resnet50_dense_128": (None, None),
}
"""The data set and the fraction of training pictures for validation that a text names, by recipe."""

tutorials = pytest.mark.parametrize("recipe", TUTORIALS, ids=lambda recipe: recipe.name)


def values_of(tree: Mapping[str, object], path: str = "") -> dict[str, object]:
    """Return every value of a configuration by its path, such as `model.head.dropout`."""
    found: dict[str, object] = {}
    for name, value in tree.items():
        found |= values_of(value, f"{path}{name}.") if isinstance(value, dict) else {path + name: value}
    return found


@tutorials
def test_a_recipe_has_exactly_the_values_of_its_text(recipe: RecipeSpec) -> None:
    expected = {**EVERY_TEXT, **TEXTS[recipe.name]}
    if any(name.startswith("training.fine_tuning.") for name in expected):
        del expected["training.fine_tuning"]
    assert values_of(msgspec.to_builtins(recipe.config)) == expected
    assert (recipe.ready_set, recipe.validation) == DATA[recipe.name]


def test_every_text_has_its_recipe() -> None:
    assert [recipe.name for recipe in TUTORIALS] == list(TEXTS)


def test_the_second_phase_of_mobilenet_thaws_the_whole_backbone() -> None:
    (recipe,) = (recipe for recipe in RECIPES if recipe.name == "mobilenet_v2_two_phases")
    _, second = recipe.config.phases
    assert all(block.trainable for block in describe_model(second.model, 10).blocks)


def all_configs() -> list[RunConfig]:
    return [config for recipe in RECIPES for config in (recipe.config, recipe.improved) if config is not None]


@pytest.mark.parametrize("config", all_configs(), ids=recipe_title)
def test_every_recipe_is_a_valid_configuration_that_the_pages_keep(config: RunConfig) -> None:
    for phase in config.phases:
        assert describe_model(phase.model, 10).trainable_parameters > 0
    check_phases(config)
    assert without_contradictions(config) == config
    assert read_document(to_json(config), RunConfig) == config


def test_recipes_differ_in_everything_that_names_them() -> None:
    for field in ("name", "title", "sentence", "teaches"):
        assert len({getattr(recipe, field) for recipe in RECIPES}) == len(RECIPES), field
    titles = [recipe_title(config) for config in all_configs()]
    assert None not in titles
    assert len(set(titles)) == len(titles) == 2 * len(RECIPES) - 1


@tutorials
def test_ours_beside_a_text_is_the_same_backbone_done_otherwise(recipe: RecipeSpec) -> None:
    assert recipe.improved is not None
    assert recipe.note
    assert recipe.improvement
    ours, theirs = recipe.improved, recipe.config
    assert ours.model.backbone == theirs.model.backbone
    assert ours.model.image_size >= theirs.model.image_size
    assert ours.model.pixel_scaling == "backbone"
    assert ours.model.head.dropout > 0
    assert ours.training.patience is not None
    if recipe.ready_set is not None:
        assert get_ready_set(recipe.ready_set).title in recipe.title


def test_the_first_recipe_is_ours_and_has_the_default_settings() -> None:
    assert RECIPES[0] is OURS
    assert OURS.config == RunConfig()
    assert get_backbone(OURS.config.model.backbone).embedded


def test_settings_of_ones_own_are_no_recipe() -> None:
    assert recipe_title(RunConfig(augmentation=PRESETS["light"])) is None


def test_the_share_of_a_text_comes_from_the_training_pictures_and_leaves_the_test_alone(home: DataRoot) -> None:
    dataset = coloured_dataset(home, per_class=35)
    dealt = share_validation(dataset, 0.2)
    assert dealt.subset("test") == dataset.subset("test")
    assert [item.image for item in dealt.items] == [item.image for item in dataset.items]
    counts = dealt.counts()
    for label in dataset.classes:
        train, validation = counts[label.id, "train"], counts[label.id, "validation"]
        assert (train, validation) == (24, 6)
    assert share_validation(dealt, 0.2) == dealt


def few_pictures(home: DataRoot) -> Dataset:
    return share_validation(coloured_dataset(home, per_class=8), 0.2)


@pytest.fixture(scope="module")
def recipes_home(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """A data root for all recipes, as a class has one: what two of them have in common is computed once."""
    return DataRoot(tmp_path_factory.mktemp("recipes"))


@pytest.mark.slow
@tutorials
def test_every_recipe_trains(recipe: RecipeSpec, recipes_home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """With random weights, which every machine has; the large pictures are made smaller, and epochs few."""
    monkeypatch.setattr("tlcore.features.engines.TRIAL_SECONDS", 0.05)
    config = recipe.config
    model = replace(config.model, weights=RANDOM, image_size=32)
    training = replace(config.training, epochs=2, views=2)
    if training.fine_tuning is not None:
        training = replace(training, fine_tuning=replace(training.fine_tuning, epochs=1))
    config = replace(config, model=model, training=training)
    run_dir = recipes_home.run_dir(recipe.name)
    result = train_classifier(few_pictures(recipes_home), config, run_dir, RecordingProgress(), recipes_home)
    assert result.summary is not None
    assert result.summary.epochs == sum(phase.training.epochs for phase in config.phases)
    assert not result.diverged
