"""Pixels divided by 255 whatever the backbone was trained with: honoured wherever pixels become its input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from pages.components.model.backbone_choice import with_backbone
from pages.components.train.run_settings import run_settings
from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.test_comparison import make_run
from tlcore.backbones.keras_models import PREPROCESSING_NAME, build_backbone, build_network
from tlcore.backbones.registry import get_backbone
from tlcore.config import RANDOM, HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import Dataset
from tlcore.documents import read_document
from tlcore.features.extractor import FeatureExtractor
from tlcore.home import DataRoot
from tlcore.images.resizing import resize_image
from tlcore.images.views import ViewRequest
from tlcore.intake.pictures.decoding import pixels_of
from tlcore.model.architecture import without_contradictions
from tlcore.model.classifier import build_prefix
from tlcore.model.cut import plan_model
from tlcore.pricing.speeds import training_key
from tlcore.results.evaluation import load_evaluation
from tlcore.results.export import export_readme
from tlcore.results.prediction import load_predictor
from tlcore.storage.images import ImageStore
from tlcore.training.run import train_classifier

SIZE = 32
MISTAKE = ModelConfig(image_size=SIZE, pixel_scaling="divide_255", head=HeadConfig(dropout=0.0))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    photos = [load_sample_image("china.jpg"), load_sample_image("flower.jpg")]
    return np.stack([resize_image(photo, SIZE, "crop") for photo in photos]).astype(np.float32)


# Kinds of preprocessing: -1 to 1; subtracted means, blue first; within the network itself; near -1 to 1; by deviations.
@pytest.mark.parametrize("name", ["mobilenet_v2", "vgg16", "efficientnet_b0", "efficientnet_lite0", "densenet121"])
def test_the_backbone_gets_the_pixels_divided_by_255_as_in_keras(name: str, pixels: np.ndarray, home: DataRoot) -> None:
    config = ModelConfig(name, SIZE, weights=RANDOM, pixel_scaling="divide_255")
    ours = build_prefix(plan_model(config), home)
    scaled = keras.Model(ours.input, ours.get_layer(PREPROCESSING_NAME).output)(pixels).numpy()
    np.testing.assert_allclose(scaled, pixels / 255, atol=1e-6)
    network = build_network(get_backbone(name), SIZE)  # Keras's own, without any scaling before it
    network.set_weights(
        [values for layer in ours.layers if layer.name != PREPROCESSING_NAME for values in layer.get_weights()]
    )
    theirs = np.asarray(network(pixels / 255, training=False)).mean(axis=(1, 2))
    answers = np.asarray(ours(pixels, training=False))
    np.testing.assert_allclose(answers, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())
    own = build_prefix(plan_model(replace(config, pixel_scaling="backbone")), home)
    assert np.abs(np.asarray(own(pixels, training=False)) - answers).max() > 0.01 * np.abs(answers).max()
    keras.utils.clear_session()


def test_features_of_the_backbones_own_scaling_stay_where_they_were() -> None:
    """The keys of version 0.4: what was compiled and computed then is used on."""
    keys = {
        "0fdc84dfb16c5af1edbf3eeb30661ebe": ModelConfig(),
        "63f46491c62c3f33e9e89454414c415c": ModelConfig("mobilenet_v2", 96, weights=RANDOM),
        "4b34c4bbf63bf02faf65995c63b1d905": ModelConfig("vgg16", 224, head=HeadConfig("flatten")),
    }
    for key, config in keys.items():
        assert plan_model(config).prefix.key == key
        mistaken = plan_model(replace(config, pixel_scaling="divide_255")).prefix
        assert mistaken.key != key
        assert mistaken.features_key("crop") != plan_model(config).prefix.features_key("crop")


def test_what_a_run_costs_is_measured_for_each_scaling() -> None:
    own = RunConfig(model=replace(MISTAKE, pixel_scaling="backbone"))
    assert training_key(RunConfig(model=MISTAKE), 3) != training_key(own, 3)


def test_where_the_backbones_own_scaling_is_this_one_there_is_no_difference() -> None:
    small = ModelConfig("small_cnn-8-16", 64, first_trainable="conv1")
    mistaken = replace(small, pixel_scaling="divide_255")
    assert plan_model(mistaken).prefix == plan_model(small).prefix
    assert without_contradictions(RunConfig(model=mistaken)).model == small
    kept = without_contradictions(RunConfig(model=MISTAKE)).model
    assert kept == MISTAKE


def test_another_backbone_gets_its_own_scaling() -> None:
    assert with_backbone(RunConfig(model=MISTAKE), "mobilenet_v2").model.pixel_scaling == "backbone"


def test_settings_of_earlier_versions_mean_the_backbones_own_scaling() -> None:
    old = '{"backbone": "vgg16", "image_size": 96, "resize_mode": "pad", "first_trainable": "block5", "head": {}}'
    assert read_document(old, ModelConfig).pixel_scaling == "backbone"


def test_the_settings_of_a_run_name_the_mistake() -> None:
    (pictures,) = (value for name, value in run_settings(make_run(1, RunConfig(model=MISTAKE))) if name == "Pictures")
    assert pictures == "32 x 32 pixels; not square: middle cut out; pixel values divided by 255 (a common mistake)"
    assert "255" not in dict(run_settings(make_run(1)))["Pictures"]


def test_the_readme_of_a_model_says_who_divides() -> None:
    assert "The model itself divides the pixel values by 255" in export_readme(MISTAKE, ("cat", "dog"))
    assert "do not divide by 255" in export_readme(ModelConfig(), ("cat", "dog"))


@dataclass(frozen=True)
class Trained:
    """A run with pixels divided by 255, and its model as somebody loads it who has only the file."""

    home: DataRoot
    model: ModelConfig
    dataset: Dataset
    run_dir: Path
    exported: keras.Model


@pytest.fixture(scope="module", params=[None, "stem"], ids=["frozen", "thawed"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    home = DataRoot(tmp_path_factory.mktemp("scaling"))
    dataset, run_dir = coloured_dataset(home), home.run_dir("run")
    model = replace(MISTAKE, first_trainable=request.param)
    training = TrainingConfig(epochs=2, batch_size=8, learning_rate=1e-3, patience=None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tlcore.features.engines.TRIAL_SECONDS", 0.05)
        train_classifier(dataset, RunConfig(model=model, training=training), run_dir, RecordingProgress(), home)
    yield Trained(home, model, dataset, run_dir, keras.saving.load_model(run_dir / "model.keras", safe_mode=True))
    keras.utils.clear_session()


def test_features_app_and_exported_model_agree(trained: Trained, pixels: np.ndarray) -> None:
    inside = trained.exported.get_layer(PREPROCESSING_NAME)
    scaled = keras.Model(trained.exported.input, inside.output)(pixels).numpy()
    np.testing.assert_allclose(scaled, pixels / 255, atol=1e-6)
    photos = [load_sample_image("china.jpg"), load_sample_image("flower.jpg")]
    answers = load_predictor(trained.run_dir, trained.home).predict(photos)
    np.testing.assert_allclose(answers, np.asarray(trained.exported(pixels, training=False)), atol=1e-3)
    # The test of the run went through the cached features.
    evaluation = load_evaluation(trained.run_dir)
    store = ImageStore(trained.home)
    tested = [resize_image(pixels_of(store.read(image)), SIZE, "crop") for image in evaluation.images]
    theirs = np.asarray(trained.exported(np.stack(tested).astype(np.float32), training=False))
    np.testing.assert_allclose(evaluation.probabilities, theirs, atol=5e-3)


def test_cached_features_are_those_of_divided_pixels(trained: Trained) -> None:
    images = [item.image for item in trained.dataset.items[:4]]
    extractor = FeatureExtractor(plan_model(trained.model), RunConfig().augmentation, trained.home)
    requests = [ViewRequest(image) for image in images]
    assert extractor.count_missing(requests) == 0  # the run has computed them
    found = extractor.table(requests, RecordingProgress(), "features").take(np.arange(len(images)))
    store = ImageStore(trained.home)
    squares = np.stack([resize_image(pixels_of(store.read(image)), SIZE, "crop") for image in images])
    if trained.model.first_trainable is not None:  # all of it learns: the division comes after the cache
        np.testing.assert_array_equal(found, squares)
        return
    own = build_backbone(get_backbone(trained.model.backbone), SIZE, trained.home)
    # The backbone's own scaling, (x - 127) / 128, gives x / 255 for these values.
    undone = squares.astype(np.float32) / 255 * 128 + 127
    theirs = np.asarray(own(undone, training=False)).mean(axis=(1, 2))
    np.testing.assert_allclose(found.astype(np.float32), theirs, atol=2e-3, rtol=2e-3)
