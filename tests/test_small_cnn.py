"""The small network's name is its architecture, and everything works with it like with a row of the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from tlcore.backbones.registry import get_backbone, output_shape, small_cnn_filters, small_cnn_name
from tlcore.backbones.weights.status import published_weights, require_weights, weights_status
from tlcore.config import RANDOM, ModelConfig
from tlcore.home import DataRoot
from tlcore.model.architecture import describe_model
from tlcore.model.cut import PIXELS, plan_model


def test_name_and_filters_say_the_same() -> None:
    assert small_cnn_name((32, 64, 128)) == "small_cnn-32-64-128"
    for filters in ((4,), (32, 64, 128), (512,) * 6):
        assert small_cnn_filters(small_cnn_name(filters)) == filters
        assert get_backbone(small_cnn_name(filters)).name == small_cnn_name(filters)


@pytest.mark.parametrize(
    "name",
    ["small_cnn", "small_cnn-", "small_cnn-3", "small_cnn-513", "small_cnn-032", "small_cnn" + 7 * "-8", "vgg16"],
)
def test_what_names_no_small_network_has_no_filters(name: str) -> None:
    assert small_cnn_filters(name) is None


@pytest.mark.parametrize("filters", [(), (3,), (513,), (8,) * 7])
def test_filters_out_of_range_are_refused(filters: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="`filters` must"):
        small_cnn_name(filters)


def test_each_block_halves_the_size() -> None:
    spec = get_backbone("small_cnn-32-64-128")
    assert output_shape(spec, 128) == {"conv1": (64, 64, 32), "conv2": (32, 32, 64), "conv3": (16, 16, 128)}
    assert spec.minimum_size == 32
    assert get_backbone("small_cnn" + 6 * "-8").minimum_size == 64


def test_it_needs_no_file_of_weights(tmp_path: Path) -> None:
    spec = get_backbone("small_cnn-8")
    status = weights_status(spec, DataRoot(tmp_path))
    assert (status.state, status.path, status.ready_offline) == ("ready", None, True)
    assert require_weights(spec, DataRoot(tmp_path)) is None
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="published weights"):
        published_weights(spec)


def test_it_is_trained_from_the_pixels_on() -> None:
    config = ModelConfig(backbone="small_cnn-8-16", image_size=64, first_trainable="conv1")
    assert plan_model(config).prefix.cut == PIXELS
    summary = describe_model(config, num_classes=2)
    assert summary.frozen_parameters == 0
    assert summary.trainable_parameters == (3 * 9 * 8 + 8) + (8 * 9 * 16 + 16) + (16 * 2 + 2)


def test_its_features_are_of_random_weights_whatever_was_chosen() -> None:
    chosen = ModelConfig(backbone="small_cnn-8-16", image_size=64)
    assert (
        plan_model(chosen).prefix
        == plan_model(ModelConfig(backbone="small_cnn-8-16", image_size=64, weights=RANDOM)).prefix
    )
