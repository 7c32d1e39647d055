"""From the one Keras model to the file of each format, with the converters of TensorFlow and Keras."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tlcore.export.formats import FORMATS
from tlcore.features.litert import seal
from tlcore.home import HALF_WRITTEN, storage_error, write_atomically
from tlcore.results.export import save_keras_file
from tlcore.storage.requests import FormatName

LOUD_LOGGERS = ("absl", "tf2onnx", "tensorflow")


def convert(model: keras.Model, name: FormatName, folder: Path, squares: Sequence[NDArray[np.uint8]] = ()) -> None:
    """Write a model in one format.

    Args:
        model: From `build_any_size`; of a format that takes one size only, from `build_square`.
        name: The format.
        folder: Where its file goes, under its name of `FORMATS`.
        squares: Training pictures as the model sees them, uint8 of shape `(size, size, 3)` each, which decide how a
            calibrated format rounds; at least one for such a format.

    Raises:
        StorageError: If the disk is full.
        Exception: Whatever a converter raises over a model that it cannot write.
    """
    path = folder / FORMATS[name].file.rstrip("/")
    with _quiet():
        if name == "keras":
            write_atomically(path, lambda temporary: save_keras_file(model, temporary))
        elif name == "savedmodel":
            _write_whole(path, lambda temporary: model.export(str(temporary), format="tf_saved_model", verbose=False))
        elif name == "onnx":
            model(np.zeros((1, *(side or 32 for side in model.input.shape[1:])), np.float32))  # or it will not export
            _write_whole(path, lambda temporary: _write_onnx(model, temporary))
        else:
            content = seal(_litert(model, name, squares))
            write_atomically(path, lambda temporary: temporary.write_bytes(content))


def _write_onnx(model: keras.Model, path: Path) -> None:
    """Write a model as ONNX.

    Raises:
        onnx.checker.ValidationError: If it has an operation that ONNX does not know: tf2onnx leaves such a one in the
            file, which then nothing can load.
        ValueError: If it asks for more than the pixels.
    """
    import onnx

    _teach_tf2onnx()
    with _inlined(), _plain_constants(model):
        model.export(str(path), format="onnx", verbose=False)
    onnx.checker.check_model(str(path))
    inputs = [one.name for one in onnx.load(str(path), load_external_data=False).graph.input]
    if len(inputs) != 1:
        raise ValueError(f"the file must have one input, the pixels. Received: {', '.join(inputs)}")


@cache
def _teach_tf2onnx() -> None:
    """Teach tf2onnx the operation of TensorFlow that it does not know, and that `gelu` is made of."""
    from tf2onnx.handler import tf_op

    @tf_op("Erfc")
    class _Erfc:
        @classmethod
        def version_9(cls, ctx: Any, node: Any, **_options: Any) -> None:
            """Write `erfc(x)` as `1 - erf(x)`: ONNX has `Erf` since its ninth version."""
            shapes, dtypes = node.output_shapes, node.output_dtypes
            erf = ctx.make_node("Erf", [node.input[0]], shapes=shapes, dtypes=dtypes)
            one = ctx.make_const(f"{node.name}/one", np.array(1, np.float32))
            ctx.remove_node(node.name)
            ctx.make_node(
                "Sub", [one.output[0], erf.output[0]], name=node.name, outputs=node.output, shapes=shapes, dtypes=dtypes
            )


@contextlib.contextmanager
def _inlined() -> Iterator[None]:
    """Let the operations of an inner `tf.function` stand in the graph itself.

    Keras calls a convolution in groups, such as a depthwise one of class `Conv2D`, as a function of its own that XLA
    compiles, and TensorFlow then never puts it in the place of the call, which ONNX has no operation for.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@contextlib.contextmanager
def _plain_constants(model: keras.Model) -> Iterator[None]:
    """Let the means and variances of `Normalization` layers be NumPy's while a model is written.

    As tensors of TensorFlow they count as inputs of the graph, and whoever asks the file would have to know them.
    """
    layers = [layer for layer in _layers_of(model) if isinstance(layer, keras.layers.Normalization)]
    before = [(layer.mean, layer.variance) for layer in layers]
    for layer in layers:
        layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    try:
        yield
    finally:
        for layer, (mean, variance) in zip(layers, before, strict=True):
            layer.mean, layer.variance = mean, variance


def _layers_of(model: keras.Model) -> Iterator[keras.Layer]:
    """Yield the layers of a model and of the models inside of it."""
    for layer in model.layers:
        yield from _layers_of(layer) if isinstance(layer, keras.Model) else (layer,)


def _litert(model: keras.Model, name: FormatName, squares: Sequence[NDArray[np.uint8]]) -> bytes:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([_one_picture(model)])
    if name != "litert":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if name == "litert-float16":
        converter.target_spec.supported_types = [tf.float16]
    if name == "litert-int8":
        converter.representative_dataset = lambda: ([one[np.newaxis].astype(np.float32)] for one in squares)
        # Nothing but integers, from the pixels to the answer: for chips that know nothing else.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    return bytes(converter.convert())


def _one_picture(model: keras.Model) -> Any:
    """Return a model as a graph that takes one picture, with its weights as constants."""
    trainable, others = (
        [variable.numpy() for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    )

    def predict(values: tf.Tensor) -> tf.Tensor:
        return model.stateless_call(trainable, others, values, training=False)[0]

    signature = tf.TensorSpec((1, *model.input.shape[1:]), tf.float32, name="pixels")
    return tf.function(predict, input_signature=[signature]).get_concrete_function()


def _write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let a converter write a file or a folder under another name, then give it its own: it is whole or not there."""
    temporary = path.with_name(f"{HALF_WRITTEN}{path.name}")
    try:
        write(temporary)
        remove(path)
        temporary.replace(path)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Remove a file or a folder; one that is not there is no matter."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    return sum(one.stat().st_size for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converters' advice to programmers out of the log."""
    loggers = [logging.getLogger(name) for name in LOUD_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
