"""Exported files, loaded again: pictures to probabilities by the runtime that each format is for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlcore.errors import RunError
from tlcore.export.formats import FORMATS, FormatSpec, Runtime
from tlcore.storage.requests import FormatName

Ask = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Takes one picture, uint8 RGB of shape `(height, width, 3)`, `[0, 255]`; returns float32 of shape `(classes,)`."""


def open_format(folder: Path, name: FormatName, threads: int = 1) -> Ask:
    """Load one format of a bundle's folder.

    Args:
        folder: Holds the file under its name of `FORMATS`.
        name: Which one.
        threads: How many threads one answer may use, where the runtime can be told.

    Raises:
        RunError: If the file is missing or damaged.
    """
    spec = FORMATS[name]
    try:
        return _OPENERS[spec.runtime](folder / spec.file.rstrip("/"), spec, threads)
    except (OSError, ValueError, RuntimeError) as error:
        raise RunError(f"The file {spec.file} is missing or damaged. Make the export again.") from error


def _open_keras(path: Path, _spec: FormatSpec, _threads: int) -> Ask:
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(path, compile=False)
    # One graph for pictures of all sizes; layer by layer it would take ten times as long.
    pixels = tf.TensorSpec((None, None, None, 3), tf.float32)
    answer = tf.function(lambda values: model(values, training=False), input_signature=[pixels])
    return lambda image: np.asarray(answer(tf.constant(image[np.newaxis], tf.float32)))[0]


def _open_saved_model(path: Path, _spec: FormatSpec, _threads: int) -> Ask:
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    return lambda image: np.asarray(model.serve(tf.constant(image[np.newaxis], tf.float32)))[0]


def _open_litert(path: Path, spec: FormatSpec, threads: int) -> Ask:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    source, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.allocate_tensors()

    def ask(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        if spec.takes_any_size and tuple(interpreter.get_input_details()[0]["shape"][1:3]) != image.shape[:2]:
            interpreter.resize_tensor_input(source["index"], (1, *image.shape))
            interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], image[np.newaxis].astype(spec.dtype))
        interpreter.invoke()
        values = interpreter.get_tensor(answer["index"])[0]
        scale, zero = answer["quantization"]
        return np.asarray((values.astype(np.float32) - zero) * scale if scale else values, np.float32)

    return ask


def _open_onnx(path: Path, _spec: FormatSpec, threads: int) -> Ask:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def ask(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {name: image[np.newaxis].astype(np.float32)})[0][0], np.float32)

    return ask


_OPENERS: dict[Runtime, Callable[[Path, FormatSpec, int], Ask]] = {
    "keras": _open_keras,
    "tensorflow": _open_saved_model,
    "litert": _open_litert,
    "onnx": _open_onnx,
}
