"""What a model will look like before it is built: blocks, head, and how many weights are trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tlcore.backbones.registry import get_backbone, output_shape
from tlcore.backbones.weights.status import is_random
from tlcore.config import RANDOM, FineTuningConfig, HeadConfig, ModelConfig, RunConfig
from tlcore.errors import RunError
from tlcore.model.cut import POOLING, plan_model, scales_otherwise

# The head's rate is divided by this for the blocks of the backbone.
GENTLER = 30.0

BYTES_PER_NUMBER = 4
GUESSED_CLASSES = 100
"""Of a run whose data set is not looked at; one more class adds a thousandth of a model."""


@dataclass(frozen=True, slots=True)
class PartSummary:
    """A block of the backbone, or a layer of the head.

    Attributes:
        name: Stable name of the block, by which the freeze line is given; of the Keras layer in the head.
        output_shape: What the next part gets for one picture: `(height, width, channels)` after a block.
        parameters: Weights in scalars, batch normalization included; 0 when there is nothing to learn.
        trainable: Whether training changes it; a block's batch normalization stays frozen even then.
        note: What a block typically recognises, in words.
    """

    name: str
    output_shape: tuple[int, ...]
    parameters: int
    trainable: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A model from the picture to the probabilities.

    Attributes:
        blocks: Of the backbone, from the picture up.
        head: The new layers after it, up to the probabilities.
        trainable_parameters: Weights in scalars that training changes.
        frozen_parameters: Weights in scalars that it leaves alone.
    """

    blocks: tuple[PartSummary, ...]
    head: tuple[PartSummary, ...]
    trainable_parameters: int
    frozen_parameters: int


def bytes_of_run(config: RunConfig) -> int:
    """Return about how many bytes a run takes on the disk while it works: its model twice, and what it goes on from.

    The second time is its trainable part as it answers pictures. A run that could go on after a crash keeps its
    trainable weights, those of the best epoch, and up to two numbers of the optimizer for each of them.

    Raises:
        ValueError: As of `describe_model`.
    """
    phases = [describe_model(phase.model, GUESSED_CLASSES) for phase in config.phases]
    weights = phases[0].trainable_parameters + phases[0].frozen_parameters
    return BYTES_PER_NUMBER * (2 * weights + 4 * max(phase.trainable_parameters for phase in phases))


def blocks_to_thaw(config: RunConfig) -> list[str]:
    """Return the blocks at which the second phase can begin, from the picture up: those frozen in the first."""
    spec, first = get_backbone(config.model.backbone), config.model.first_trainable
    return list(spec.block_names if first is None else spec.block_names[: spec.block_index(first)])


def without_contradictions(config: RunConfig) -> RunConfig:
    """Return the settings without what their backbone and its freeze line make impossible or meaningless.

    That is a line at a block that another backbone has, a picture smaller than the backbone sees, a scaling of pixels
    that is its own anyway, a second phase whose block learns in the first one already, and blocks kept frozen where
    all are.
    """
    spec, model, tuning = get_backbone(config.model.backbone), config.model, config.training.fine_tuning
    first = model.first_trainable
    if first is not None and first not in spec.block_names:
        first = spec.block_names[0] if is_random(spec, model.weights) else None
    behind = () if first is None else spec.block_names[spec.block_index(first) :]
    model = replace(
        model,
        first_trainable=first,
        also_frozen=tuple(name for name in model.also_frozen if name in behind),
        image_size=max(model.image_size, spec.minimum_size),
        pixel_scaling=model.pixel_scaling if scales_otherwise(spec, model.pixel_scaling) else "backbone",
    )
    config = replace(config, model=model)
    if tuning is not None and tuning.first_trainable not in blocks_to_thaw(config):
        config = replace(config, training=replace(config.training, fine_tuning=None))
    return config


def with_weights(config: RunConfig, weights: str) -> RunConfig:
    """Return the settings with other first weights; without pre-training all blocks learn, with it none at first."""
    spec = get_backbone(config.model.backbone)
    was_random = config.model.weights == RANDOM
    model = replace(config.model, weights=weights)
    if weights == RANDOM:
        model = replace(model, first_trainable=spec.block_names[0], also_frozen=())
    elif was_random:
        model = replace(model, first_trainable=None, also_frozen=())
    tuning = None if weights == RANDOM else config.training.fine_tuning
    return replace(config, model=model, training=replace(config.training, fine_tuning=tuning))


def check_phases(config: RunConfig) -> None:
    """Check that the warm-up ends, and that the second phase, if there is one, thaws something.

    Raises:
        RunError: If the warm-up is longer than the first phase, or the block of the second learns in it already.
    """
    training, tuning = config.training, config.training.fine_tuning
    if training.warmup_epochs > training.epochs:
        raise RunError(
            f"The warm-up of {training.warmup_epochs} epochs is longer than the training, which has {training.epochs}. "
            "Choose fewer epochs to warm up, or train for more."
        )
    if tuning is not None and tuning.first_trainable not in blocks_to_thaw(config):
        raise RunError(
            f"The second phase would begin at block {tuning.first_trainable}, which learns in the first phase already. "
            "Let it begin at an earlier block, or train in one phase."
        )


def usual_fine_tuning(config: RunConfig) -> FineTuningConfig:
    """Return a second phase that suits most data: the last third of the frozen blocks, in small steps."""
    thawable = blocks_to_thaw(config)
    block = thawable[-max(1, round(len(thawable) / 3))]
    rate = float(f"{config.training.learning_rate / GENTLER:.0e}")
    return FineTuningConfig(block, learning_rate=rate)


def describe_model(config: ModelConfig, num_classes: int) -> ModelSummary:
    """Describe the model that `tlcore.model.classifier.build_classifier` would build.

    Args:
        config: Backbone, freeze line and head.
        num_classes: Number of outputs, at least 1.

    Raises:
        ValueError: If there is no such backbone or block, or the picture is smaller than the backbone allows.
    """
    if num_classes < 1:
        raise ValueError(f"`num_classes` must be at least 1. Received: num_classes={num_classes}")
    plan = plan_model(config)
    spec, trainable = plan.backbone, plan.trainable_blocks
    shapes = output_shape(spec, config.image_size)
    blocks = tuple(
        PartSummary(block.name, shapes[block.name], block.parameters, block.name in trainable, spec.sees(block.name))
        for block in spec.blocks
    )
    head = _describe_head(config.head, blocks[-1].output_shape, num_classes)
    learning = sum(
        # Without pre-training there are no statistics worth keeping, so batch normalization learns too.
        block.trainable_parameters + (block.batch_norm_weights if plan.is_random else 0)
        for block in spec.blocks
        if block.name in trainable
    )
    return ModelSummary(
        blocks=blocks,
        head=head,
        trainable_parameters=learning + sum(layer.parameters for layer in head),
        frozen_parameters=sum(block.parameters for block in spec.blocks) - learning,
    )


def _describe_head(config: HeadConfig, features: tuple[int, ...], num_classes: int) -> tuple[PartSummary, ...]:
    """Return the layers from the backbone's features, `(height, width, channels)`, to the probabilities."""
    if config.pooling == "average":
        layers = [PartSummary(POOLING, (features[-1],), 0)]
    else:
        layers = [PartSummary("flatten", (math.prod(features),), 0)]
    for number, units in enumerate((*config.dense_units, num_classes), start=1):
        (inputs,) = layers[-1].output_shape
        if config.dropout:
            layers.append(PartSummary(f"dropout_{number}", (inputs,), 0))
        name = f"dense_{number}" if number <= len(config.dense_units) else "probabilities"
        layers.append(PartSummary(name, (units,), inputs * units + units))
    return tuple(layers)
