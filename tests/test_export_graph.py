"""The one model that leaves answers as Predict does, from plain pixels of any size."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from sklearn.datasets import load_sample_images

from tests.coloured_pictures import RecordingProgress
from tlcore.config import RANDOM, RESIZE_MODES, HeadConfig, ModelConfig, ResizeMode
from tlcore.dataset import ClassLabel, Dataset
from tlcore.errors import RunError
from tlcore.export.graph import build_any_size, build_square
from tlcore.export.resampling import square_of
from tlcore.export.source import ExportSource, Part
from tlcore.features.compiled import ensure_compiled
from tlcore.features.compiling import compile_model
from tlcore.home import DataRoot
from tlcore.intake.pictures.pixels import square
from tlcore.model.classifier import build_classifier, build_prefix
from tlcore.model.cut import plan_model
from tlcore.results.calibration import calibrated
from tlcore.results.ensembles import ensemble_predictor
from tlcore.results.export import save_export
from tlcore.results.prediction import (
    SUFFIX_FILE,
    Predictor,
    PredictorSpec,
    load_predictor,
    save_predictor_spec,
)
from tlcore.results.prediction_code import MODEL_FILE
from tlcore.simple_heads.heads import SimpleHead, save_simple_head
from tlcore.simple_heads.prediction import load_simple_head_predictor
from tlcore.simple_heads.training import SIMPLE_HEADS, train_class_means
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.simple_heads import frozen_backbone

SIZE = 48
# Both sides shrink or grow, one of each, by whole factors and not, one pixel, hardly anything, nothing.
SIDES = (1, 2, 24, 47, 48, 49, 75, 96, 144, 200)
DATASET = Dataset(tuple(ClassLabel(name, name, number) for number, name in enumerate(("cat", "dog", "fish"))), ())
PHOTOS = tuple(load_sample_images().images)
PICTURES = (
    PHOTOS[0],
    np.ascontiguousarray(PHOTOS[1][:400, 100:130]),
    np.ascontiguousarray(PHOTOS[1][50:70, 200:231]),
    np.ascontiguousarray(cv2.resize(PHOTOS[1], (32, 32))),
)
HEADS = {
    "average": HeadConfig(dropout=0.0),
    "dense": HeadConfig(dense_units=(16, 8), dropout=0.3, l2=0.01),
    "flatten": HeadConfig(pooling="flatten", dense_units=(8,)),
}
SMALL = ModelConfig("small_cnn-8-16", 32, weights=RANDOM)


@pytest.fixture(autouse=True, scope="module")
def _forget_layers() -> Iterator[None]:
    yield
    keras.utils.clear_session()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataRoot]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tlcore.features.engines.TRIAL_SECONDS", 0.01)
        yield DataRoot(tmp_path_factory.mktemp("graph"))


@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_a_picture_of_any_size_becomes_the_same_square_as_in_the_app(mode: ResizeMode) -> None:
    pixels = keras.Input((None, None, 3))
    model = keras.Model(pixels, square_of(pixels, SIZE, mode))
    random = np.random.default_rng(0)
    for height, width in itertools.product(SIDES, SIDES):
        noise = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
        ours = model(noise[np.newaxis].astype(np.float32)).numpy()[0]
        theirs = square(noise, SIZE, mode).astype(np.float32)
        differences = np.abs(ours - theirs)
        assert differences.max() <= 1, (height, width)
        # OpenCV rounds the weights of cubic curves to 2,048ths, and a half may fall to either side.
        assert (differences > 0).mean() < 0.08, (height, width)
        if height == width == SIZE:
            np.testing.assert_array_equal(ours, noise)


def test_a_photo_of_twelve_megapixels_becomes_the_same_square() -> None:
    photo = cv2.resize(PHOTOS[0], (4000, 3000), interpolation=cv2.INTER_CUBIC)
    pixels = keras.Input((None, None, 3))
    model = keras.Model(pixels, square_of(pixels, 224, "crop"))
    differences = np.abs(model(photo[np.newaxis].astype(np.float32)).numpy()[0] - square(photo, 224, "crop"))
    assert differences.max() <= 1
    assert (differences > 0).mean() < 0.01


def make_run(folder: Path, config: ModelConfig, home: DataRoot, *, seed: int = 0, sureness: float = 1.0) -> Part:
    """Leave the files of a run that learned nothing, with answers as sure as if it had."""
    plan = plan_model(config)
    classifier = build_classifier(plan, len(DATASET.classes), home, seed=seed)
    last = classifier.model.layers[-1]
    random = np.random.default_rng(seed)
    spread = [sureness * random.normal(0, 0.5, values.shape) for values in last.get_weights()]
    last.set_weights(spread)
    folder.mkdir(parents=True)
    ensure_compiled(plan, RecordingProgress(), home)
    save_export(classifier.model, config, DATASET, folder)
    compile_model(classifier.suffix, folder / SUFFIX_FILE)
    save_predictor_spec(PredictorSpec.of(plan, DATASET), folder)
    return Part(folder, "network", PredictorSpec.of(plan, DATASET), config)


def source_of(parts: tuple[Part, ...], temperature: float = 1.0) -> ExportSource:
    return ExportSource("Run 1", parts, DATASET, ModelSettings(temperature))


def check_answers(source: ExportSource, home: DataRoot, predictor: Predictor) -> None:
    """Compare the model for pictures of any size, and for squares where there is one, with what Predict answers."""
    expected = calibrated(predictor, source.settings.temperature).predict(PICTURES)
    assert np.ptp(expected, axis=0).max() > 0.02  # not the same answer to everything
    model = build_any_size(source, home)
    answers = np.concatenate([model(one[np.newaxis].astype(np.float32), training=False).numpy() for one in PICTURES])
    np.testing.assert_allclose(answers, expected, atol=2e-3)
    if source.square is not None:
        squares = np.stack([square(one, *source.square) for one in PICTURES]).astype(np.float32)
        np.testing.assert_allclose(build_square(source, home)(squares, training=False).numpy(), expected, atol=2e-3)


@pytest.mark.parametrize(
    ("head", "temperature"), [("average", 1.0), ("average", 2.5), ("dense", 2.5), ("flatten", 0.7)]
)
def test_a_network_with_any_head_answers_as_predict(
    head: str, temperature: float, home: DataRoot, tmp_path: Path
) -> None:
    part = make_run(tmp_path / "run", replace(SMALL, resize_mode="pad", head=HEADS[head]), home, sureness=3)
    check_answers(source_of((part,), temperature), home, load_predictor(part.folder, home))


@pytest.mark.parametrize(
    "config",
    [
        replace(SMALL, first_trainable="conv1"),
        replace(SMALL, first_trainable="conv2", resize_mode="stretch"),
        ModelConfig("mobilenet_v2", 32, weights=RANDOM, pixel_scaling="divide_255"),
        ModelConfig("efficientnet_lite0", 32),
    ],
    ids=["thawed", "half", "scaled", "pretrained"],
)
def test_whatever_was_trained_answers_as_predict(config: ModelConfig, home: DataRoot, tmp_path: Path) -> None:
    part = make_run(tmp_path / "run", config, home, sureness=2)
    check_answers(source_of((part,), 0.7), home, load_predictor(part.folder, home))


def test_a_temperature_needs_no_operation_of_its_own(home: DataRoot, tmp_path: Path) -> None:
    part = make_run(tmp_path / "run", SMALL, home)
    plain, warm = (build_square(source_of((part,), temperature), home) for temperature in (1.0, 3.0))
    assert len(plain.layers) == len(warm.layers) == 2


GROUPS = {
    "the same frozen part": (SMALL, SMALL),
    "other frozen parts": (SMALL, replace(SMALL, first_trainable="conv2"), replace(SMALL, first_trainable="conv1")),
    "other squares": (SMALL, replace(SMALL, image_size=40), replace(SMALL, resize_mode="stretch")),
}


@pytest.mark.parametrize(("kind", "temperature"), [("the same frozen part", 1.0), *((kind, 0.6) for kind in GROUPS)])
def test_a_group_answers_as_predict(kind: str, temperature: float, home: DataRoot, tmp_path: Path) -> None:
    weights = {2: (0.3, 0.7), 3: (0.5, 0.3, 0.2)}[len(GROUPS[kind])]
    parts = tuple(
        replace(make_run(tmp_path / str(seed), config, home, seed=seed, sureness=4), weight=weight)
        for seed, (config, weight) in enumerate(zip(GROUPS[kind], weights, strict=True), start=1)
    )
    members = [load_predictor(part.folder, home) for part in parts]
    check_answers(source_of(parts, temperature), home, ensemble_predictor(members, weights))


def test_members_with_the_same_frozen_part_look_through_it_once(home: DataRoot, tmp_path: Path) -> None:
    one, other = (make_run(tmp_path / str(seed), SMALL, home, seed=seed) for seed in (1, 2))
    group = build_any_size(source_of((replace(one, weight=0.5), replace(other, weight=0.5))), home)
    head = sum(int(np.prod(values.shape)) for values in build_any_size(source_of((one,)), home).layers[-1].weights[-2:])
    assert group.count_params() == build_any_size(source_of((one,)), home).count_params() + head


def test_a_group_that_sees_different_squares_has_no_square_model(home: DataRoot, tmp_path: Path) -> None:
    one, other = (make_run(tmp_path / str(size), replace(SMALL, image_size=size), home) for size in (32, 40))
    with pytest.raises(ValueError, match="the same square"):
        build_square(source_of((replace(one, weight=0.5), replace(other, weight=0.5))), home)


TRAINERS = {spec.kind: spec.train for spec in SIMPLE_HEADS} | {"class_means": train_class_means}


def make_head(kind: str, folder: Path, home: DataRoot) -> Part:
    """Train a simple head on pieces of two photos, of which each has one class, and on their mixture."""
    config = frozen_backbone(replace(SMALL, resize_mode="pad"))
    plan = plan_model(config)
    random = np.random.default_rng(0)
    pieces = []
    for number in range(60):
        top, left = random.integers(0, 300), random.integers(0, 500)
        first, second = (photo[top : top + 64, left : left + 64].astype(np.float32) for photo in PHOTOS)
        pieces.append((first, second, (first + second) / 2)[number % 3])
    squares = np.stack([square(piece.astype(np.uint8), 32, "pad") for piece in pieces]).astype(np.float32)
    features = build_prefix(plan, home)(squares, training=False).numpy()
    head: SimpleHead = TRAINERS[kind](features, np.arange(60) % 3, 3)
    ensure_compiled(plan, RecordingProgress(), home)
    folder.mkdir(parents=True)
    save_simple_head(head, folder)
    save_predictor_spec(PredictorSpec.of(plan, DATASET), folder)
    return Part(folder, "simple_head", PredictorSpec.of(plan, DATASET), config)


@pytest.mark.parametrize(("kind", "temperature"), [("class_means", 1.0), *((kind, 0.5) for kind in TRAINERS)])
def test_a_simple_head_answers_as_predict(kind: str, temperature: float, home: DataRoot, tmp_path: Path) -> None:
    part = make_head(kind, tmp_path / kind, home)
    check_answers(source_of((part,), temperature), home, load_simple_head_predictor(part.folder, home))


def test_a_simple_head_with_scores_can_be_made_of_8_bit_integers(home: DataRoot, tmp_path: Path) -> None:
    """Even of a black picture, whose features have hardly any length, it says something."""
    model = build_square(source_of((make_head("logistic_regression", tmp_path / "head", home),)), home)
    shown = np.stack([square(one, 32, "pad") for one in PICTURES]).astype(np.float32)
    learned, others = (
        [variable.numpy() for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    )
    folded = tf.function(lambda pixels: model.stateless_call(learned, others, pixels, training=False)[0])
    signature = tf.TensorSpec((1, 32, 32, 3), tf.float32)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([folded.get_concrete_function(signature)])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([one[np.newaxis]] for one in shown)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    for picture in (*shown, np.zeros((32, 32, 3), np.float32)):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[np.newaxis])
        interpreter.invoke()
        answer = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
        assert answer.sum() == pytest.approx(1, abs=0.02)


def test_a_damaged_model_is_told_in_words(home: DataRoot, tmp_path: Path) -> None:
    part = make_run(tmp_path / "run", SMALL, home)
    (part.folder / MODEL_FILE).write_bytes(b"no model")
    with pytest.raises(RunError, match="missing or damaged"):
        build_any_size(source_of((part,)), home)
