"""A bundle whose answers are known: its model tells colours apart by the mean of a picture, and is made in seconds."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.coloured_pictures import COLOURS
from tlcore.documents import write_document
from tlcore.export.formats import FORMATS
from tlcore.export.manifest import MANIFEST_FILE, Manifest
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.requests import ExportResult, FormatName, FormatReport

SHARPNESS = 4.0
SIDE = 32
TITLE = "Colours <b>of</b> balls"
NAMES = ("red", "green", "blue")
assert set(NAMES) == set(COLOURS)


def expected(mean: np.ndarray) -> np.ndarray:
    """Return the probabilities for a picture whose three colours have these means, `[0, 255]`."""
    powers = np.exp(SHARPNESS * mean / 255)
    return powers / powers.sum()


def model_files(folder: Path) -> Mapping[FormatName, Path]:
    """Write the model as LiteRT, as 8-bit integers and as ONNX, and return the files."""
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from tlcore.export.resampling import square_of

    def model_of(shape: tuple[int | None, ...]) -> keras.Model:
        pixels = keras.Input(shape, name="pixels")
        square = pixels if shape[0] else square_of(pixels, SIDE, "crop")
        mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(square))
        layer = keras.layers.Dense(3, activation="softmax")
        model = keras.Model(pixels, layer(mean))
        layer.set_weights([SHARPNESS * np.eye(3), np.zeros(3)])
        return model

    def converter_of(model: keras.Model, side: int | None) -> tf.lite.TFLiteConverter:
        function = tf.function(lambda pixels: model(pixels, training=False))
        concrete = function.get_concrete_function(tf.TensorSpec((1, side, side, 3), tf.float32))
        return tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(concrete)])

    files: dict[FormatName, Path] = {name: folder / FORMATS[name].file for name in ("litert", "litert-int8", "onnx")}
    any_size = model_of((None, None, 3))
    files["litert"].write_bytes(converter_of(any_size, None).convert())
    whole = converter_of(model_of((SIDE, SIDE, 3)), SIDE)
    whole.optimizations = [tf.lite.Optimize.DEFAULT]
    whole.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    whole.inference_input_type = whole.inference_output_type = tf.uint8
    random = np.random.default_rng(0)
    whole.representative_dataset = lambda: (
        [np.full((1, SIDE, SIDE, 3), random.integers(0, 256, 3), np.float32)] for _ in range(50)
    )
    files["litert-int8"].write_bytes(whole.convert())
    any_size(np.zeros((1, SIDE, SIDE, 3), np.float32))
    any_size.export(files["onnx"], format="onnx", verbose=False)
    return files


def manifest(threshold: float = 0.5, warnings: Mapping[FormatName, str] | None = None) -> Manifest:
    """Return what the bundle says of that model."""
    warned = warnings or {}
    reports = tuple(
        FormatReport(name, 1000, 12, 12, 12, 0.001, 0.1, warning=warned.get(name, ""))
        for name in ("litert", "litert-int8", "onnx")
    )
    result = ExportResult("", ModelSettings(threshold=threshold), 12, 12, 0.1, "a processor", reports)
    return Manifest(TITLE, NAMES, (0, 1, 2), threshold, SIDE, "crop", None, result)


def write_bundle(path: Path, files: Mapping[FormatName, Path], said: Manifest | None = None) -> Path:
    """Write the ZIP file with some formats."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("README.txt", "Feed me.")
        bundle.writestr(MANIFEST_FILE, write_document(said or manifest()))
        for name, file in files.items():
            bundle.write(file, FORMATS[name].file)
    return path
