"""Settings in words: the name and the value of each field as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.status import is_random
from tlcore.config import (
    IMAGENET,
    RANDOM,
    AugmentationConfig,
    FineTuningConfig,
    HeadConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
)
from tlcore.model.cut import plan_model
from tlcore.settings.augmentation_controls import CONTROLS

RANDOM_DRAWS = "The seed, on Train, draws the first weights of what learns; what is frozen has the same in every run."


@dataclass(frozen=True, slots=True)
class ChoiceSpec:
    """One of the values that a field can have.

    Attributes:
        label: On the button or in the list from which it is chosen.
        words: In a line of settings.
        sentence: What it does, below the choice.
    """

    label: str
    words: str
    sentence: str


BROUGHT: Final = "file"
"""Stands for the name of every file of weights that a person brought."""

CHOICES: Final[Mapping[str, Mapping[str, ChoiceSpec]]] = {
    "resize_mode": {
        "crop": ChoiceSpec(
            "Cut", "middle cut out", "The middle square is cut out and scaled; what stands at the border is lost."
        ),
        "stretch": ChoiceSpec(
            "Stretch", "stretched", "Both sides are scaled, whatever the shape; things look thinner or wider."
        ),
        "pad": ChoiceSpec(
            "Add borders",
            "black borders added",
            "The whole picture is scaled and keeps its shape; black borders are added.",
        ),
    },
    "pixel_scaling": {
        "backbone": ChoiceSpec(
            "As the backbone expects",
            "as the backbone expects",
            "Each backbone was trained on pixel values of one range, and gets them like that.",
        ),
        "divide_255": ChoiceSpec(
            "Divided by 255 (a common mistake)",
            "divided by 255 (a common mistake)",
            "A common mistake of tutorials: values from 0 to 1, whatever the backbone was trained on. Nothing "
            "complains; it only sees worse.",
        ),
    },
    "weights": {
        IMAGENET: ChoiceSpec(
            "ImageNet",
            "ImageNet",
            "It learned on 1.3 million photos and can see already: edges, textures, parts of things. That is what "
            "makes this transfer learning.",
        ),
        RANDOM: ChoiceSpec(
            "Chance",
            "random",
            "It knows nothing, as every network does at birth. All blocks learn from your pictures alone; compare "
            f"the result with ImageNet's to see what pre-training is worth. {RANDOM_DRAWS}",
        ),
        BROUGHT: ChoiceSpec(
            "Your file",
            "a file that was brought",
            "Weights that somebody trained on other pictures, saved by Keras for this very backbone.",
        ),
    },
    "pooling": {
        "average": ChoiceSpec(
            "One average per channel",
            "global average pooling",
            "Global average pooling: how much of each thing the backbone sees.",
        ),
        "flatten": ChoiceSpec("Every position", "flatten", "Flatten: how much of each thing, and where."),
    },
    "optimizer": {
        "adam": ChoiceSpec("Adam", "Adam", "Finds a good step for every weight by itself."),
        "sgd": ChoiceSpec(
            "SGD with momentum",
            "SGD with momentum 0.9",
            "Takes plain steps and keeps its swing; wants a larger learning rate, such as 0.01.",
        ),
        "rmsprop": ChoiceSpec("RMSprop", "RMSprop", "Takes smaller steps where the slope changes a lot."),
        "adamw": ChoiceSpec("AdamW", "AdamW", "Adam that also keeps the weights small."),
    },
    "schedule": {
        "constant": ChoiceSpec("Constant", "constant", "All steps have the same size."),
        "step": ChoiceSpec(
            "In steps", "a tenth after each third of the epochs", "A tenth of it after each third of the epochs."
        ),
        "cosine": ChoiceSpec("Cosine", "smoothly down to zero (cosine)", "Smoothly down to nothing at the last epoch."),
    },
    "balance": {
        "none": ChoiceSpec("As they are", "as they are", "Every picture counts the same, so large classes count more."),
        "weights": ChoiceSpec(
            "Class weights",
            "rare classes count more (class weights)",
            "Mistakes in small classes count more, so that all classes weigh the same.",
        ),
        "sampling": ChoiceSpec(
            "Balanced sampling",
            "each class is drawn equally often (balanced sampling)",
            "Pictures of small classes are shown more often, those of large ones less.",
        ),
    },
    "fill_mode": {
        "nearest": ChoiceSpec("Stretch the edge", "stretch the edge", "The last row of pixels is pulled outwards."),
        "constant": ChoiceSpec(
            "One shade of grey", "one shade of grey", "The gap gets one plain shade, black unless you change it."
        ),
        "reflect": ChoiceSpec("Mirror", "mirror", "The picture goes on as in a mirror at its edge."),
        "wrap": ChoiceSpec("Repeat", "repeat", "What leaves on one side comes back on the other."),
    },
}
"""The values that can be chosen by name, by the field of the configuration."""

FIELD_NAMES: Final[Mapping[str, str]] = {
    "backbone": "backbone",
    "image_size": "picture size",
    "resize_mode": "pictures that are not square",
    "weights": "first weights",
    "first_trainable": "first block that learns",
    "dense_units": "dense layers",
    "l2": "L2 penalty",
    "epochs": "epochs at most",
    "patience": "early stopping",
    "views": "views of each picture",
    "new_views_every_epoch": "new views in every epoch",
    "schedule": "learning rate over the epochs",
    "warmup_epochs": "warm-up",
    "balance": "uneven classes",
    "fine_tuning": "second phase",
    **{row.field: row.label.lower() for row in CONTROLS},
}
"""Names of fields that read otherwise than with spaces for underscores."""

DEGREES: Final = frozenset(row.field for row in CONTROLS if row.unit == "°")
PARTS: Final = frozenset({"dropout", "label_smoothing"})


def field_name(field: str) -> str:
    """Return how a field of the configuration is called; one without a name of its own is read as it is written."""
    return FIELD_NAMES.get(field, field.replace("_", " "))


def field_value(field: str, value: object) -> str:
    """Return the value of a field in words; fields that have none of their own follow their type."""
    if field == "backbone":
        return get_backbone(str(value)).title
    if field == "weights" and value not in CHOICES[field]:
        value = BROUGHT
    if field in CHOICES:
        return CHOICES[field][str(value)].words
    if isinstance(value, FineTuningConfig):
        return fine_tuning_words(value)
    if field == "patience":
        return f"after {count(value, 'epoch')}" if isinstance(value, int) else "off"
    if field == "image_size":
        return f"{value} pixels"
    if isinstance(value, int | float) and field in PARTS:
        return f"{100 * value:.3g} %"
    if isinstance(value, int | float) and field in DEGREES:
        return f"{value:g}°"
    if isinstance(value, tuple) and field == "brightness_range":
        return f"{value[0]:g}–{value[1]:g}"
    return _plain_value(value)


def _plain_value(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return decimal(value)
    if isinstance(value, tuple):
        return " and ".join(_plain_value(part) for part in value) or "none"
    return str(value)


def decimal(value: float) -> str:
    """Return a number without an exponent, such as `0.0003`."""
    return f"{value:.8f}".rstrip("0").rstrip(".")


def weights_words(model: ModelConfig) -> str:
    """Return what the backbone begins with; a network without published weights begins with random ones."""
    if is_random(get_backbone(model.backbone), model.weights):
        return field_value("weights", RANDOM)
    return field_value("weights", model.weights)


def trained_words(model: ModelConfig) -> str:
    """Return which part of the model learns."""
    blocks = plan_model(model).trainable_blocks
    if not blocks:
        return "the head only; the whole backbone is frozen (feature extraction)"
    words = f"the head and the backbone from {blocks[0]} on"
    behind = [name for name in model.also_frozen if name not in blocks]
    if behind:
        words += f" but for {block_words(behind)}"
    return f"{words} (fine-tuning)"


def block_words(names: Sequence[str]) -> str:
    """Return some blocks in words; many of them by their number, the first and the last."""
    if len(names) <= 2:
        return " and ".join(names)
    return f"{len(names)} blocks from {names[0]} to {names[-1]}"


def head_words(head: HeadConfig) -> str:
    """Return the layers of a head."""
    parts = [field_value("pooling", head.pooling), *(f"dense {units}" for units in head.dense_units)]
    if head.dropout:
        parts.append(f"dropout {field_value('dropout', head.dropout)}")
    if head.l2:
        parts.append(f"L2 penalty {decimal(head.l2)}")
    return ", ".join(parts)


def augmentation_words(augmentation: AugmentationConfig) -> str:
    """Return the random changes that differ from none at all, by the names of their controls."""
    if augmentation.is_identity:
        return "none"
    neutral = AugmentationConfig()
    changed = []
    for row in fields(augmentation):
        value = getattr(augmentation, row.name)
        if value == getattr(neutral, row.name):
            continue
        name = field_name(row.name)
        if value is True:
            changed.append(name)
        else:
            changed.append(f"{name} {field_value(row.name, value)}")
    return ", ".join(changed)


def epoch_words(training: TrainingConfig) -> str:
    """Return how long the first or only phase lasts."""
    words = f"at most {training.epochs}"
    if training.patience is not None:
        words += f", early stopping after {count(training.patience, 'epoch')} without getting better"
    return words


def rate_words(training: TrainingConfig) -> str:
    """Return the learning rate and how it changes."""
    words = f"learning rate {decimal(training.learning_rate)}"
    if training.schedule != "constant":
        words += f", {field_value('schedule', training.schedule)}"
    if training.warmup_epochs:
        words += f", {count(training.warmup_epochs, 'epoch')} of warm-up"
    return words


def fine_tuning_words(tuning: FineTuningConfig) -> str:
    """Return the second phase."""
    epochs = count(tuning.epochs, "epoch")
    words = f"{epochs} from {tuning.first_trainable} on with learning rate {decimal(tuning.learning_rate)}"
    return words if tuning.schedule == "constant" else f"{words}, {field_value('schedule', tuning.schedule)}"


def config_rows(config: RunConfig) -> list[tuple[str, str]]:
    """Return what was chosen for a run, as rows of what and value; settings that are off take no row."""
    model, training = config.model, config.training
    rows = [
        *backbone_rows(model),
        ("Trained", trained_words(model)),
        ("Head", head_words(model.head)),
        ("Augmentation", augmentation_words(config.augmentation)),
        ("Optimizer", f"{field_value('optimizer', training.optimizer)}, {rate_words(training)}"),
        ("Batch size", str(training.batch_size)),
        ("Epochs", epoch_words(training)),
    ]
    if training.fine_tuning is not None:
        rows.append(("Second phase", fine_tuning_words(training.fine_tuning)))
    if training.label_smoothing:
        rows.append(("Label smoothing", field_value("label_smoothing", training.label_smoothing)))
    if training.balance != "none":
        rows.append(("Uneven classes", field_value("balance", training.balance)))
    return [*rows, ("Seed", str(training.seed))]


def backbone_rows(model: ModelConfig) -> list[tuple[str, str]]:
    """Return the rows of `config_rows` that a simple head has too: the backbone, and what it sees of a picture."""
    size = model.image_size
    pictures = f"{size} x {size} pixels; not square: {field_value('resize_mode', model.resize_mode)}"
    if model.pixel_scaling != "backbone":
        pictures += f"; pixel values {field_value('pixel_scaling', model.pixel_scaling)}"
    return [
        ("Backbone", f"{get_backbone(model.backbone).title}, first weights: {weights_words(model)}"),
        ("Pictures", pictures),
    ]


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: `1 picture`, `1,200 pictures`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def file_size(num_bytes: int) -> str:
    """Return a size such as `14.2 MB`, with the units that file managers show."""
    if num_bytes < 1000:
        return f"{num_bytes} bytes"
    if num_bytes < 1_000_000:
        return f"{num_bytes / 1000:.0f} kB"
    if num_bytes < 100_000_000:
        return f"{num_bytes / 1_000_000:.1f} MB"
    if num_bytes < 1_000_000_000:
        return f"{num_bytes / 1_000_000:.0f} MB"
    return f"{num_bytes / 1_000_000_000:,.1f} GB"
