"""Recipes: well-known tutorials with exactly their settings, each beside the same as we would do it, and our own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tlcore.backbones.registry import small_cnn_name
from tlcore.config import AugmentationConfig, FineTuningConfig, HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.settings.augmentation_controls import PRESETS


@dataclass(frozen=True, slots=True)
class RecipeSpec:
    """A whole set of settings that somebody has written down.

    Attributes:
        name: Key of the recipe.
        title: Name that people read.
        sentence: What it does.
        teaches: What one learns from trying it.
        config: The settings, those of the text wherever it says one.
        note: What the text leaves open and what was chosen then, and where our way differs.
        improved: The same backbone as we would train it; `None` for our own recipe.
        improvement: What that does otherwise, and why.
        ready_set: Name of the ready data set that the text uses; `None` where it names none.
        validation: Fraction of the training pictures that the text keeps for validation; `None` where it says none.
    """

    name: str
    title: str
    sentence: str
    teaches: str
    config: RunConfig
    note: str = ""
    improved: RunConfig | None = None
    improvement: str = ""
    ready_set: str | None = None
    validation: float | None = None


OURS: Final = RecipeSpec(
    name="ours",
    title="Ours: small, frozen, quick",
    sentence="EfficientNet-Lite0 frozen, one average per channel, only the answers are learned.",
    teaches="A good small backbone needs next to nothing on top. With little to learn it trains in seconds and rarely "
    "learns by heart.",
    config=RunConfig(),
)

_ADAM: Final = 1e-3
"""The rate of Keras's Adam when a text says none."""

_TUTORIAL_TRAINING: Final = TrainingConfig(epochs=10, learning_rate=_ADAM, patience=None)
"""Adam, 10 epochs of batches of 32, to the end."""

_OUR_TRAINING: Final = TrainingConfig(learning_rate=_ADAM)
"""Up to 30 epochs, ended when the validation loss has not become better for five."""

RECIPES: Final[tuple[RecipeSpec, ...]] = (
    OURS,
    RecipeSpec(
        name="small_cnn_mnist",
        title="A small CNN for MNIST, from scratch",
        sentence="Two convolutions with 32 and 64 filters, a pooling after each, flatten, Dense 128, the answers. "
        "Nothing is pre-trained: all of it learns.",
        teaches="The lesson before transfer learning: strokes are simple enough to learn from nothing, given thousands "
        "of pictures. Try the same with a few photos, and see why one takes a backbone that can see already.",
        config=RunConfig(
            model=ModelConfig(
                backbone=small_cnn_name((32, 64)),
                image_size=32,
                resize_mode="stretch",
                first_trainable="conv1",
                head=HeadConfig(pooling="flatten", dense_units=(128,), dropout=0.0),
            ),
            training=_TUTORIAL_TRAINING,
        ),
        note="Open in the text: the sizes of the network and the training, here with Keras's defaults (Adam at 0.001, "
        "batches of 32) and 10 epochs as in the other texts. Different here: 28 pixels become 32, the smallest size "
        "here, and the best epoch is kept.",
        improved=RunConfig(
            augmentation=AugmentationConfig(
                rotation_range=10.0, width_shift_range=0.1, height_shift_range=0.1, zoom_range=0.1
            ),
            model=ModelConfig(
                backbone=small_cnn_name((32, 64)),
                image_size=32,
                first_trainable="conv1",
                head=HeadConfig(pooling="flatten", dense_units=(128,), dropout=0.3),
            ),
            training=TrainingConfig(epochs=20, learning_rate=_ADAM, schedule="cosine"),
        ),
        improvement="Digits are turned and moved a little (a mirrored digit is another one or none), dropout works "
        "against learning by heart, and the steps become smaller towards the end.",
        ready_set="mnist",
    ),
    RecipeSpec(
        name="vgg16_dense_1024",
        title="VGG16, flatten, Dense 1024, augmented",
        sentence="VGG16 frozen, every position goes into a dense layer of 1,024 units, no dropout; pictures are "
        "turned, moved, zoomed and mirrored.",
        teaches="This head has over 25 million weights and could learn a small data set by heart. Augmentation works "
        "against it: watch how far training and validation come apart.",
        config=RunConfig(
            augmentation=PRESETS["tutorial"],
            model=ModelConfig(
                backbone="vgg16",
                resize_mode="stretch",
                head=HeadConfig(pooling="flatten", dense_units=(1024,), dropout=0.0),
            ),
            training=_TUTORIAL_TRAINING,
        ),
        note="Open in the text: pictures and training, here with Keras's defaults (VGG16's own scaling, stretched to a "
        "square, batches of 32) and 10 epochs as in the other texts. Different here: four views of each picture take "
        "turns instead of new ones in every epoch (a switch on Augment), and the best epoch is kept.",
        improved=RunConfig(augmentation=PRESETS["light"], model=ModelConfig(backbone="vgg16"), training=_OUR_TRAINING),
        improvement="One average per channel instead of every position leaves a few thousand weights to learn; smaller "
        "changes keep pictures natural, the middle is cut out instead of stretched, dropout of 20 %, and training "
        "stops when validation gets no better.",
    ),
    RecipeSpec(
        name="mobilenet_v2_two_phases",
        title="MobileNetV2 on CIFAR-10, then fine-tune",
        sentence="At 32 pixels, divided by 255, the head learns for 10 epochs in batches of 64: one average per "
        "channel, Dense 128, no dropout. Then all of MobileNetV2 thaws for 5 epochs with steps that are 100 times "
        "smaller.",
        teaches="What two common mistakes cost: MobileNetV2 expects pixel values from -1 to 1, and of 32 pixels it "
        "leaves a single position. Compare with the same as we would do it.",
        config=RunConfig(
            model=ModelConfig(
                backbone="mobilenet_v2",
                image_size=32,
                resize_mode="stretch",
                pixel_scaling="divide_255",
                head=HeadConfig(dense_units=(128,), dropout=0.0),
            ),
            training=TrainingConfig(
                epochs=10,
                batch_size=64,
                learning_rate=_ADAM,
                patience=None,
                fine_tuning=FineTuningConfig("Conv1", epochs=5, learning_rate=1e-5, schedule="constant"),
            ),
        ),
        note="Different here: batch normalization keeps its statistics in the second phase, as Keras's guide advises, "
        "where the text thaws it too; validation pictures are drawn by chance from each class, where the text takes "
        "the last fifth; and the best epoch is kept.",
        improved=RunConfig(
            model=ModelConfig(backbone="mobilenet_v2", image_size=96),
            training=TrainingConfig(
                batch_size=64,
                learning_rate=_ADAM,
                fine_tuning=FineTuningConfig("block_11", epochs=10, learning_rate=3e-5),
            ),
        ),
        improvement="Pixels as MobileNetV2 expects them, pictures enlarged to 96, dropout of 20 % instead of a dense "
        "layer, early stopping; only the upper half thaws, with steps that fade out.",
        ready_set="cifar10",
        validation=0.2,
    ),
    RecipeSpec(
        name="vgg16_dense_256",
        title="VGG16, flatten, Dense 256",
        sentence="VGG16 frozen, every position goes into a dense layer of 256 units, no dropout, no augmentation; "
        "10 epochs of batches of 32.",
        teaches="The same backbone as with Dense 1024, a quarter of the head and no augmentation: is the larger head "
        "worth its time?",
        config=RunConfig(
            model=ModelConfig(
                backbone="vgg16",
                resize_mode="stretch",
                head=HeadConfig(pooling="flatten", dense_units=(256,), dropout=0.0),
            ),
            training=_TUTORIAL_TRAINING,
        ),
        note="Open in the text: the pictures, here with Keras's defaults (224 pixels, VGG16's own scaling, stretched "
        "to a square). Different here: the best epoch is kept.",
        improved=RunConfig(model=ModelConfig(backbone="vgg16"), training=_OUR_TRAINING),
        improvement="One average per channel instead of every position leaves a few thousand weights to learn; the "
        "middle is cut out instead of stretched, dropout of 20 %, and training stops when validation gets no better.",
    ),
    RecipeSpec(
        name="resnet50_dense_128",
        title="Image classification step by step, with ResNet50",
        sentence="ResNet50 frozen, one average per channel, Dense 128, the answers; pictures are turned, zoomed and "
        "mirrored. Then its last stage thaws.",
        teaches="The steps of every transfer learning: choose a backbone, prepare the pictures, put a new head on, "
        "freeze the rest, train, fine-tune, and look at accuracy, precision, recall and F1 on Understand.",
        config=RunConfig(
            augmentation=AugmentationConfig(rotation_range=20.0, zoom_range=0.2, horizontal_flip=True),
            model=ModelConfig(
                backbone="resnet50",
                resize_mode="stretch",
                head=HeadConfig(dense_units=(128,), dropout=0.0),
            ),
            training=TrainingConfig(
                epochs=10,
                learning_rate=_ADAM,
                patience=None,
                fine_tuning=FineTuningConfig("conv5_block1", epochs=5, learning_rate=1e-5, schedule="constant"),
            ),
        ),
        note="Open in the text: nearly every number, here Keras's defaults (224 pixels, stretched, Adam at 0.001, "
        "batches of 32) and else those of the other texts (20 degrees, zoom 0.2, 10 epochs, then 5 at 0.00001); of its "
        "four backbones and two optimizers one each. Different here: four views of each picture take turns, batch "
        "normalization keeps its statistics in the second phase, and the best epoch is kept.",
        improved=RunConfig(
            augmentation=PRESETS["light"],
            model=ModelConfig(backbone="resnet50"),
            training=TrainingConfig(
                learning_rate=_ADAM, fine_tuning=FineTuningConfig("conv5_block1", learning_rate=3e-5)
            ),
        ),
        improvement="No dense layer but dropout of 20 %, pictures cut instead of stretched and changed less, early "
        "stopping, and a second phase whose steps fade out.",
    ),
)
"""Ours first, then the lesson before the tutorials, then the four."""


def recipe_title(config: RunConfig) -> str | None:
    """Return what the recipe of exactly these settings is called, if there is one."""
    for recipe in RECIPES:
        if recipe.config == config:
            return recipe.title
        if recipe.improved == config:
            return f"{recipe.title}, as we would do it"
    return None
