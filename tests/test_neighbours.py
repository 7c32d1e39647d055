"""Nearest training pictures and strangers: known vectors, brute force, and features that are there or are not."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from tests.cached_features import cache_features
from tests.coloured_pictures import RecordingProgress, coloured_dataset, picture
from tlcore.backbones.small_cnn import small_cnn_name
from tlcore.config import AugmentationConfig, FineTuningConfig, HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import Dataset, Item
from tlcore.errors import RunError
from tlcore.features.engines import compiled_prefix_path
from tlcore.features.pooled import pooled, unit_length
from tlcore.home import DataRoot
from tlcore.images.resizing import decode_image
from tlcore.model.cut import POOLING, plan_model
from tlcore.results import neighbours as neighbours_module
from tlcore.results.neighbours import (
    NOT_CACHED,
    NOTHING_FROZEN,
    Comparison,
    FrozenPart,
    Neighbours,
    comparisons,
    even_share,
    load_neighbours,
)
from tlcore.results.strangers import Strangers, load_strangers, usual_limit
from tlcore.storage.images import ImageStore
from tlcore.storage.simple_heads import frozen_backbone
from tlcore.training.split_features import SplitFeatures

MODEL = ModelConfig(image_size=64)
FLIPS = AugmentationConfig(horizontal_flip=True, rotation_range=20)
THAWED = replace(MODEL, first_trainable="block6a")
[PLAIN] = comparisons(MODEL)


def known(vectors: np.ndarray, comparison: Comparison = PLAIN) -> Neighbours:
    """Return training pictures with these features, called by their numbers."""
    items = tuple(Item(str(number), "a", "train", f"{number}.png") for number in range(len(vectors)))
    return Neighbours(comparison, items, ("a",) * len(items), unit_length(vectors), len(items))


def on_a_circle(*degrees: float) -> np.ndarray:
    """Return vectors of length 1 in these directions."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.fixture
def colours(ready_home: DataRoot) -> Dataset:
    return coloured_dataset(ready_home, per_class=20)


def test_the_nearest_stand_first_with_the_cosine_of_the_angle() -> None:
    found = known(on_a_circle(0, 80, 30, 170)).nearest(on_a_circle(10)[0], 3)
    assert [one.image for one in found] == ["0", "2", "1"]
    np.testing.assert_allclose([one.likeness for one in found], np.cos(np.radians([10, 20, 70])), atol=1e-6)


def test_the_picture_that_is_asked_about_is_no_neighbour_of_itself() -> None:
    neighbours = known(on_a_circle(0, 5, 90))
    assert [one.image for one in neighbours.nearest(on_a_circle(0)[0], 5, without="0")] == ["1", "2"]
    assert known(on_a_circle(0)).nearest(on_a_circle(0)[0], without="0") == ()


def test_neighbours_and_strangeness_are_those_of_brute_force() -> None:
    random = np.random.default_rng(0)
    vectors, new = unit_length(random.normal(size=(500, 24))), unit_length(random.normal(size=(40, 24)))
    distances, places = NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute").fit(vectors).kneighbors(new)
    neighbours = known(vectors)
    for vector, expected in zip(new, places, strict=True):
        assert [int(one.image) for one in neighbours.nearest(vector)] == expected.tolist()
    np.testing.assert_allclose(neighbours.strangeness(new), distances.mean(axis=1), atol=1e-5)


def test_strangeness_is_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    neighbours, new = known(random.normal(size=(50, 8))), unit_length(random.normal(size=(33, 8)))
    at_once = neighbours.strangeness(new)
    monkeypatch.setattr(neighbours_module, "CHUNK_BYTES", 4 * 50 * 7)
    np.testing.assert_allclose(neighbours.strangeness(new), at_once, atol=1e-6)


def test_fewer_training_pictures_than_neighbours_are_enough() -> None:
    np.testing.assert_allclose(known(on_a_circle(0, 60)).strangeness(on_a_circle(0)), [0.25], atol=1e-6)


def test_the_limit_leaves_one_in_twenty_beyond_it() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(200, dtype=np.float32))
    assert (scores > usual_limit(scores)).mean() == pytest.approx(0.05)


def test_a_map_is_averaged_over_its_places() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float16)
    np.testing.assert_allclose(pooled(maps), maps.astype(np.float32).mean(axis=(1, 2)), atol=1e-6)
    np.testing.assert_array_equal(pooled(maps[:, 0, 0]), maps[:, 0, 0])


def test_what_is_compared_is_the_whole_frozen_backbone_where_there_is_one() -> None:
    whole = plan_model(frozen_backbone(MODEL)).prefix
    assert [(one.prefix, one.is_whole, one.has_views) for one in comparisons(RunConfig(model=MODEL))] == [
        (whole, True, False)
    ]
    thawed = comparisons(RunConfig(FLIPS, THAWED))
    assert [(one.is_whole, one.has_views) for one in thawed] == [
        (True, False),
        (True, True),
        (False, False),
        (False, True),
    ]
    assert thawed[2].prefix == plan_model(THAWED).prefix
    in_two_phases = TrainingConfig(fine_tuning=FineTuningConfig("block6a"))
    assert [one.prefix for one in comparisons(RunConfig(model=MODEL, training=in_two_phases))] == [
        whole,
        plan_model(THAWED).prefix,
    ]
    flat = comparisons(RunConfig(model=replace(MODEL, head=HeadConfig("flatten"))))
    assert [(one.prefix.cut == POOLING, one.is_whole) for one in flat] == [(True, True), (False, True)]


def test_a_model_that_learned_everything_itself_has_nothing_to_compare_by(home: DataRoot) -> None:
    small = RunConfig(model=ModelConfig(small_cnn_name((8, 16)), 64, first_trainable="conv1", weights="random"))
    assert comparisons(small) == ()
    with pytest.raises(RunError, match="no frozen backbone"):
        load_neighbours(Dataset(), (), home)
    assert "learned everything itself" in NOTHING_FROZEN


def test_random_weights_count_only_where_the_model_looks_through_them(home: DataRoot) -> None:
    whole = plan_model(replace(MODEL, weights="random")).prefix
    assert [one.prefix for one in comparisons(replace(MODEL, weights="random"))] == [whole]
    thawed = comparisons(RunConfig(model=replace(THAWED, weights="random")))
    assert [one.is_whole for one in thawed] == [False]
    with pytest.raises(RunError, match="Train it again"):
        load_neighbours(Dataset(), thawed, home)


def test_a_new_picture_finds_training_pictures_of_its_colour(ready_home: DataRoot, colours: Dataset) -> None:
    cache_features(colours, RunConfig(model=MODEL), ready_home)
    found = load_neighbours(colours, comparisons(RunConfig(model=MODEL)), ready_home)
    assert len(found.items) == found.total == len(colours.subset("train"))
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
    frozen = FrozenPart(PLAIN.prefix, PLAIN.resize_mode, ready_home)
    for colour in ("blue", "green", "red"):
        nearest = found.nearest(frozen.vector(picture(colour, 999, width=90, height=70)))
        assert [one.class_name for one in nearest] == [colour] * 5
        assert 0.8 < nearest[-1].likeness <= nearest[0].likeness < 1


def test_a_picture_is_most_like_itself(ready_home: DataRoot, colours: Dataset) -> None:
    cache_features(colours, RunConfig(model=MODEL), ready_home)
    found = load_neighbours(colours, comparisons(RunConfig(model=MODEL)), ready_home)
    frozen, images = FrozenPart(PLAIN.prefix, PLAIN.resize_mode, ready_home), ImageStore(ready_home)
    for item in colours.subset("train")[::7]:
        [itself] = found.nearest(frozen.vector(decode_image(images.read(item.image))), 1)
        assert itself.image == item.image
        assert itself.likeness == pytest.approx(1, abs=2e-3)


def test_a_run_with_augmentation_has_views_of_its_pictures(ready_home: DataRoot, colours: Dataset) -> None:
    config = RunConfig(FLIPS, MODEL)
    cache_features(colours, config, ready_home, views=True)
    found = load_neighbours(colours, comparisons(config), ready_home)
    assert found.comparison.has_views
    assert len(found.items) == len(colours.subset("train"))


def test_blocks_before_the_freeze_line_do_where_the_whole_backbone_was_never_asked(
    ready_home: DataRoot, colours: Dataset
) -> None:
    config = RunConfig(model=THAWED)
    cache_features(colours, config, ready_home)
    found = load_neighbours(colours, comparisons(config), ready_home)
    assert not found.comparison.is_whole
    prefix = found.comparison.prefix
    assert len(prefix.shape) == 3
    assert found.vectors.shape == (len(colours.subset("train")), prefix.shape[-1])
    nearest = found.nearest(FrozenPart(prefix, "crop", ready_home).vector(picture("red", 999)))
    assert [one.class_name for one in nearest] == ["red"] * 5
    cache_features(colours, RunConfig(model=MODEL), ready_home)
    assert load_neighbours(colours, comparisons(config), ready_home).comparison.is_whole


def test_features_that_are_not_there_are_said_with_what_to_do(ready_home: DataRoot, colours: Dataset) -> None:
    compared = comparisons(RunConfig(model=MODEL))
    with pytest.raises(RunError, match="Train simple heads on Understand"):
        load_neighbours(colours, compared, ready_home)
    cache_features(colours, RunConfig(model=MODEL), ready_home)
    load_neighbours(colours, compared, ready_home)
    compiled = compiled_prefix_path(PLAIN.prefix, ready_home)
    kept = compiled.read_bytes()
    compiled.unlink()
    with pytest.raises(RunError, match="Train simple heads"):
        load_neighbours(colours, compared, ready_home)
    compiled.write_bytes(kept)
    shutil.rmtree(ready_home.features_dir)
    with pytest.raises(RunError) as cleared:
        load_neighbours(colours, compared, ready_home)
    assert str(cleared.value) == NOT_CACHED


def test_half_of_the_features_are_enough_and_fewer_are_not(ready_home: DataRoot, colours: Dataset) -> None:
    training, compared = colours.subset("train"), comparisons(RunConfig(model=MODEL))
    features = SplitFeatures(colours, plan_model(MODEL), AugmentationConfig(), ready_home)
    half = -(-len(training) // 2)
    features.plain(training[: half - 1], RecordingProgress(), "features")
    with pytest.raises(RunError):
        load_neighbours(colours, compared, ready_home)
    features.plain(training[:half], RecordingProgress(), "features")
    found = load_neighbours(colours, compared, ready_home)
    assert (len(found.items), found.total) == (half, len(training))


def test_of_too_many_pictures_an_even_share_is_compared(
    ready_home: DataRoot, colours: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_features(colours, RunConfig(model=MODEL), ready_home)
    monkeypatch.setattr(neighbours_module, "MAX_VALUES", 15 * PLAIN.prefix.shape[-1])
    found = load_neighbours(colours, comparisons(MODEL), ready_home)
    assert (len(found.items), found.total) == (15, len(colours.subset("train")))
    assert {found.class_names.count(name) for name in colours.class_names} == {5}
    assert len(even_share(PLAIN, colours.items, at_most=4)) == 4


def test_noise_is_a_stranger_and_new_pictures_of_the_colours_are_not(ready_home: DataRoot) -> None:
    colours = coloured_dataset(ready_home, per_class=40)
    cache_features(colours, RunConfig(model=MODEL), ready_home)
    found = load_neighbours(colours, comparisons(MODEL), ready_home)
    strangers = load_strangers(found, colours, ready_home)
    assert isinstance(strangers, Strangers)
    assert strangers.judged_by == len(colours.subset("validation"))
    frozen = FrozenPart(PLAIN.prefix, PLAIN.resize_mode, ready_home)
    random = np.random.default_rng(0)
    noise = [random.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(5)]
    assert all(strangers.is_strange(frozen.vector(pixels)) for pixels in noise)
    new = [strangers.is_strange(frozen.vector(picture("red", 1000 + number))) for number in range(20)]
    assert sum(new) <= 4
    few = replace(colours, items=tuple(item for item in colours.items if item.split != "validation"))
    assert load_strangers(found, few, ready_home) is None
