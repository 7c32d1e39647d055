"""Every row of the registry is what Keras builds; the embedded weights are right."""

from __future__ import annotations

import importlib
import itertools
import pickle
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from skimage import data as skimage_data
from sklearn.datasets import load_sample_image

from tlcore.backbones.efficientnet_lite import convert_weights
from tlcore.backbones.keras_models import (
    INPUT_NAME,
    PREPROCESSING_NAME,
    block_layers,
    block_output,
    build_backbone,
    build_lite0_imagenet_classifier,
)
from tlcore.backbones.registry import BACKBONES, BackboneSpec, get_backbone, output_shape
from tlcore.backbones.torch_file import MAGIC_NUMBER, PROTOCOL_VERSION, read_tensors
from tlcore.backbones.weights import prepare_embedded, require_weights, weights_status
from tlcore.errors import WeightsError

# An odd size shows a wrong padding; a small one is quick.
SIZE = 109

IMAGENET = {"palace": 698, "daisy": 985, "espresso": 967}
CATS = (281, 282, 285)


@dataclass(frozen=True)
class Built:
    """A row and what it builds with random weights."""

    spec: BackboneSpec
    model: keras.Model


@pytest.fixture(scope="module", params=BACKBONES, ids=lambda spec: spec.name)
def built(request: pytest.FixtureRequest) -> Iterator[Built]:
    yield Built(request.param, build_backbone(request.param, SIZE, weights=None))
    keras.utils.clear_session()


@pytest.fixture(scope="module")
def own(built: Built) -> keras.Model:
    """The same network as Keras Applications builds it in a fresh session."""
    if not built.spec.builder.startswith("keras.applications:"):
        pytest.skip("not one of Keras Applications; its own classifier proves it")
    builder = getattr(keras.applications, built.spec.builder.partition(":")[2])
    keras.utils.clear_session()
    return builder(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3), **dict(built.spec.arguments))


def keras_shapes(model: keras.Model, spec: BackboneSpec) -> dict[str, tuple[int, ...]]:
    return {name: tuple(block_output(model, spec, name).shape[1:]) for name in spec.block_names}


def test_the_registry_knows_the_shape_after_each_block(built: Built) -> None:
    assert keras_shapes(built.model, built.spec) == output_shape(built.spec, SIZE)


@pytest.mark.parametrize("attribute", ["default_size", "minimum_size"])
def test_the_registry_knows_the_shapes_at_other_sizes(built: Built, attribute: str) -> None:
    size = getattr(built.spec, attribute)
    model = build_backbone(built.spec, size, weights=None)
    assert keras_shapes(model, built.spec) == output_shape(built.spec, size)


def test_the_registry_knows_the_parameters_of_each_block(built: Built) -> None:
    layers = block_layers(built.model, built.spec)
    for block in built.spec.blocks:
        batch_norm = [x for x in layers[block.name] if isinstance(x, keras.layers.BatchNormalization)]
        assert block.parameters == sum(layer.count_params() for layer in layers[block.name])
        assert block.batch_norm_parameters == sum(layer.count_params() for layer in batch_norm)


def test_every_layer_belongs_to_one_block(built: Built) -> None:
    in_blocks = [layer.name for layers in block_layers(built.model, built.spec).values() for layer in layers]
    assert [INPUT_NAME, PREPROCESSING_NAME, *in_blocks] == [layer.name for layer in built.model.layers]


def test_a_block_needs_nothing_but_the_block_before_it(built: Built) -> None:
    spec, model = built.spec, built.model
    layers = block_layers(model, spec)
    for before, block in itertools.pairwise(spec.block_names):
        part = keras.Model(block_output(model, spec, before), block_output(model, spec, block))
        assert {layer.name for layer in part.layers[1:]} == {layer.name for layer in layers[block]}


def test_preprocessing_equals_kerass_own(built: Built) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    layer = built.model.get_layer(PREPROCESSING_NAME)
    ours = keras.Model(built.model.input, layer.output).predict_on_batch(pixels)
    expected = (pixels.astype(np.float32) - 127) / 128
    if built.spec.builder.startswith("keras.applications:"):
        module = importlib.import_module(f"keras.applications.{built.spec.name}")
        expected = module.preprocess_input(pixels.astype(np.float32))
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    assert not layer.trainable_weights


def test_layers_have_kerass_own_names_and_order(built: Built, own: keras.Model) -> None:
    assert [layer.name for layer in built.model.layers[2:]] == [layer.name for layer in own.layers[1:]]


def test_a_weights_file_of_keras_fills_the_same_layers(
    built: Built, own: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    path = tmp_path / "models" / built.spec.weights.filename
    path.parent.mkdir()
    own.save(path)
    weights = replace(built.spec.weights, md5="", download_bytes=path.stat().st_size)
    loaded = build_backbone(replace(built.spec, weights=weights), SIZE)
    for layer in own.layers[1:]:
        ours = loaded.get_layer(layer.name).get_weights()
        assert all(map(np.array_equal, ours, layer.get_weights()))
        assert len(ours) == len(layer.weights)


def test_a_weights_file_of_another_backbone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    spec = get_backbone("mobilenet_v2")
    path = tmp_path / "models" / spec.weights.filename
    path.parent.mkdir()
    pixels = keras.Input((32, 32, 3))
    keras.Model(pixels, keras.layers.Conv2D(2, 3)(pixels)).save(path)
    with pytest.raises(WeightsError, match="does not hold the weights of MobileNetV2"):
        build_backbone(replace(spec, weights=replace(spec.weights, download_bytes=1)), 96)


def test_missing_weights_are_said_and_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"VGG16 are not on this computer.*59 MB"):
        build_backbone(get_backbone("vgg16"), 64)
    assert not list(tmp_path.iterdir())


def test_frozen_and_trainable_parameters_are_counted_at_the_line() -> None:
    spec = get_backbone("vgg16")
    assert spec.count_parameters(None).trainable == 0
    assert spec.count_parameters("block1").frozen == 0
    assert spec.count_parameters("block5").trainable == 3 * (512 * 512 * 9 + 512)


def test_the_embedded_backbone_can_be_cut_before_its_last_block_and_after_its_fifth_stage() -> None:
    shapes = output_shape(get_backbone("efficientnet_lite0"), 224)
    assert shapes["block6d"] == (7, 7, 192)
    assert shapes["block5c"] == (14, 14, 112)


def test_a_wrong_name_or_size_is_refused_with_the_right_ones() -> None:
    spec = get_backbone("inception_v3")
    with pytest.raises(ValueError, match="efficientnet_lite0, mobilenet_v2"):
        get_backbone("inception")
    with pytest.raises(ValueError, match="mixed10"):
        spec.block_index("mixed11")
    with pytest.raises(ValueError, match="at least 75"):
        build_backbone(spec, 74, weights=None)


# --- the embedded weights


def square(pixels: np.ndarray) -> np.ndarray:
    """Return the middle of a picture at 224 px."""
    image = Image.fromarray(pixels)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    names = ("china.jpg", "flower.jpg")
    pictures = [*(load_sample_image(name) for name in names), skimage_data.coffee(), skimage_data.chelsea()]
    return np.stack([square(picture) for picture in pictures])


def test_the_embedded_backbone_recognises_four_photos(photos: np.ndarray) -> None:
    palace, daisy, espresso, cat = build_lite0_imagenet_classifier().predict_on_batch(photos).argmax(axis=1)
    assert (palace, daisy, espresso) == tuple(IMAGENET.values())
    assert cat in CATS


def test_the_embedded_weights_are_prepared_once_and_loaded(photos: np.ndarray, home: Path) -> None:
    spec = get_backbone("efficientnet_lite0")
    assert weights_status(spec, home).state == "convert"
    assert weights_status(spec, home).ready_offline
    path = prepare_embedded(home)
    written = path.stat().st_mtime_ns
    assert [file.name for file in path.parent.iterdir()] == [spec.weights.filename]
    assert weights_status(spec, home).state == "ready"
    assert require_weights(spec, home) == prepare_embedded(home) == path
    assert path.stat().st_mtime_ns == written

    reference = build_lite0_imagenet_classifier()
    expected = keras.Model(reference.input, reference.get_layer("top_activation").output).predict_on_batch(photos)
    features = build_backbone(spec, 224, home=home).predict_on_batch(photos)
    np.testing.assert_allclose(features, expected, atol=1e-4)


def test_strides_of_the_embedded_file_matter() -> None:
    kernel = convert_weights()["stem_conv"][0]
    assert kernel.shape == (3, 3, 3, 32)
    # Neighbours of a real filter resemble each other; read in the wrong order they do not.
    neighbours = np.corrcoef(kernel[:, :2].ravel(), kernel[:, 1:].ravel())[0, 1]
    scrambled = kernel.transpose(3, 2, 0, 1).ravel().reshape(kernel.shape)
    assert neighbours > np.corrcoef(scrambled[:, :2].ravel(), scrambled[:, 1:].ravel())[0, 1] + 0.1


class Forged:
    """What a forged file asks the unpickler to call."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code of the file ran",)


def write_torch_file(path: Path, content: object) -> Path:
    with path.open("wb") as file:
        for part in (MAGIC_NUMBER, PROTOCOL_VERSION, {"little_endian": True}, content, []):
            pickle.dump(part, file, protocol=2)
    return path


def test_a_forged_file_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_torch_file(tmp_path / "forged.pth", OrderedDict(weight=Forged()))
    with pytest.raises(WeightsError, match=r"asks for \w+\.print"):
        read_tensors(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps([1, 2, 3]), b"\x80\x02}q\x00."])
def test_a_file_that_is_no_torch_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="Install the requirements again"):
        read_tensors(path)


def test_a_torch_file_of_other_things_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="other things than tensors"):
        read_tensors(write_torch_file(tmp_path / "numbers.pth", OrderedDict(weight=1)))
    with pytest.raises(WeightsError, match="does not hold EfficientNet-Lite0"):
        convert_weights(write_torch_file(tmp_path / "empty.pth", OrderedDict()))
