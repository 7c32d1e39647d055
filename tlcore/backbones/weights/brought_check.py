"""Check a person's file of weights against a backbone, layer by layer; in a process of its own, as it may break."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tlcore.backbones.keras_models import build_network, pixel_means, scale_pixel_variances
from tlcore.backbones.spec import BackboneSpec
from tlcore.backbones.weights.brought import BroughtWeights, brought_path, description_path
from tlcore.backbones.weights.keras_file import (
    ADVICE,
    LayerWeights,
    WeightsLayout,
    read_brought,
    read_layout,
    shape_words,
)
from tlcore.documents import write_document
from tlcore.downloading import hash_of
from tlcore.errors import WeightsError
from tlcore.home import DataRoot, storage_error, without_places, write_atomically

# Source: the mean of ImageNet's pixels that `preprocess_input` of keras.applications uses.
IMAGENET_MEANS = (0.485, 0.456, 0.406)


def keep_brought(spec: BackboneSpec, file: Path, filename: str, home: DataRoot) -> str:
    """Check a file of weights layer by layer, load it, and keep what was loaded as a file of our own.

    Args:
        spec: The backbone that the weights are for.
        file: The file, in either format of Keras.
        filename: Its name on the person's computer.
        home: The data root.

    Returns:
        The key of the kept file.

    Raises:
        WeightsError: If the file is refused; the text says what differs.
        StorageError: If the file cannot be kept.
    """
    layout = read_brought(spec, file, filename)
    network = build_network(spec, spec.minimum_size)
    folder = brought_path("0" * 64, home).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".checking-", dir=folder) as workspace:
            difference = find_difference(layout, expected_layout(network, Path(workspace), layout.is_legacy))
            if difference is not None:
                raise WeightsError(f"{filename} does not fit {spec.title}: {difference}. {ADVICE}")
            _load(network, file, Path(workspace), filename, is_legacy=layout.is_legacy)
            bake_scaling(network, spec.imagenet_variance_factors)
            return _keep(network, spec, filename, Path(workspace), home)
    except OSError as error:
        raise storage_error(error, folder) from error


def expected_layout(network: Any, workspace: Path, is_legacy: bool) -> WeightsLayout:
    """Return how the weights of a network lie in a file of either format.

    Args:
        network: A Keras model.
        workspace: An empty folder, for a moment.
        is_legacy: Whether the format is the one before Keras 3.
    """
    if is_legacy:
        layers = [layer for layer in network.layers if layer.weights]
        shapes = [tuple(tuple(weight.shape) for weight in layer.weights) for layer in layers]
        expected = (LayerWeights(layer.name, layer.name, shape) for layer, shape in zip(layers, shapes, strict=True))
        return WeightsLayout(True, tuple(expected))
    # Keras gives the places in a file anew on every save, so a file of its own is the only reference.
    template = workspace / "template.weights.h5"
    network.save_weights(template)
    layout = read_layout(template, template.name, max_bytes=sys.maxsize)
    template.unlink()
    # From the picture up, so that the first difference is the first that a person would look for.
    order = {layer.name: number for number, layer in enumerate(network.layers)}
    layers = sorted(layout.layers, key=lambda layer: order.get(layer.name, len(order)))
    return WeightsLayout(False, tuple(layers))


def find_difference(found: WeightsLayout, expected: WeightsLayout) -> str | None:
    """Say where the layers of a file differ from those of a network first, `None` when they are the same."""
    if found.is_legacy:
        for theirs, ours in zip(found.layers, expected.layers, strict=False):
            if theirs.shapes != ours.shapes:
                return _shapes_differ(theirs, ours)
        if len(found.layers) != len(expected.layers):
            return f"it has {len(found.layers)} layers with weights and the backbone {len(expected.layers)}"
        return None
    by_place = {layer.place: layer for layer in found.layers}
    for ours in expected.layers:
        if ours.place not in by_place:
            return f"it has no weights for the layer `{ours.name}` of the backbone"
        if by_place[ours.place].shapes != ours.shapes:
            return _shapes_differ(by_place[ours.place], ours)
    places = {layer.place for layer in expected.layers}
    for theirs in found.layers:
        if theirs.place not in places:
            return f"its layer `{theirs.name}` is not part of the backbone"
    return None


def _shapes_differ(theirs: LayerWeights, ours: LayerWeights) -> str:
    where = f"layer `{ours.name}`" + ("" if theirs.name == ours.name else f", `{theirs.name}` in the file,")
    if len(theirs.shapes) != len(ours.shapes):
        return f"{where} has {len(ours.shapes)} arrays of weights in the backbone and {len(theirs.shapes)} in the file"
    pairs = zip(theirs.shapes, ours.shapes, strict=True)
    their_shape, our_shape = next((a, b) for a, b in pairs if a != b)
    return f"{where} needs weights of shape {shape_words(our_shape)} and the file has {shape_words(their_shape)}"


def _load(network: Any, file: Path, workspace: Path, filename: str, *, is_legacy: bool) -> None:
    # Keras chooses the format by the name's ending.
    named = workspace / ("brought.h5" if is_legacy else "brought.weights.h5")
    shutil.copyfile(file, named)
    try:
        network.load_weights(named)
    except (ValueError, KeyError) as error:
        raise WeightsError(f"{filename} could not be loaded ({without_places(str(error))}). {ADVICE}") from error
    finally:
        named.unlink()
    if not all(np.isfinite(values).all() for values in network.get_weights()):
        raise WeightsError(f"{filename} holds weights that are no numbers (NaN or infinite). {ADVICE}")


def bake_scaling(network: Any, factors: tuple[float, float, float] | None) -> None:
    """Keep the scaling of weights that descend from the published ones: their network had it in a layer.

    Args:
        network: A Keras model with weights.
        factors: `BackboneSpec.imagenet_variance_factors`.
    """
    if factors is not None and np.allclose(pixel_means(network), IMAGENET_MEANS, atol=1e-3):
        scale_pixel_variances(network, factors)


def _keep(network: Any, spec: BackboneSpec, filename: str, workspace: Path, home: DataRoot) -> str:
    clean = workspace / "clean.weights.h5"
    network.save_weights(clean)
    key = hash_of(clean, "sha256")
    description = write_document(BroughtWeights(key, spec.name, filename))
    write_atomically(description_path(key, home), lambda path: path.write_text(description, "utf-8"))
    write_atomically(brought_path(key, home), lambda path: shutil.copyfile(clean, path))
    return key
