"""The description of a model before it is built."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest

from tlcore.backbones.registry import BACKBONES, get_backbone
from tlcore.config import FineTuningConfig, HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.errors import RunError
from tlcore.model.architecture import check_phases, describe_model, without_contradictions

# Weights without a classifier. Source: `count_params()` of keras.applications with `include_top=False`.
KERAS_PARAMETERS = {
    "mobilenet_v2": 2_257_984,
    "vgg16": 14_714_688,
    "resnet50": 23_587_712,
    "inception_v3": 21_802_784,
}


@pytest.mark.parametrize("name", KERAS_PARAMETERS)
def test_a_frozen_backbone_has_the_parameters_that_keras_counts(name: str) -> None:
    summary = describe_model(ModelConfig(backbone=name, head=HeadConfig()), num_classes=2)
    assert summary.frozen_parameters == KERAS_PARAMETERS[name]


def test_only_the_head_is_trainable_below_a_frozen_backbone() -> None:
    summary = describe_model(ModelConfig(), num_classes=3)
    assert not any(block.trainable for block in summary.blocks)
    assert summary.trainable_parameters == sum(layer.parameters for layer in summary.head) == 1280 * 3 + 3


@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
def test_every_freeze_line_divides_the_same_sum(spec) -> None:
    config = ModelConfig(backbone=spec.name, image_size=spec.default_size)
    frozen = describe_model(config, num_classes=2)
    total = frozen.trainable_parameters + frozen.frozen_parameters
    previous = frozen.trainable_parameters
    for name in reversed(get_backbone(config.backbone).block_names):
        summary = describe_model(replace(config, first_trainable=name), num_classes=2)
        first = [block.name for block in summary.blocks].index(name)
        assert [block.trainable for block in summary.blocks] == [index >= first for index in range(len(summary.blocks))]
        assert summary.trainable_parameters + summary.frozen_parameters == total
        assert summary.trainable_parameters > previous
        previous = summary.trainable_parameters


def test_batch_normalization_stays_frozen_in_a_trainable_backbone() -> None:
    config = ModelConfig(backbone="mobilenet_v2")
    summary = describe_model(
        replace(config, first_trainable=get_backbone(config.backbone).block_names[0]), num_classes=2
    )
    batch_norm = sum(block.batch_norm_parameters for block in get_backbone("mobilenet_v2").blocks)
    assert summary.frozen_parameters == batch_norm > 0


def test_a_network_without_batch_normalization_can_train_everything() -> None:
    summary = describe_model(ModelConfig(backbone="vgg16", first_trainable="block1"), num_classes=2)
    assert summary.frozen_parameters == 0


def test_flatten_keeps_every_position() -> None:
    config = ModelConfig(backbone="vgg16", head=HeadConfig(pooling="flatten", dropout=0.0))
    summary = describe_model(config, num_classes=2)
    assert summary.blocks[-1].output_shape == (7, 7, 512)
    assert [(layer.output_shape, layer.parameters) for layer in summary.head] == [
        ((7 * 7 * 512,), 0),
        ((2,), 7 * 7 * 512 * 2 + 2),
    ]


def test_dense_layers_stand_between_pooling_and_output() -> None:
    config = ModelConfig(head=HeadConfig(dense_units=(100, 50), dropout=0.3))
    head = describe_model(config, num_classes=4).head
    assert [layer.name for layer in head] == [
        "pooling",
        "dropout_1",
        "dense_1",
        "dropout_2",
        "dense_2",
        "dropout_3",
        "probabilities",
    ]
    assert [layer.parameters for layer in head] == [0, 0, 1280 * 100 + 100, 0, 100 * 50 + 50, 0, 50 * 4 + 4]
    assert head[-1].output_shape == (4,)


def test_a_smaller_picture_makes_smaller_outputs_of_the_same_weights() -> None:
    large = describe_model(ModelConfig(image_size=224), num_classes=2)
    small = describe_model(ModelConfig(image_size=96), num_classes=2)
    assert small.blocks[-1].output_shape == (3, 3, large.blocks[-1].output_shape[-1])
    assert small.frozen_parameters == large.frozen_parameters
    for of_small, of_large in zip(small.blocks, large.blocks, strict=True):
        assert math.prod(of_small.output_shape) < math.prod(of_large.output_shape)


def test_an_unknown_block_is_named_with_the_blocks_there_are() -> None:
    with pytest.raises(ValueError, match=r"`block_name` must be .*block1.* Received: block_name='nose'"):
        describe_model(ModelConfig(backbone="vgg16", first_trainable="nose"), num_classes=2)


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match="Received: name='nose'"):
        describe_model(ModelConfig(backbone="nose"), num_classes=2)


def test_a_model_without_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`num_classes` must be at least 1. Received: num_classes=0"):
        describe_model(ModelConfig(), num_classes=0)


def test_describing_a_model_loads_no_tensorflow() -> None:
    code = (
        "import sys; from tlcore.model.architecture import describe_model; from tlcore.config import ModelConfig; "
        "import tlcore.results.evaluation; describe_model(ModelConfig(), 2); "
        "print([name for name in ('tensorflow', 'keras', 'sklearn') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("line", "tuning", "kept"),
    [(None, "block5a", True), ("block7a", "block6a", True), ("block6a", "block6a", False), ("stem", "block7a", False)],
)
def test_a_second_phase_stays_while_it_thaws_something(line: str | None, tuning: str, kept: bool) -> None:
    config = RunConfig(
        model=ModelConfig(first_trainable=line), training=TrainingConfig(fine_tuning=FineTuningConfig(tuning))
    )
    assert (without_contradictions(config) == config) is kept
    if kept:
        check_phases(config)
        return
    assert len(without_contradictions(config).phases) == 1
    with pytest.raises(RunError, match=f"block {tuning}, which learns in the first phase already"):
        check_phases(config)


def test_a_warm_up_longer_than_the_training_is_refused() -> None:
    check_phases(RunConfig(training=TrainingConfig(epochs=5, warmup_epochs=5)))
    with pytest.raises(RunError, match=r"warm-up of 6 epochs is longer than the training, which has 5\. Choose fewer"):
        check_phases(RunConfig(training=TrainingConfig(epochs=5, warmup_epochs=6)))


def test_blocks_are_kept_frozen_behind_the_line_only() -> None:
    model = ModelConfig(first_trainable="block6a", also_frozen=("block5a", "block7a"))
    assert without_contradictions(RunConfig(model=model)).model.also_frozen == ("block7a",)
    assert without_contradictions(RunConfig(model=replace(model, first_trainable=None))).model.also_frozen == ()


@pytest.mark.parametrize(("weights", "line"), [("imagenet", None), ("random", "block_0")])
def test_what_an_old_page_stored_for_another_backbone_is_mended(weights: str, line: str | None) -> None:
    model = ModelConfig("mobilenet_v2", weights=weights, first_trainable="block6c", also_frozen=("block7a",))
    first = get_backbone("mobilenet_v2").block_names[0]
    mended = without_contradictions(RunConfig(model=model)).model
    assert (mended.first_trainable, mended.also_frozen) == (line and first, ())
    small = ModelConfig("inception_v3", image_size=64)
    assert without_contradictions(RunConfig(model=small)).model.image_size == 75
