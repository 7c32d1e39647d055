"""Keras models to LiteRT files and to folded TensorFlow graphs, and which of the two is faster here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tlcore.features.engines import EngineSpeeds, LiteRTEngine, as_stored, pictures_per_second, this_machine
from tlcore.features.litert import seal
from tlcore.home import write_atomically


def compile_model(model: keras.Model, path: Path) -> None:
    """Write a Keras model as a LiteRT file that takes one picture (or its features) at a time.

    Args:
        model: One input, one output; float32.
        path: Where the `.tflite` file goes.

    Raises:
        StorageError: If the disk is full.
    """
    frozen = _folded(model, batch_size=1)
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it advises to hand over the variables, which are constants here
    try:
        content = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    finally:
        logger.setLevel(level)
    write_atomically(path, lambda temporary: temporary.write_bytes(seal(content)))


def _folded(model: keras.Model, batch_size: int | None) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a model as one graph with its weights as constants.

    Keras 3 keeps its variables where the LiteRT converter does not look, and the file would come out without
    weights; as constants they are part of the graph, and TensorFlow can compute with them ahead.
    """
    trainable, others = (
        [variable.numpy() for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    )

    def predict(values: tf.Tensor) -> tf.Tensor:
        return model.stateless_call(trainable, others, values, training=False)[0]

    signature = tf.TensorSpec((batch_size, *model.input.shape[1:]), tf.float32, name="input")
    graph: Callable[[tf.Tensor], tf.Tensor] = tf.function(predict, input_signature=[signature]).get_concrete_function()
    return graph


class FoldedEngine:
    """The prefix as a folded TensorFlow graph, in batches; all threads share it."""

    batch_size = 32

    def __init__(self, model: keras.Model) -> None:
        self._function = _folded(model, batch_size=None)

    def __call__(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.generic]:
        """Return the features, float16."""
        features = self._function(tf.constant(np.stack(pictures), tf.float32))
        return as_stored(features.numpy())


def measure_engines(model: keras.Model, path: Path) -> EngineSpeeds:
    """Measure both engines on this machine.

    Args:
        model: The prefix, from `build_prefix`.
        path: The same prefix, compiled.
    """
    image_size = model.input.shape[1]
    folded = FoldedEngine(model)
    return EngineSpeeds(
        this_machine(),
        litert=pictures_per_second(lambda: LiteRTEngine(path), image_size),
        tensorflow=pictures_per_second(lambda: folded, image_size),
    )
