"""The other side: transfer learning as the tutorials write it, with the same weights and the same head."""

from __future__ import annotations

import time

import keras
import numpy as np
from numpy.typing import NDArray
from tensorflow.keras.preprocessing.image import ImageDataGenerator

from tlcore.backbones.keras_models import block_layers, build_backbone
from tlcore.backbones.registry import get_backbone
from tlcore.config import AugmentationConfig, ModelConfig, TrainingConfig
from tlcore.home import DataRoot


def build_model(config: ModelConfig, num_classes: int, home: DataRoot) -> keras.Model:
    """Put a new head on the backbone and freeze what shall not learn.

    Batch normalization stays frozen, as in every guide to fine-tuning.
    """
    spec = get_backbone(config.backbone)
    base = build_backbone(spec, config.image_size, home=home)
    if config.first_trainable is None:
        base.trainable = False
    else:
        trainable = {block.name for block in spec.blocks[spec.block_index(config.first_trainable) :]}
        for block, layers in block_layers(base, spec).items():
            for layer in layers:
                is_norm = isinstance(layer, keras.layers.BatchNormalization)
                layer.trainable = block in trainable and not is_norm

    inputs = keras.Input((config.image_size, config.image_size, 3))
    x = base(inputs, training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(config.head.dropout)(x)
    outputs = keras.layers.Dense(num_classes, activation="softmax")(x)
    return keras.Model(inputs, outputs)


def train(
    model: keras.Model,
    pictures: NDArray[np.uint8],
    labels: NDArray[np.int64],
    config: TrainingConfig,
    augmentation: AugmentationConfig | None = None,
) -> list[float]:
    """Train with `fit()`, every picture through the whole network in every epoch.

    Args:
        model: From `build_model`.
        pictures: uint8 of shape `(n, size, size, 3)`.
        labels: Their classes, shape `(n,)`.
        config: Epochs, batch size, learning rate.
        augmentation: What `ImageDataGenerator` shall do, if anything.

    Returns:
        The seconds of each epoch.
    """
    keras.utils.set_random_seed(config.seed)
    model.compile(keras.optimizers.Adam(config.learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    times = [time.perf_counter()]
    note_time = keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, _logs: times.append(time.perf_counter()))
    if augmentation is None:
        model.fit(
            pictures, labels, batch_size=config.batch_size, epochs=config.epochs, callbacks=[note_time], verbose=0
        )
    else:
        generator = ImageDataGenerator(
            rotation_range=augmentation.rotation_range,
            width_shift_range=augmentation.width_shift_range,
            height_shift_range=augmentation.height_shift_range,
            zoom_range=augmentation.zoom_range,
            horizontal_flip=augmentation.horizontal_flip,
            fill_mode=augmentation.fill_mode,
        )
        batches = generator.flow(pictures, labels, batch_size=config.batch_size)
        model.fit(batches, epochs=config.epochs, callbacks=[note_time], verbose=0)
    return np.diff(times).tolist()


def accuracy(model: keras.Model, pictures: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """Return the fraction of right answers."""
    answers = model.predict(pictures, batch_size=32, verbose=0).argmax(axis=1)
    return float(np.mean(answers == labels))
