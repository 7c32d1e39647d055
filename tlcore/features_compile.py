"""Keras models to LiteRT files, for everything that runs without TensorFlow."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tlcore.home import write_atomically


def compile_model(model: keras.Model, path: Path) -> None:
    """Write a Keras model as a LiteRT file that takes one picture (or its features) at a time.

    Args:
        model: One input, one output; float32.
        path: Where the `.tflite` file goes.

    Raises:
        StorageError: If the disk is full.
    """
    signature = tf.TensorSpec((1, *model.input.shape[1:]), tf.float32, name="input")
    function = tf.function(lambda values: model(values, training=False), input_signature=[signature])
    # Keras 3 keeps its variables where the converter does not look, and the file would come out without
    # weights; as constants they are part of the graph.
    frozen = convert_variables_to_constants_v2(function.get_concrete_function())
    content = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
