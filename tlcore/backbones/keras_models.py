"""Build a backbone as one flat Keras model from pixels to features, with or without its weights."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlcore.backbones.efficientnet_lite import convert_weights
from tlcore.backbones.spec import BackboneSpec, PreprocessingSpec, output_shape
from tlcore.backbones.weights.status import RANDOM_SEED, is_random, require_weights
from tlcore.config import IMAGENET
from tlcore.errors import WeightsError
from tlcore.home import DataRoot, without_places
from tlcore.private_keras import fixed_draws, name_like_fresh_session, run_through

INPUT_NAME = "pixels"
PREPROCESSING_NAME = "preprocessing"

PARTS_OF_A_PHOTOGRAPH = 3
SWISHES = (keras.activations.silu, keras.activations.hard_silu)
SMALL = 0.05


def build_backbone(
    spec: BackboneSpec,
    image_size: int,
    home: DataRoot,
    weights: str = IMAGENET,
    *,
    learning: Collection[str] = (),
    seed: int = RANDOM_SEED,
) -> keras.Model:
    """Build a backbone without its classifier, flat, from standard Keras layers under their usual names.

    Args:
        spec: A row of the registry, or a small network.
        image_size: Side of the square picture, in pixels.
        home: The data root.
        weights: What it starts with, as in `ModelConfig.weights`.
        learning: Names of the blocks whose random weights are drawn from `seed`. Those of the others are the same
            every time, and so are the features that are cached of them.
        seed: Another one draws other random weights; weights from a file are not touched.

    Returns:
        A model from `pixels`, RGB of shape `(batch, image_size, image_size, 3)` in [0, 255] (uint8 or
        float32), to the last block's output. Every layer is trainable but the preprocessing, which
        comes before the first block and must stay frozen.

    Raises:
        ValueError: If `image_size` is too small for the backbone, or there can be no such `weights`.
        WeightsError: If the weights are missing or damaged. Nothing is downloaded here.
    """
    output_shape(spec, image_size)
    path = require_weights(spec, home, weights)
    pixels = keras.Input((image_size, image_size, 3), name=INPUT_NAME, dtype="float32")
    preprocessed = _preprocess(pixels, spec.preprocessing)
    random_weights = is_random(spec, weights)
    with fixed_draws(seed if learning else RANDOM_SEED) if random_weights else nullcontext():
        features = _build_layers(preprocessed, spec)
    name_like_fresh_session(keras.Model(pixels, features))
    model = keras.Model(pixels, features, name=spec.name)
    if random_weights:
        if learning:
            _draw_as_always(model, spec, set(spec.block_names) - set(learning))
        _settle_batch_norm(model, image_size)
    elif path is None:
        weights_by_layer = convert_weights()
        for layer in model.layers:
            if layer.weights:
                layer.set_weights(weights_by_layer[layer.name])
    else:
        _load_weights(keras.Model(preprocessed, features), path, spec)
    if weights == IMAGENET and spec.imagenet_variance_factors:
        scale_pixel_variances(model, spec.imagenet_variance_factors)
    return model


def build_network(spec: BackboneSpec, image_size: int) -> keras.Model:
    """Build what a file of weights belongs to: the backbone without the preprocessing, with any weights.

    Args:
        spec: A row of the registry.
        image_size: Side of the square picture, in pixels; no weight depends on it.
    """
    inputs = keras.Input((image_size, image_size, 3), name=INPUT_NAME)
    # Named, because names stand in a file of weights: the same weights make the same file.
    model = keras.Model(inputs, _build_layers(inputs, spec), name=spec.name)
    name_like_fresh_session(model)
    return model


def pixel_means(network: keras.Model) -> list[float]:
    """Return the mean of each channel that a network subtracts in its own `Normalization` layer."""
    return [float(mean) for mean in _normalization(network).get_weights()[0]]


def scale_pixel_variances(network: keras.Model, factors: tuple[float, float, float]) -> None:
    """Multiply the variances by which a network normalizes its pixels: the same as a scaling layer behind it.

    Args:
        network: A network with one `Normalization` layer that learned from data.
        factors: One per channel.
    """
    layer = _normalization(network)
    mean, variance, count = layer.get_weights()
    layer.set_weights([mean, variance * np.asarray(factors, np.float32), count])
    layer.finalize_state()


def _normalization(network: keras.Model) -> keras.layers.Normalization:
    (layer,) = (layer for layer in network.layers if isinstance(layer, keras.layers.Normalization))
    return layer


def build_small_cnn(inputs: keras.KerasTensor, *, filters: tuple[int, ...]) -> keras.KerasTensor:
    """Add one 3x3 convolution with ReLU and one pooling per number of filters.

    Args:
        inputs: float32 of shape `(batch, height, width, 3)`, values in [0, 1].
        filters: Filters of each convolution, from the picture up.

    Returns:
        float32 of shape `(batch, height / 2 ** n, width / 2 ** n, filters[-1])` for n blocks, rounded down.
    """
    x = inputs
    for number, channels in enumerate(filters, start=1):
        x = keras.layers.Conv2D(channels, 3, padding="same", activation="relu", name=f"conv{number}")(x)
        x = keras.layers.MaxPooling2D(2, name=f"pool{number}")(x)
    return x


def block_output(model: keras.Model, spec: BackboneSpec, block_name: str) -> keras.KerasTensor:
    """Return what a block hands to the next one: the place where the model can be cut in two.

    Args:
        model: A model from `build_backbone`, or one that continues it.
        spec: Its row of the registry.
        block_name: Name of the block.

    Raises:
        ValueError: If there is no block of that name.
    """
    last_layer = spec.blocks[spec.block_index(block_name)].last_layer
    # Not `get_layer`: a block of ConvNeXt ends with a bare addition, which Keras does not count as a layer.
    (operation,) = (operation for operation in model.operations if operation.name == last_layer)
    return operation.output


def block_layers(model: keras.Model, spec: BackboneSpec) -> dict[str, list[keras.layers.Layer]]:
    """Return the layers of each block, by block name, from the picture up.

    Input, preprocessing and the layers after the backbone belong to no block.

    Args:
        model: A model from `build_backbone`, or one that continues it.
        spec: Its row of the registry.
    """
    # Keras sorts operations by their distance from the output, and a block hands over a single tensor:
    # so all operations of a block stand between two last ones.
    operations = [step for step in model.operations if step.name not in (INPUT_NAME, PREPROCESSING_NAME)]
    names = [step.name for step in operations]
    blocks = {}
    start = 0
    for block in spec.blocks:
        end = names.index(block.last_layer) + 1
        blocks[block.name] = [step for step in operations[start:end] if isinstance(step, keras.layers.Layer)]
        start = end
    return blocks


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


def _draw_as_always(model: keras.Model, spec: BackboneSpec, block_names: Collection[str]) -> None:
    """Give some blocks the random weights that they have in every run."""
    if not block_names:
        return
    with fixed_draws(RANDOM_SEED):
        always = block_layers(build_network(spec, model.input.shape[1]), spec)
    blocks = block_layers(model, spec)
    for name in block_names:
        for layer, same in zip(blocks[name], always[name], strict=True):
            layer.set_weights(same.get_weights())


def _settle_batch_norm(model: keras.Model, image_size: int) -> None:
    """Let batch normalization of random weights bring what reaches it to one size, block after block.

    Keras begins with variance 1 everywhere. Through a deep network what is smaller than that dwindles: the features
    of an untrained MobileNet would all be 0 in half precision. Means stay 0, because without training all pictures
    look alike to the upper layers, and what little sets them apart would be blown up.
    """
    if not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
        return
    # Swish more than doubles what is doubled, block after block, beyond half precision; it does not when that is small.
    swishes = any(getattr(layer, "activation", None) in SWISHES for layer in model.layers)
    size = SMALL if swishes else 1.0

    def settle(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, keras.layers.BatchNormalization):
            power = np.square(np.asarray(args[0], np.float64)).mean(axis=(0, 1, 2))
            # A channel without any signal keeps its variance.
            operation.moving_variance.assign(np.where(power > 0, power / size**2, 1.0))
        return operation(*args, **kwargs)

    # As `keras.models.clone_model` goes through a network, but with real pictures.
    run_through(model, _photographs(image_size), settle)


def _photographs(image_size: int) -> NDArray[np.float32]:
    """Return square parts of the two photographs that scikit-learn carries: float32, pixels in [0, 255]."""
    from sklearn.datasets import load_sample_images  # a second to import, and only random weights need it

    parts = []
    for photo in load_sample_images().images:
        height, width, _ = photo.shape
        for left in np.linspace(0, width - height, PARTS_OF_A_PHOTOGRAPH, dtype=int):
            part = Image.fromarray(photo[:, left : left + height])
            parts.append(np.asarray(part.resize((image_size, image_size)), np.float32))
    return np.stack(parts)


def _load_weights(model: keras.Model, path: Path, spec: BackboneSpec) -> None:
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path.name} does not hold the weights of {spec.title}: {without_places(str(error))}. "
            "Delete this file and try again."
        ) from error
