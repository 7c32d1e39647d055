"""Recipes: the settings of well-known tutorials, runnable as they are, and our own beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tlcore.config import FineTuningConfig, HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.settings.augmentation_controls import PRESETS


@dataclass(frozen=True, slots=True)
class RecipeSpec:
    """A whole set of settings that is known to work.

    Attributes:
        name: Key of the recipe.
        title: Name that people read.
        sentence: What it does.
        teaches: What one learns from trying it.
        config: The settings.
    """

    name: str
    title: str
    sentence: str
    teaches: str
    config: RunConfig


OURS: Final = RecipeSpec(
    name="ours",
    title="Ours: small, frozen, quick",
    sentence="EfficientNet-Lite0 frozen, one average per channel, only the answers are learned.",
    teaches="A good small backbone needs next to nothing on top. With little to learn it trains in seconds and rarely "
    "learns by heart.",
    config=RunConfig(),
)

RECIPES: Final[tuple[RecipeSpec, ...]] = (
    OURS,
    RecipeSpec(
        name="vgg16_dense_1024",
        title="VGG16, flatten, Dense 1024, augmented",
        sentence="VGG16 frozen, every position goes into a dense layer of 1,024 units; pictures are turned, moved, "
        "zoomed and mirrored.",
        teaches="This head has over 25 million parameters and could learn a small data set by heart. Dropout and "
        "augmentation work against it: watch how far training and validation come apart. Many versions of this "
        "tutorial also let the last block learn: to try it, move the line to block5 on Model.",
        config=RunConfig(
            augmentation=PRESETS["tutorial"],
            model=ModelConfig(backbone="vgg16", head=HeadConfig(pooling="flatten", dense_units=(1024,), dropout=0.5)),
            training=TrainingConfig(epochs=20, optimizer="rmsprop", learning_rate=1e-4, patience=None),
        ),
    ),
    RecipeSpec(
        name="mobilenet_v2_two_phases",
        title="MobileNetV2 on CIFAR-10, then fine-tune",
        sentence="First only the head learns; then the upper half of MobileNetV2 thaws and goes on with steps that "
        "are 100 times smaller. Pictures are scaled to 96 pixels.",
        teaches="Pictures of 32 pixels, as in CIFAR-10, become larger but not sharper, so a frozen network sees "
        "them badly and thawing helps a lot. Small steps keep it from forgetting what it knew.",
        config=RunConfig(
            model=ModelConfig(backbone="mobilenet_v2", image_size=96),
            training=TrainingConfig(
                epochs=10,
                learning_rate=1e-3,
                patience=None,
                fine_tuning=FineTuningConfig(
                    first_trainable="block_11", epochs=10, learning_rate=1e-5, schedule="constant"
                ),
            ),
        ),
    ),
    RecipeSpec(
        name="vgg16_dense_256",
        title="VGG16, flatten, Dense 256",
        sentence="VGG16 frozen, every position goes into a dense layer of 256 units, half of them switched off by "
        "chance in each step.",
        teaches="The same backbone as with Dense 1024, a quarter of the head and no augmentation: is the larger head "
        "worth its time?",
        config=RunConfig(
            model=ModelConfig(backbone="vgg16", head=HeadConfig(pooling="flatten", dense_units=(256,), dropout=0.5)),
            training=TrainingConfig(epochs=20, learning_rate=1e-4, patience=None),
        ),
    ),
    RecipeSpec(
        name="resnet50_dense_128",
        title="Choose, prepare, modify, freeze, train, evaluate",
        sentence="ResNet50 frozen, one average per channel, a dense layer of 128 units, then the answers.",
        teaches="The six steps of every transfer learning: choose a backbone, prepare the pictures, put a new head "
        "on, freeze the rest, train, and look at pictures that it has never seen.",
        config=RunConfig(
            model=ModelConfig(backbone="resnet50", head=HeadConfig(dense_units=(128,), dropout=0.0)),
            training=TrainingConfig(epochs=10, learning_rate=1e-3, patience=None),
        ),
    ),
)
"""Ours first, then the four tutorials."""


def find_recipe(config: RunConfig) -> RecipeSpec | None:
    """Return the recipe of exactly these settings, if there is one."""
    return next((recipe for recipe in RECIPES if recipe.config == config), None)
