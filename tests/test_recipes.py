"""Every recipe is a model that can be built and trained as it is."""

from __future__ import annotations

import pytest

from tlcore.backbones.registry import get_backbone
from tlcore.config import RunConfig
from tlcore.documents import read_document, to_json
from tlcore.model.architecture import describe_model
from tlcore.settings.augmentation_controls import PRESETS
from tlcore.settings.recipes import OURS, RECIPES, RecipeSpec, find_recipe


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_is_a_valid_configuration(recipe: RecipeSpec) -> None:
    for phase in recipe.config.phases:
        summary = describe_model(phase.model, 10)
        assert summary.trainable_parameters > 0
    assert read_document(to_json(recipe.config), RunConfig) == recipe.config
    assert find_recipe(recipe.config) is recipe


def test_recipes_differ_in_everything_that_names_them() -> None:
    for field in ("name", "title", "sentence", "teaches", "config"):
        assert len({to_json(getattr(recipe, field)) for recipe in RECIPES}) == len(RECIPES), field


def test_the_first_recipe_is_ours_and_has_the_default_settings() -> None:
    assert RECIPES[0] is OURS
    assert OURS.config == RunConfig()
    assert get_backbone(OURS.config.model.backbone).embedded


def test_the_four_tutorials_have_the_heads_and_steps_that_they_are_known_for() -> None:
    tutorials = {recipe.name: recipe.config for recipe in RECIPES[1:]}
    assert len(tutorials) == 4
    large, small = tutorials["vgg16_dense_1024"], tutorials["vgg16_dense_256"]
    assert {large.model.backbone, small.model.backbone} == {"vgg16"}
    assert {large.model.head.pooling, small.model.head.pooling} == {"flatten"}
    assert (large.model.head.dense_units, small.model.head.dense_units) == ((1024,), (256,))
    assert large.augmentation == PRESETS["tutorial"]
    assert small.augmentation.is_identity
    assert tutorials["resnet50_dense_128"].model.head.dense_units == (128,)
    first, second = tutorials["mobilenet_v2_two_phases"].phases
    assert (first.model.first_trainable, first.training.learning_rate) == (None, 1e-3)
    assert (second.training.optimizer, second.training.learning_rate) == ("adam", 1e-5)
    blocks = get_backbone("mobilenet_v2").block_names
    assert 0.4 < blocks.index(str(second.model.first_trainable)) / len(blocks) < 0.8


def test_settings_of_ones_own_are_no_recipe() -> None:
    assert find_recipe(RunConfig(augmentation=PRESETS["light"])) is None
