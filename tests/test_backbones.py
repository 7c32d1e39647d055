"""Backbones get the weights that they are meant to start with; the embedded ones are right."""

from __future__ import annotations

import pickle
import random
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from skimage import data as skimage_data
from sklearn.datasets import load_sample_image

from tlcore.backbones.efficientnet_lite import convert_weights
from tlcore.backbones.keras_models import build_backbone
from tlcore.backbones.registry import BACKBONES, BackboneSpec, get_backbone, output_shape
from tlcore.backbones.weights.status import published_weights, require_weights, weights_status
from tlcore.backbones.weights.torch_file import MAGIC_NUMBER, PROTOCOL_VERSION, read_tensors
from tlcore.config import RANDOM
from tlcore.errors import WeightsError
from tlcore.home import DataRoot

IMAGENET_CLASSES = {"palace": 698, "daisy": 985, "espresso": 967}
CATS = (281, 282, 285)

# One of each way in which Keras keeps weights: plain, statistics of the pixels, names of its own, nested layers.
FAMILIES = ("mobilenet_v2", "efficientnet_b0", "xception", "convnext_tiny")


@pytest.fixture(autouse=True)
def fresh_session() -> Iterator[None]:
    yield
    keras.utils.clear_session()


def kerass_own(spec: BackboneSpec, size: int, **arguments: object) -> keras.Model:
    builder = getattr(keras.applications, spec.builder.partition(":")[2])
    return builder(include_top=False, input_shape=(size, size, 3), **dict(spec.arguments), **arguments)


def saved_as_published(spec: BackboneSpec, model: keras.Model) -> BackboneSpec:
    """Save a model as the published file of a row, in the cache of Keras, and return the row with its size."""
    path = published_weights(spec).path
    path.parent.mkdir(parents=True)
    model.save(path)
    weights = replace(spec.weights, file_hash="", size_bytes=path.stat().st_size)
    return replace(spec, weights=weights)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_weights_file_of_keras_fills_the_same_layers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    spec = get_backbone(name)
    keras.utils.clear_session()
    own = kerass_own(spec, spec.minimum_size, weights=None)
    loaded = build_backbone(
        replace(saved_as_published(spec, own), imagenet_variance_factors=None), spec.minimum_size, DataRoot.configured()
    )
    skipped = 1 if spec.preprocessing.is_identity else 2
    assert [layer.name for layer in loaded.layers[skipped:]] == [layer.name for layer in own.layers[1:]]
    for layer in own.layers[1:]:
        ours = loaded.get_layer(layer.name).get_weights()
        assert len(ours) == len(layer.weights)
        assert all(map(np.array_equal, ours, layer.get_weights()))


def test_efficientnet_with_published_weights_answers_like_kerass_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    spec = get_backbone("efficientnet_b0")
    made = kerass_own(spec, 64, weights=None)
    statistics = [np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.array(1)]
    made.get_layer(next(layer.name for layer in made.layers if "normalization" in layer.name)).set_weights(statistics)
    spec = saved_as_published(spec, made)
    # Keras builds another network when it loads the weights itself, and would fetch them from the network.
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(published_weights(spec).path))
    own = kerass_own(spec, 64, weights="imagenet")
    pixels = np.asarray(Image.fromarray(skimage_data.coffee()).resize((64, 64)), np.float32)[np.newaxis]
    ours = build_backbone(spec, 64, DataRoot.configured())(pixels).numpy()
    np.testing.assert_allclose(ours, own(pixels).numpy(), atol=1e-5, rtol=1e-4)
    # Without the scaling the answers differ: the comparison sees it.
    plain = build_backbone(replace(spec, imagenet_variance_factors=None), 64, DataRoot.configured())(pixels).numpy()
    assert np.abs(plain - ours).max() > 1e-3 * np.abs(ours).max()


def test_random_weights_are_the_same_every_time_and_disturb_nobody(tmp_path: Path) -> None:
    spec = get_backbone("mobilenet_v2_035")
    random.seed(1)
    first = build_backbone(spec, 32, DataRoot(tmp_path), RANDOM)
    drawn = random.random()
    random.seed(2)
    second = build_backbone(spec, 32, DataRoot(tmp_path), RANDOM)
    assert all(map(np.array_equal, first.get_weights(), second.get_weights()))
    random.seed(1)
    assert random.random() == drawn
    assert len({weight.numpy().std() for weight in first.weights if "kernel" in weight.path}) > 30
    assert not list(tmp_path.iterdir())


def test_a_weights_file_of_another_backbone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    pixels = keras.Input((32, 32, 3))
    other = keras.Model(pixels, keras.layers.Conv2D(2, 3)(pixels))
    spec = saved_as_published(get_backbone("mobilenet_v2"), other)
    with pytest.raises(WeightsError, match="does not hold the weights of MobileNetV2"):
        build_backbone(spec, 96, DataRoot.configured())


def test_missing_weights_are_said_and_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"VGG16 are not on this computer.*59 MB"):
        build_backbone(get_backbone("vgg16"), 64, DataRoot.configured())
    assert not list(tmp_path.iterdir())


def test_the_embedded_backbone_can_be_cut_before_its_last_block_and_after_its_fifth_stage() -> None:
    shapes = output_shape(get_backbone("efficientnet_lite0"), 224)
    assert shapes["block6d"] == (7, 7, 192)
    assert shapes["block5c"] == (14, 14, 112)


def test_a_wrong_name_or_size_is_refused_with_the_right_ones() -> None:
    spec = get_backbone("inception_v3")
    with pytest.raises(ValueError, match=r"efficientnet_lite0, mobilenet.*small_cnn-32-64-128"):
        get_backbone("inception")
    with pytest.raises(ValueError, match="mixed10"):
        spec.block_index("mixed11")
    with pytest.raises(ValueError, match="at least 75"):
        build_backbone(spec, 74, DataRoot.configured(), RANDOM)
    with pytest.raises(ValueError, match="'imagenet', 'random' or the key"):
        build_backbone(spec, 75, DataRoot.configured(), "../../etc/passwd")


def test_names_and_files_of_the_rows_are_unique() -> None:
    for values in ([x.name for x in BACKBONES], [x.title for x in BACKBONES], [x.weights.name for x in BACKBONES]):
        assert len(set(values)) == len(values)


def test_a_published_file_is_never_smaller_than_its_numbers() -> None:
    """A complete file would otherwise count as cut, or a cut one as complete."""
    for spec in BACKBONES:
        if not spec.embedded:
            assert 1 <= spec.download_bytes / (4 * spec.parameters) < 1.34, spec.name
            assert published_weights(spec).file_hash or spec.name.startswith("mobilenet"), spec.name


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
    features = build_backbone(get_backbone("efficientnet_lite0"), 224, DataRoot.configured())
    pooled = keras.layers.GlobalAveragePooling2D()(features.output)
    # The classifier of ImageNet comes in the same file.
    classifier = keras.layers.Dense(1000)
    model = keras.Model(features.input, classifier(pooled))
    classifier.set_weights(convert_weights()["predictions"])
    palace, daisy, espresso, cat = model.predict_on_batch(photos).argmax(axis=1)
    assert (palace, daisy, espresso) == tuple(IMAGENET_CLASSES.values())
    assert cat in CATS


def test_the_embedded_weights_are_ready_without_a_file_of_their_own(home: DataRoot) -> None:
    spec = get_backbone("efficientnet_lite0")
    assert weights_status(spec, home).ready_offline
    assert require_weights(spec, home) is None
    build_backbone(spec, 32, home)
    assert not home.path.exists()


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
