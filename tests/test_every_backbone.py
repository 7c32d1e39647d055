"""Every row of the registry, and a small network, built with random weights: what the row says is what Keras builds."""

from __future__ import annotations

import gc
import importlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from skimage import data as skimage_data

import tests.keras_saving  # noqa: F401
from tests.keras_parameters import count_parameters
from tlcore.backbones.keras_models import INPUT_NAME, PREPROCESSING_NAME, block_layers, block_output, build_network
from tlcore.backbones.registry import BACKBONES, BackboneSpec, get_backbone, output_shape
from tlcore.config import IMAGENET, RANDOM, HeadConfig, ModelConfig
from tlcore.home import DataRoot
from tlcore.model.architecture import describe_model
from tlcore.model.classifier import PROBABILITIES, build_classifier, cut_model
from tlcore.model.cut import plan_model

NUM_CLASSES = 3


def family_of(spec: BackboneSpec) -> str:
    """Return where the layers of a row are written down; rows of one family have the same kinds of layers."""
    module, _, function = spec.builder.partition(":")
    return str(getattr(keras.applications, function).__module__) if module == "keras.applications" else spec.builder


def smallest_of_each_family() -> set[str]:
    """Return the names of the rows that stand for their families where the kinds of layers decide, and not the sizes.

    `python3 -m tests.bench understand backbones` looks at all of them.
    """
    rows = sorted(ROWS, key=lambda spec: -sum(block.parameters for block in spec.blocks))
    return {spec.name for spec in {family_of(spec): spec for spec in rows}.values()}


ROWS = (*BACKBONES, get_backbone("small_cnn-8-16-32"))


@dataclass(frozen=True)
class Built:
    """A row, the whole network with it at its smallest size, and what that says about two photographs."""

    spec: BackboneSpec
    config: ModelConfig
    model: keras.Model
    pixels: np.ndarray
    features: np.ndarray
    answers: np.ndarray


@pytest.fixture(scope="module", params=ROWS, ids=lambda spec: spec.name)
def built(request: pytest.FixtureRequest) -> Iterator[Built]:
    # Building makes millions of small objects that all stay: looking for garbage among them and among all modules
    # takes a fifth of the time.
    gc.freeze()
    gc.disable()
    spec, size = request.param, request.param.minimum_size
    config = ModelConfig(backbone=spec.name, image_size=size, weights=RANDOM, head=HeadConfig(dropout=0))
    photos = [Image.fromarray(photo).resize((size, size)) for photo in (skimage_data.coffee(), skimage_data.chelsea())]
    pixels = np.stack([np.asarray(photo, np.float32) for photo in photos])
    model = build_classifier(plan_model(config), NUM_CLASSES, DataRoot.configured()).model
    features, answers = keras.Model(model.input, [model.get_layer("pooling").output, model.output])(pixels)
    yield Built(spec, config, model, pixels, features.numpy(), answers.numpy())
    keras.utils.clear_session()  # collects the garbage, too
    gc.enable()
    gc.unfreeze()


@pytest.fixture
def stands_for_its_family(built: Built, request: pytest.FixtureRequest) -> None:
    """Skips a row that another one stands for."""
    if built.spec.name not in smallest_of_each_family() and not request.config.getoption("--every-backbone"):
        pytest.skip("the smallest backbone of its family stands for it")


def keras_shapes(model: keras.Model, spec: BackboneSpec) -> dict[str, tuple[int, ...]]:
    return {name: tuple(block_output(model, spec, name).shape[1:]) for name in spec.block_names}


def test_the_row_knows_the_shape_after_each_block_at_its_smallest_size(built: Built) -> None:
    assert keras_shapes(built.model, built.spec) == output_shape(built.spec, built.spec.minimum_size)


def test_the_row_knows_the_shape_after_each_block_at_its_default_size(built: Built) -> None:
    size = built.spec.default_size
    model = build_network(built.spec, size)
    assert keras_shapes(model, built.spec) == output_shape(built.spec, size)
    assert model.output.shape[1:] == output_shape(built.spec, size)[built.spec.block_names[-1]]


def test_the_row_knows_the_weights_of_each_block(built: Built) -> None:
    layers = block_layers(built.model, built.spec)
    assert tuple(layers) == built.spec.block_names
    for block in built.spec.blocks:
        batch_norm = [x for x in layers[block.name] if isinstance(x, keras.layers.BatchNormalization)]
        statistics = [x for x in layers[block.name] if isinstance(x, keras.layers.Normalization)]
        assert block.parameters == sum(layer.count_params() for layer in layers[block.name])
        assert block.batch_norm_parameters == sum(layer.count_params() for layer in batch_norm)
        assert block.pixel_statistics == sum(layer.count_params() for layer in statistics)


def test_every_layer_belongs_to_one_block(built: Built) -> None:
    in_blocks = [layer.name for layers in block_layers(built.model, built.spec).values() for layer in layers]
    before = [INPUT_NAME] if built.spec.preprocessing.is_identity else [INPUT_NAME, PREPROCESSING_NAME]
    assert [*before, *in_blocks, "pooling", PROBABILITIES] == [layer.name for layer in built.model.layers]


def test_a_block_needs_nothing_but_the_block_before_it(built: Built) -> None:
    layers = block_layers(built.model, built.spec)
    for before, block in itertools.pairwise(built.spec.block_names):
        part = keras.Model(block_output(built.model, built.spec, before), block_output(built.model, built.spec, block))
        assert {layer.name for layer in part.layers[1:]} == {layer.name for layer in layers[block]}


def test_preprocessing_equals_kerass_own(built: Built) -> None:
    pixels = built.pixels
    module, _, function = built.spec.builder.partition(":")
    if module == "keras.applications":
        family = importlib.import_module(getattr(keras.applications, function).__module__)
        expected = family.preprocess_input(pixels.copy())
    else:
        # Neither of these two networks is one of Keras's.
        expected = pixels / 255 if built.spec.weights is None else (pixels - 127) / 128
    if built.spec.preprocessing.is_identity:
        np.testing.assert_array_equal(expected, pixels)
        assert PREPROCESSING_NAME not in [layer.name for layer in built.model.layers]
        return
    layer = built.model.get_layer(PREPROCESSING_NAME)
    np.testing.assert_allclose(keras.Model(built.model.input, layer.output)(pixels).numpy(), expected, atol=1e-4)
    assert not layer.trainable_weights


@pytest.mark.parametrize("weights", [IMAGENET, RANDOM])
@pytest.mark.parametrize("place", ["below", "middle", "above"])
def test_the_freeze_line_leaves_as_many_weights_to_train_as_the_page_says(
    built: Built, place: str, weights: str
) -> None:
    names = built.spec.block_names
    line = {"below": names[0], "middle": names[len(names) // 2], "above": None}[place]
    # Nothing is loaded here: of which kind the first weights are decides whether batch normalization learns.
    config = replace(built.config, first_trainable=line, weights=weights)
    summary = describe_model(config, NUM_CLASSES)
    cut_model(built.model, plan_model(config))
    assert count_parameters(built.model) == (summary.trainable_parameters, summary.frozen_parameters)
    if place == "above":
        assert {weight.path.split("/")[0] for weight in built.model.trainable_variables} == {PROBABILITIES}


def test_features_of_random_weights_fit_into_half_precision_and_differ(built: Built) -> None:
    stored = built.features.astype(np.float16)
    assert np.isfinite(stored).all()
    assert stored.std(axis=0).max() > 1e-3


def test_each_family_has_a_row_that_stands_for_it() -> None:
    small = smallest_of_each_family()
    assert {"mobilenet_v2_035", "resnet50", "efficientnet_b0", "small_cnn-8-16-32"} <= small
    assert not {"mobilenet_v2", "resnet101", "efficientnet_b3"} & small
    assert {family_of(spec) for spec in ROWS} == {family_of(spec) for spec in ROWS if spec.name in small}


@pytest.mark.usefixtures("stands_for_its_family")
def test_a_saved_model_says_the_same_after_loading(built: Built, tmp_path: Path) -> None:
    built.model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(built.answers.sum(axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(loaded(built.pixels).numpy(), built.answers, atol=1e-5)
    # Heat maps find the blocks of a loaded model by these names.
    assert keras_shapes(loaded, built.spec) == keras_shapes(built.model, built.spec)


@pytest.mark.usefixtures("stands_for_its_family")
def test_one_training_step_changes_the_first_block_and_no_batch_normalization(built: Built) -> None:
    """Last in this file: it changes the weights."""
    config = replace(built.config, first_trainable=built.spec.block_names[0], weights=IMAGENET)
    model = cut_model(built.model, plan_model(config)).model
    first = block_layers(model, built.spec)[built.spec.block_names[0]]
    learning = next(weight for layer in first for weight in layer.trainable_weights)
    still = [w for x in model.layers if isinstance(x, keras.layers.BatchNormalization) for w in x.weights]
    before = [weight.numpy() for weight in (learning, *still)]
    # Eager, because compiling the step takes ten times as long as one step.
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy", run_eagerly=True)
    loss = model.train_on_batch(built.pixels[:1], np.array([1]))
    assert np.isfinite(loss)
    assert all(np.isfinite(weight.numpy()).all() for weight in model.weights)
    assert not np.array_equal(before[0], learning.numpy())
    for old, weight in zip(before[1:], still, strict=True):
        np.testing.assert_array_equal(old, weight.numpy())
