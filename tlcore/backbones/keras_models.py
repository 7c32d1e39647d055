"""Build a backbone as one flat Keras model from pixels to features, with or without its weights."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Literal

import keras
import numpy as np

from tlcore.backbones.efficientnet_lite import build_imagenet_classifier, convert_weights, set_weights
from tlcore.backbones.registry import get_backbone
from tlcore.backbones.spec import BackboneSpec, PreprocessingSpec, output_shape
from tlcore.backbones.weights import require_weights
from tlcore.errors import WeightsError

INPUT_NAME = "pixels"
PREPROCESSING_NAME = "preprocessing"


def build_backbone(
    spec: BackboneSpec, image_size: int, weights: Literal["imagenet"] | None = "imagenet", home: Path | None = None
) -> keras.Model:
    """Build a backbone without its classifier, flat, from standard Keras layers under their usual names.

    Args:
        spec: A row of the registry.
        image_size: Side of the square picture, in pixels.
        weights: `imagenet` for the pre-trained weights, `None` for random ones.
        home: The data root; by default `home_dir()`.

    Returns:
        A model from `pixels`, RGB of shape `(batch, image_size, image_size, 3)` in [0, 255] (uint8 or
        float32), to the last block's output. Every layer is trainable but the preprocessing, which
        comes before the first block and must stay frozen.

    Raises:
        ValueError: If `image_size` is too small for the backbone, or `weights` is something else.
        WeightsError: If the weights are missing or damaged. Nothing is downloaded here.
    """
    if weights not in ("imagenet", None):
        raise ValueError(f"`weights` must be 'imagenet' or None. Received: weights={weights!r}")
    output_shape(spec, image_size)
    path = require_weights(spec, home) if weights == "imagenet" else None
    pixels = keras.Input((image_size, image_size, 3), name=INPUT_NAME, dtype="float32")
    preprocessed = _preprocess(pixels, spec.preprocessing)
    features = _build_layers(preprocessed, spec)
    _name_like_fresh_session(keras.Model(pixels, features))
    if path is not None:
        _load_weights(keras.Model(preprocessed, features), path, spec)
    return keras.Model(pixels, features, name=spec.name)


def block_output(model: keras.Model, spec: BackboneSpec, block_name: str) -> keras.KerasTensor:
    """Return what a block hands to the next one: the place where the model can be cut in two.

    Args:
        model: A model from `build_backbone`, or one that continues it.
        spec: Its row of the registry.
        block_name: Name of the block.

    Raises:
        ValueError: If there is no block of that name.
    """
    return model.get_layer(spec.blocks[spec.block_index(block_name)].last_layer).output


def block_layers(model: keras.Model, spec: BackboneSpec) -> dict[str, list[keras.layers.Layer]]:
    """Return the layers of each block, by block name, from the picture up.

    Input, preprocessing and the layers after the backbone belong to no block.

    Args:
        model: A model from `build_backbone`, or one that continues it.
        spec: Its row of the registry.
    """
    # Keras sorts layers by their distance from the output, and a block hands over a single tensor:
    # so all layers of a block stand between two last layers.
    layers = [layer for layer in model.layers if layer.name not in (INPUT_NAME, PREPROCESSING_NAME)]
    names = [layer.name for layer in layers]
    blocks = {}
    start = 0
    for block in spec.blocks:
        end = names.index(block.last_layer) + 1
        blocks[block.name] = layers[start:end]
        start = end
    return blocks


def save_embedded_weights(path: Path) -> None:
    """Write the embedded weights of EfficientNet-Lite0 in Keras's format.

    Raises:
        WeightsError: If the package with the weights is missing or damaged.
    """
    spec = get_backbone("efficientnet_lite0")
    inputs = keras.Input((spec.default_size, spec.default_size, 3))
    model = keras.Model(inputs, _build_layers(inputs, spec))
    set_weights(model, convert_weights())
    # Keras insists on this ending; the caller's temporary name has another.
    keras_path = path.with_name(f"{path.name}.weights.h5")
    try:
        model.save_weights(keras_path)
        keras_path.replace(path)
    finally:
        keras_path.unlink(missing_ok=True)


def build_lite0_imagenet_classifier() -> keras.Model:
    """Build EfficientNet-Lite0 with its own classifier for the 1000 classes of ImageNet.

    Returns:
        A model from pixels of shape `(batch, 224, 224, 3)` in [0, 255] to probabilities of shape `(batch, 1000)`.

    Raises:
        WeightsError: If the package with the weights is missing or damaged.
    """
    spec = get_backbone("efficientnet_lite0")
    backbone = build_backbone(spec, spec.default_size, weights=None)
    model = keras.Model(backbone.input, build_imagenet_classifier(backbone.output), name=f"{spec.name}_imagenet")
    set_weights(model, convert_weights())
    return model


def _preprocess(pixels: keras.KerasTensor, spec: PreprocessingSpec) -> keras.KerasTensor:
    """Add the frozen layer that turns pixels into the network's input."""
    if spec.is_identity:
        return pixels
    if not spec.bgr:
        return keras.layers.Rescaling(list(spec.scale), list(spec.offset), name=PREPROCESSING_NAME)(pixels)
    # A convolution swaps the channels with a layer that every version and converter of Keras knows.
    layer = keras.layers.Conv2D(3, 1, name=PREPROCESSING_NAME, trainable=False)
    preprocessed = layer(pixels)
    kernel = np.diag(np.asarray(spec.scale, np.float32))[::-1]
    layer.set_weights([kernel.reshape(1, 1, 3, 3), np.asarray(spec.offset, np.float32)])
    return preprocessed


def _build_layers(preprocessed: keras.KerasTensor, spec: BackboneSpec) -> keras.KerasTensor:
    """Call the row's builder."""
    module, _, name = spec.builder.partition(":")
    builder = getattr(importlib.import_module(module), name)
    arguments = dict(spec.arguments)
    if module != "keras.applications":
        return builder(preprocessed, **arguments)
    return builder(include_top=False, weights=None, input_tensor=preprocessed, **arguments).output


def _name_like_fresh_session(model: keras.Model) -> None:
    """Number the layers that Keras named itself from the start, whatever was built before in this process."""
    numbers: dict[str, list[tuple[int, keras.layers.Layer]]] = {}
    for layer in model.layers:
        match = re.fullmatch(r"(.+?)(?:_(\d+))?", layer.name)
        if match and match[1].replace("_", "") == type(layer).__name__.lower():
            numbers.setdefault(match[1], []).append((int(match[2] or 0), layer))
    for kind, layers in numbers.items():
        for number, (_, layer) in enumerate(sorted(layers, key=lambda pair: pair[0])):
            layer.name = f"{kind}_{number}" if number else kind


def _load_weights(model: keras.Model, path: Path, spec: BackboneSpec) -> None:
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path} does not hold the weights of {spec.title}: {error}. Delete it and try again."
        ) from error
