"""The model in Keras: backbone and head, frozen up to a block, and its two parts at the cut."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from tlcore.backbones.keras_models import PREPROCESSING_NAME, block_layers, block_output, build_backbone
from tlcore.config import HeadConfig
from tlcore.home import DataRoot
from tlcore.model.cut import PIXELS, POOLING, ModelPlan

PROBABILITIES = "probabilities"
# Keras's networks keep 99 or 99.9 % of old statistics in each step, for trainings of many thousand steps. In one of
# hundreds those of the random start would stay, and validation would judge another network than training.
LEARNED_MOMENTUM = 0.9


@dataclass(frozen=True, slots=True)
class Classifier:
    """One network, seen as a whole and as two parts that share its layers and weights.

    Attributes:
        model: Pixels in `[0, 255]` of shape `(batch, size, size, 3)` to probabilities `(batch, classes)`.
        prefix: Pixels to the features at the cut; `None` when nothing is frozen.
        suffix: Features at the cut to probabilities. Training it trains `model`.
    """

    model: keras.Model
    prefix: keras.Model | None
    suffix: keras.Model


def build_classifier(
    plan: ModelPlan,
    num_classes: int,
    home: DataRoot,
    *,
    seed: int = 0,
) -> Classifier:
    """Build backbone and head as one flat network and cut it at the freeze line.

    Flat, because heat maps and cuts inside nested Keras models break.

    Args:
        plan: Backbone, its first weights, freeze line and head.
        num_classes: Number of outputs.
        home: The data root.
        seed: Fixes the first weights of all that learns without having learned before, and dropout. Random weights
            that are frozen at first are the same for every seed, even if a later phase thaws them.

    Raises:
        WeightsError: If the backbone's weights are not on this computer.
    """
    backbone = build_backbone(
        plan.backbone, plan.config.image_size, home, plan.config.weights, learning=plan.trainable_blocks, seed=seed
    )
    outputs = _head(backbone.output, plan.config.head, num_classes, seed)
    return cut_model(keras.Model(backbone.input, outputs, name="classifier"), plan)


def cut_model(model: keras.Model, plan: ModelPlan) -> Classifier:
    """Freeze a whole network up to the freeze line and cut it there; its weights stay as they are.

    Args:
        model: `Classifier.model` of the same backbone and head, whatever was frozen in it before.
        plan: Names the first trainable block.
    """
    freeze_until(model, plan)
    cut = plan.prefix.cut
    if cut == PIXELS:
        return Classifier(model, None, model)
    at_cut = model.get_layer(POOLING).output if cut == POOLING else block_output(model, plan.backbone, cut)
    return Classifier(
        model,
        prefix=keras.Model(model.input, at_cut, name="prefix"),
        suffix=keras.Model(at_cut, model.output, name="suffix"),
    )


def build_prefix(plan: ModelPlan, home: DataRoot) -> keras.Model:
    """Build only the frozen part, to compile it.

    Raises:
        ValueError: If nothing is frozen.
        WeightsError: If the backbone's weights are not on this computer.
    """
    cut = plan.prefix.cut
    if cut == PIXELS:
        raise ValueError("`plan` must freeze at least one block. Received: every block is trainable")
    backbone = build_backbone(plan.backbone, plan.config.image_size, home, plan.config.weights)
    if cut == POOLING:
        return keras.Model(backbone.input, keras.layers.GlobalAveragePooling2D(name=POOLING)(backbone.output))
    return keras.Model(backbone.input, block_output(backbone, plan.backbone, cut))


def _head(features: keras.KerasTensor, config: HeadConfig, num_classes: int, seed: int) -> keras.KerasTensor:
    """Add the head; return the probabilities."""
    if config.pooling == "average":
        x = keras.layers.GlobalAveragePooling2D(name=POOLING)(features)
    else:
        x = keras.layers.Flatten(name="flatten")(features)
    for number, units in enumerate((*config.dense_units, num_classes), start=1):
        if config.dropout:
            x = keras.layers.Dropout(config.dropout, seed=seed + number, name=f"dropout_{number}")(x)
        is_output = number > len(config.dense_units)
        x = keras.layers.Dense(
            units,
            activation="softmax" if is_output else "relu",
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed + number),
            kernel_regularizer=keras.regularizers.L2(config.l2) if config.l2 else None,
            name=PROBABILITIES if is_output else f"dense_{number}",
        )(x)
    return x


def freeze_until(model: keras.Model, plan: ModelPlan) -> None:
    """Thaw the blocks that shall learn; freeze the others, and the batch normalization of a pre-trained backbone.

    With random weights there are no statistics worth keeping, and batch normalization learns with its block.
    Otherwise it keeps the statistics of ImageNet only when the layer itself is frozen: Keras 3
    overrides a `training=False` given when the model was built.

    Args:
        model: A model from `build_classifier`.
        plan: Names the first trainable block.

    Source:
        https://keras.io/guides/transfer_learning/, corrected by
        https://github.com/keras-team/keras/issues/20285
    """
    for name, layers in block_layers(model, plan.backbone).items():
        for layer in layers:
            is_norm = isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = name in plan.trainable_blocks and (plan.is_random or not is_norm)
            if is_norm and layer.trainable:
                layer.momentum = LEARNED_MOMENTUM
    for layer in model.layers:
        if layer.name == PREPROCESSING_NAME:
            layer.trainable = False
