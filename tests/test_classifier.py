"""Backbone and head as one network: frozen up to the line, cut in two, saved and loaded the same."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.keras_parameters import count_parameters
from tlcore.backbones.keras_models import block_layers
from tlcore.backbones.registry import get_backbone
from tlcore.config import RANDOM, HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.features.store import FeatureTable, LabelledFeatures
from tlcore.home import DataRoot
from tlcore.model.architecture import describe_model
from tlcore.model.classifier import Classifier, build_classifier, build_prefix, cut_model
from tlcore.model.cut import ModelPlan, plan_model
from tlcore.training.loop import train_suffix
from tlcore.training.run import train_classifier

SIZE = 32
LAST_BLOCKS = {"efficientnet_lite0": "block7a", "mobilenet_v2": "block_16"}
FREEZE_LINES = [
    ("efficientnet_lite0", None),
    ("efficientnet_lite0", "block5a"),
    ("efficientnet_lite0", "stem"),
    ("mobilenet_v2", None),
    ("mobilenet_v2", "block_12"),
    ("mobilenet_v2", "Conv1"),
]


def random_classifier(config: ModelConfig, num_classes: int = 3, seed: int = 0) -> Classifier:
    """Build a classifier with random weights, frozen and cut as one with ImageNet's."""
    keras.utils.set_random_seed(1)
    scratch = plan_model(replace(config, weights=RANDOM))
    model = build_classifier(scratch, num_classes, DataRoot.configured(), seed=seed).model
    return cut_model(model, plan_model(config))


def answers(model: keras.Model, examples: np.ndarray) -> np.ndarray:
    """Return what the model says, without the seconds that `predict` takes to trace a graph."""
    return np.asarray(model(np.asarray(examples, np.float32), training=False))


def model_config(backbone: str = "efficientnet_lite0", first: str | None = None, **head: object) -> ModelConfig:
    return ModelConfig(backbone, SIZE, first_trainable=first, head=HeadConfig(**head))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=FREEZE_LINES, ids=lambda line: f"{line[0]}-{line[1]}")
def cut(request: pytest.FixtureRequest) -> Iterator[tuple[ModelConfig, Classifier]]:
    config = model_config(*request.param)
    yield config, random_classifier(config)
    keras.utils.clear_session()


def test_raw_pixels_become_one_probability_per_class(cut: tuple[ModelConfig, Classifier], pixels: np.ndarray) -> None:
    probabilities = answers(cut[1].model, pixels)
    assert probabilities.shape == (len(pixels), 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)


def test_the_model_page_counts_the_parameters_that_keras_counts(cut: tuple[ModelConfig, Classifier]) -> None:
    config, classifier = cut
    summary = describe_model(config, 3)
    assert count_parameters(classifier.model) == (summary.trainable_parameters, summary.frozen_parameters)


def test_the_blocks_before_the_line_are_frozen_and_the_others_train(cut: tuple[ModelConfig, Classifier]) -> None:
    config, classifier = cut
    for block in describe_model(config, 3).blocks:
        layers = block_layers(classifier.model, get_backbone(config.backbone))[block.name]
        trained = any(layer.trainable_weights for layer in layers)
        assert trained == (block.trainable and block.parameters > 0), block.name


def test_batch_normalization_is_never_trainable(cut: tuple[ModelConfig, Classifier]) -> None:
    layers = [x for x in cut[1].model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert layers
    assert not any(layer.trainable or layer.trainable_weights for layer in layers)


def test_prefix_and_suffix_together_are_the_model(cut: tuple[ModelConfig, Classifier], pixels: np.ndarray) -> None:
    classifier = cut[1]
    features = pixels if classifier.prefix is None else answers(classifier.prefix, pixels)
    np.testing.assert_allclose(answers(classifier.suffix, features), answers(classifier.model, pixels), atol=1e-6)


def test_what_is_trained_is_all_in_the_suffix(cut: tuple[ModelConfig, Classifier]) -> None:
    classifier = cut[1]
    assert classifier.prefix is None or not classifier.prefix.trainable_variables
    suffix = {id(variable) for variable in classifier.suffix.trainable_variables}
    assert suffix == {id(variable) for variable in classifier.model.trainable_variables}


@pytest.mark.parametrize("backbone", LAST_BLOCKS)
def test_fine_tuning_keeps_batch_norm_statistics_and_frozen_weights(backbone: str) -> None:
    config = model_config(backbone, LAST_BLOCKS[backbone])
    classifier = random_classifier(config)
    before = {variable.path: variable.numpy().copy() for variable in classifier.model.variables}
    # Drawn, because a backbone with random weights gives next to nothing from which to learn.
    features = np.random.default_rng(0).normal(size=(6, *classifier.suffix.input.shape[1:])).astype(np.float32)
    table = FeatureTable([features], np.array([(0, row) for row in range(len(features))]))
    labelled = LabelledFeatures(table, np.arange(len(features)) % 3)
    training = TrainingConfig(epochs=1, batch_size=2, learning_rate=0.1, optimizer="sgd")
    train_suffix(classifier.suffix, lambda _: labelled, labelled, training, RecordingProgress())

    trained = {variable.path for variable in classifier.model.trainable_variables}
    moved = {v.path for v in classifier.model.variables if not np.array_equal(before[v.path], v.numpy())}
    assert {path for path in moved if "seed_generator" not in path} <= trained
    kernels = {path for path in trained if path.endswith("kernel")}
    assert kernels <= moved
    assert len(kernels) > 1
    assert any("moving_variance" in path for path in before)


@pytest.mark.parametrize(
    "head",
    [
        HeadConfig(dense_units=(16,), dropout=0.0),
        HeadConfig(dense_units=(16, 8), dropout=0.5),
        HeadConfig(pooling="flatten", dropout=0.0),
        HeadConfig(pooling="flatten", dense_units=(8,), dropout=0.3),
    ],
    ids=str,
)
def test_the_head_is_the_one_that_was_described(head: HeadConfig, pixels: np.ndarray) -> None:
    config = ModelConfig(image_size=SIZE, head=head)
    classifier = random_classifier(config)
    for before, layer in pairwise(describe_model(config, 3).head):
        built = classifier.model.get_layer(layer.name)
        assert tuple(built.input.shape[1:]) == before.output_shape
        assert tuple(built.output.shape[1:]) == layer.output_shape
        assert built.count_params() == layer.parameters
    assert classifier.prefix is not None
    suffix = answers(classifier.suffix, answers(classifier.prefix, pixels))
    np.testing.assert_allclose(suffix, answers(classifier.model, pixels), atol=1e-6)


def test_a_saved_model_answers_the_same_without_any_code_of_ours(pixels: np.ndarray, tmp_path: Path) -> None:
    model = random_classifier(model_config("mobilenet_v2", "block_16", dense_units=(8,))).model
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(answers(loaded, pixels), answers(model, pixels), atol=1e-6)
    assert {type(layer).__module__.partition(".")[0] for layer in loaded.layers} == {"keras"}


def test_the_seed_decides_the_first_weights_of_the_head() -> None:
    config = model_config(dense_units=(8,))

    def head(seed: int) -> list[np.ndarray]:
        model = random_classifier(config, seed=seed).model
        return [weight for name in ("dense_1", "probabilities") for weight in model.get_layer(name).get_weights()]

    first, same, other = head(7), head(7), head(8)
    assert all(map(np.array_equal, first, same))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(
    ("backbone", "first_trainable", "also_frozen"),
    [
        ("small_cnn-4-8", "conv1", ()),
        ("small_cnn-4-8", "conv2", ()),
        ("mobilenet_v2_035", "block_12", ("block_14",)),
        ("small_cnn-4-8", None, ()),
    ],
)
def test_the_seed_draws_what_learns_from_scratch_and_nothing_that_is_frozen(
    backbone: str, first_trainable: str | None, also_frozen: tuple[str, ...]
) -> None:
    config = ModelConfig(backbone, 32, first_trainable=first_trainable, also_frozen=also_frozen, weights=RANDOM)
    plan, home = plan_model(config), DataRoot.configured()
    random.seed(1)
    first = build_classifier(plan, 3, home, seed=7)
    random.seed(2)
    same, other = build_classifier(plan, 3, home, seed=7), build_classifier(plan, 3, home, seed=8)
    assert all(map(np.array_equal, first.model.get_weights(), same.model.get_weights()))
    drawn = 0
    for one, another in zip(first.model.weights, other.model.weights, strict=True):
        if one.path.endswith("kernel"):
            assert np.array_equal(one, another) != one.trainable, one.path
            drawn += one.trainable
    assert drawn == 1 + sum(
        has_kernel(layer) for name in plan.trainable_blocks for layer in layers_of(first, plan)[name]
    )
    if first.prefix is not None and other.prefix is not None:
        computed = build_prefix(plan, home).get_weights()
        assert all(map(np.array_equal, first.prefix.get_weights(), computed))
        assert all(map(np.array_equal, other.prefix.get_weights(), computed))


def has_kernel(layer: keras.layers.Layer) -> bool:
    return any(weight.path.endswith("kernel") for weight in layer.weights)


def layers_of(classifier: Classifier, plan: ModelPlan) -> dict[str, list[keras.layers.Layer]]:
    return block_layers(classifier.model, plan.backbone)


def test_the_seed_leaves_weights_that_know_something_alone() -> None:
    plan = plan_model(model_config(first="stem"))
    one, other = (build_classifier(plan, 3, DataRoot.configured(), seed=seed).model for seed in (0, 1))
    differ = [a.path for a, b in zip(one.weights, other.weights, strict=True) if not np.array_equal(a, b)]
    assert differ == ["probabilities/kernel"]


def test_runs_that_differ_in_their_seed_share_what_the_frozen_random_part_sees(home: DataRoot, tmp_path: Path) -> None:
    dataset = coloured_dataset(home)
    model = ModelConfig("small_cnn-4-8", 32, first_trainable="conv2", weights=RANDOM)
    passes = []
    for seed in (0, 1):
        progress = RecordingProgress()
        config = RunConfig(model=model, training=TrainingConfig(epochs=1, seed=seed))
        train_classifier(dataset, config, tmp_path / str(seed), progress, home)
        passes.append({"compiling", "features", "validation_features"} & set(progress.phase_names))
    assert passes == [{"compiling", "features", "validation_features"}, set()]


def test_without_pre_training_batch_normalization_learns_with_its_block() -> None:
    config = ModelConfig(backbone="mobilenet_v2", image_size=SIZE, first_trainable="block_12", weights=RANDOM)
    model = build_classifier(plan_model(config), 3, DataRoot.configured()).model
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    learning = [layer for layer in norms if layer.trainable]
    assert 0 < len(learning) < len(norms)
    assert count_parameters(model)[0] == describe_model(config, 3).trainable_parameters


def test_what_learns_from_scratch_is_judged_as_it_was_trained() -> None:
    # A part of the network, because preparing its steps takes TensorFlow a while for each layer.
    config = ModelConfig(backbone="mobilenet_v2", image_size=SIZE, first_trainable="block_15", weights=RANDOM)
    suffix = build_classifier(plan_model(config), 2, DataRoot.configured()).suffix
    labels = np.arange(32) % 2
    features = np.random.default_rng(0).normal(20, 1, (32, *suffix.input.shape[1:])).astype(np.float16)
    features[labels == 1, ..., ::2] += 1
    places = np.array([(0, row) for row in range(len(labels))])
    records = LabelledFeatures(FeatureTable([features], places), labels)
    training = TrainingConfig(epochs=40, batch_size=16, learning_rate=1e-3, patience=None)
    result = train_suffix(suffix, lambda _: records, records, training, RecordingProgress())
    assert result.validation_accuracy is not None
    assert result.validation_accuracy > 0.9
