"""Heat maps: what is covered, what a fall of the answer says, and that a planted patch is found."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from tests.drawn_scenes import draw_scene
from tests.planted_patch import WITH_PATCH, WITHOUT, as_brought, share_found, with_patch
from tlcore.backbones.registry import get_backbone
from tlcore.config import ModelConfig
from tlcore.explaining import covering
from tlcore.explaining.covering import Box, affordable_detail, boxes_of, cover, cover_all, filling, shrunk
from tlcore.explaining.heat_map import log_odds
from tlcore.explaining.places import falls_of_places, over_picture
from tlcore.features.engines import compiled_prefix_path
from tlcore.features.litert import CompiledModel
from tlcore.home import DataRoot
from tlcore.images.resizing import resize_image
from tlcore.model.cut import Prefix, plan_model
from tlcore.results.calibration import calibrated
from tlcore.results.ensembles import ensemble_predictor
from tlcore.results.prediction import PlaceAnswers, Predictor, PredictorSpec, build_predictor, no_places
from tlcore.simple_heads.heads import LinearHead, SimpleHead, softmax
from tlcore.simple_heads.prediction import simple_head_predictor
from tlcore.simple_heads.training import train_logistic_regression, train_nearest_neighbours

MODEL = ModelConfig(image_size=64)


def looks_at(left: int, top: int, side: int) -> Predictor:
    """Return a model of pictures of 60 pixels: the brighter this part, the surer the first class."""

    def predict(images: Sequence[np.ndarray]) -> np.ndarray:
        bright = np.array([image[top : top + side, left : left + side].mean() / 255 for image in images], np.float32)
        return np.stack([bright, 1 - bright], axis=1)

    return Predictor(("light", "dark"), (0, 1), 60, predict)


def bright_at(left: int, top: int, side: int) -> np.ndarray:
    picture = np.full((60, 60, 3), 40, np.uint8)
    picture[top : top + side, left : left + side] = 230
    return picture


def test_the_warmest_part_is_the_one_that_the_model_looks_at() -> None:
    coverings = cover_all(looks_at(30, 10, 10), bright_at(30, 10, 10), detail=1)
    heat = coverings.heat_map(0)
    assert heat.probability == pytest.approx(230 / 255, abs=0.01)
    row, column = np.unravel_index(heat.values.argmax(), heat.values.shape)
    rows, columns = heat.values.shape
    assert 10 <= (row + 0.5) * 60 / rows <= 20
    assert 30 <= (column + 0.5) * 60 / columns <= 40
    far = heat.values[rows * 2 // 3 :]
    np.testing.assert_allclose(far, 0, atol=1e-6)


def test_of_two_classes_what_speaks_for_one_speaks_against_the_other() -> None:
    coverings = cover_all(looks_at(30, 10, 10), bright_at(30, 10, 10), detail=0.5)
    np.testing.assert_allclose(coverings.heat_map(0).values, -coverings.heat_map(1).values, atol=1e-4)


def test_a_map_is_the_mean_fall_of_the_log_odds_over_the_coverings_of_a_cell() -> None:
    whole = np.array([0.8, 0.2], np.float32)
    covered = np.array([[0.5, 0.5], [0.8, 0.2]], np.float32)
    shares = np.array([[[1, 1, 0]], [[0, 1, 1]]], np.float32)
    values = covering.Coverings(whole, covered, shares).heat_map(0).values
    fall = np.log(0.8 / 0.2)
    np.testing.assert_allclose(values, [[fall, fall / 2, 0]], atol=1e-6)


def test_log_odds_see_what_shakes_a_sure_answer_and_are_finite() -> None:
    rows = np.array([[0.5, 0.25, 0.25], [1 - 1e-6, 1e-6, 0], [1 - 2e-6, 2e-6, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    odds = log_odds(rows, 0)
    assert odds[0] == pytest.approx(0)
    assert odds[1] - odds[2] == pytest.approx(np.log(2), abs=1e-3)
    assert np.isfinite(odds).all()
    assert odds[3] == -odds[4] > odds[1]


def test_a_model_that_no_cover_makes_unsure_still_shows_where_it_looks() -> None:
    whole = np.array([1, 1e-24], np.float32)
    covered = np.array([[1, 1e-24], [1, 1e-12]], np.float32)
    shares = np.array([[[1, 0]], [[0, 1]]], np.float32)
    values = covering.Coverings(whole, covered, shares).heat_map(0).values
    np.testing.assert_allclose(values, [[0, 12 * np.log(10)]], rtol=1e-4)


@pytest.mark.parametrize("detail", [0.001, 0.2, 0.29, 0.3, 0.5, 1])
def test_the_covers_together_cover_everything_and_nothing_beside_it(detail: float) -> None:
    hidden = np.zeros((47, 90), bool)
    for box in boxes_of(detail):
        white = np.full((47, 90, 3), 255, np.uint8)
        hidden |= cover(white, box, np.zeros_like(white))[..., 0] == 0
        assert box.left + box.width <= 1 + 1e-9
        assert box.top + box.height <= 1 + 1e-9
    assert hidden.all()


def test_a_cover_leaves_the_rest_and_the_picture_itself_as_they_are() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    before = picture.copy()
    covered = cover(picture, Box(0.5, 0.25, 0.25, 0.5), filling(picture))
    np.testing.assert_array_equal(picture, before)
    changed = (covered != picture).any(axis=2)
    assert changed[10:30, 30:45].mean() > 0.9
    changed[10:30, 30:45] = False
    assert not changed.any()


def test_a_slow_model_is_asked_about_fewer_places() -> None:
    most, budget = len(boxes_of(1)), covering.BUDGET_SECONDS
    assert affordable_detail(0.001, budget) == 1
    assert most == sum(places**2 for _, places in covering.COVERS)
    assert len(boxes_of(affordable_detail(2 * budget / most, budget))) == pytest.approx(most / 2, rel=0.2)
    assert most / 8 * 0.7 <= len(boxes_of(affordable_detail(8 * budget / most, budget))) <= most / 8
    assert len(boxes_of(affordable_detail(10, budget))) == covering.LEAST_PER_SIDE**2


class SlowModel:
    """A model on a clock that a test moves: its first answers take so long, and each later one as long as the last.

    Args:
        seconds: Of the first answers.
        places_seconds: That the answers without each place take.
    """

    def __init__(self, *seconds: float, places_seconds: float = 0.0) -> None:
        self.now, self.asked, self.seconds, self.places_seconds = 100.0, 0, seconds, places_seconds

    def predict(self, images: Sequence[np.ndarray]) -> np.ndarray:
        for _ in images:
            self.now += self.seconds[min(self.asked, len(self.seconds) - 1)]
            self.asked += 1
        return np.full((len(images), 2), 0.5, np.float32)

    def places(self, _image: np.ndarray) -> tuple[PlaceAnswers, ...]:
        self.now += self.places_seconds
        return ()

    def cover_all(self, monkeypatch: pytest.MonkeyPatch, at_most: float = 1.0) -> tuple[int, float]:
        """Return how many parts were covered, and how long all took."""
        predictor = Predictor(("a", "b"), (0, 1), 60, self.predict, places=self.places)
        monkeypatch.setattr("tlcore.explaining.covering.time.perf_counter", lambda: self.now)
        started = self.now
        covered = len(cover_all(predictor, np.zeros((60, 60, 3), np.uint8), at_most=at_most).covered)
        return covered, self.now - started


def test_one_slow_answer_does_not_make_the_map_coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    covered, seconds = SlowModel(0.05, 0.005).cover_all(monkeypatch)
    assert covered == len(boxes_of(1))
    assert seconds < covering.BUDGET_SECONDS
    covered, seconds = SlowModel(0.015).cover_all(monkeypatch)
    assert len(boxes_of(0.3)) < covered < len(boxes_of(0.5))
    assert seconds == pytest.approx(covering.BUDGET_SECONDS, rel=0.15)
    assert SlowModel(1.0).cover_all(monkeypatch) == (9, 10)


def test_what_the_places_take_is_taken_off_the_time_for_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    covered, seconds = SlowModel(0.005, places_seconds=0.4).cover_all(monkeypatch)
    assert covered < 0.65 * len(boxes_of(1))
    assert seconds <= covering.BUDGET_SECONDS * 1.02
    # Not all of it: covers tell more than places.
    covered, _ = SlowModel(0.005, places_seconds=4).cover_all(monkeypatch)
    assert len(boxes_of(0.5)) <= covered < 0.65 * len(boxes_of(1))


def test_the_map_of_a_camera_has_fewer_places_also_when_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SlowModel(0.001).cover_all(monkeypatch, at_most=0.3)[0] == len(boxes_of(0.3))


def test_a_large_picture_is_covered_in_the_size_in_which_the_model_sees_it() -> None:
    assert shrunk(np.zeros((400, 600, 3), np.uint8), 100).shape == (100, 150, 3)
    assert shrunk(np.zeros((80, 60, 3), np.uint8), 100).shape == (80, 60, 3)


def test_the_places_of_a_linear_head_on_the_average_are_its_class_activation_map(prepared_home: DataRoot) -> None:
    rng = np.random.default_rng(0)
    plan = plan_model(MODEL)
    prefix = CompiledModel(compiled_prefix_path(plan.prefix, prepared_home))
    weights = rng.normal(0, 0.05, (plan.prefix.shape[-1], 2)).astype(np.float32)
    head = LinearHead(weights, np.zeros(2, np.float32), is_of_unit_length=False)
    predictor = simple_head_predictor(PredictorSpec(plan.prefix, "stretch", ("a", "b"), (0, 1)), prefix, head)
    pixels = resize_image(draw_scene(rng, 0), 64, "crop")
    features = prefix.before_average(pixels)
    assert features is not None
    np.testing.assert_allclose(features.mean(axis=(0, 1)), prefix(pixels), rtol=1e-3, atol=1e-4)
    [answers] = predictor.places(pixels)
    np.testing.assert_allclose(answers.whole, predictor.predict([pixels])[0], atol=1e-6)
    falls = log_odds(answers.whole[None], 0) - log_odds(answers.without.reshape(-1, 2), 0)
    activation = features @ (weights[:, 0] - weights[:, 1]) / (features.shape[0] * features.shape[1])
    np.testing.assert_allclose(falls.reshape(activation.shape), activation, atol=1e-3)


def test_a_head_that_sees_every_place_is_asked_without_blocks_of_them() -> None:
    rng = np.random.default_rng(0)
    grid, weights = rng.normal(size=(4, 5, 3)).astype(np.float32), rng.normal(size=(4, 5, 3))
    last = get_backbone("efficientnet_lite0").block_names[-1]

    def suffix(features: np.ndarray) -> np.ndarray:
        assert features.shape == grid.shape
        answers: np.ndarray = softmax(np.array([[(features * weights).sum(), 0.0]]))[0]
        return answers

    spec = PredictorSpec(Prefix("efficientnet_lite0", "", 64, last, grid.shape), "crop", ("a", "b"), (0, 1))
    pixels = np.zeros((64, 64, 3), np.uint8)
    [answers] = build_predictor(spec, cast(CompiledModel, lambda _square: grid), suffix).places(pixels)
    falls = log_odds(answers.whole[None], 0) - log_odds(answers.without.reshape(-1, 2), 0)
    # Of a linear head: what a block's places say beyond the mean of all, averaged over the blocks that hold a place.
    says = ((grid - grid.mean(axis=(0, 1))) * weights).sum(axis=-1)
    blocks = {(y, x): says[y : y + 2, x : x + 2].sum() for y in range(3) for x in range(4)}
    expected = [
        [np.mean([blocks[at] for at in blocks if 0 <= y - at[0] <= 1 and 0 <= x - at[1] <= 1]) for x in range(5)]
        for y in range(4)
    ]
    np.testing.assert_allclose(falls.reshape(4, 5), expected, atol=1e-3)
    earlier = replace(spec, prefix=replace(spec.prefix, cut=get_backbone("efficientnet_lite0").block_names[-2]))
    assert build_predictor(earlier, cast(CompiledModel, lambda _square: grid), suffix).places(pixels) == ()


def test_a_temperature_changes_what_is_told_but_not_where_a_model_looks() -> None:
    """Also of a model so sure that no cover shakes it: its probabilities are far below those that a fit tells apart."""

    def predict(images: Sequence[np.ndarray]) -> np.ndarray:
        bright = np.array([image[10:20, 30:40].mean() / 255 for image in images])
        other = 10 ** (-14 - 6 * bright)
        return np.stack([1 - other, other], axis=1).astype(np.float32)

    sure, picture = Predictor(("light", "dark"), (0, 1), 60, predict), bright_at(30, 10, 10)
    before, after = (cover_all(one, picture, detail=1) for one in (sure, calibrated(sure, 3)))
    assert before.heat_map(0).values.max() > 1
    np.testing.assert_array_equal(after.heat_map(0).values, before.heat_map(0).values)
    small = shrunk(picture, 60)
    first = cover(small, boxes_of(1)[0], filling(small))
    np.testing.assert_array_equal([after.whole, after.covered[0]], calibrated(sure, 3).predict([small, first]))
    assert after.heat_map(1).probability == after.whole[1] > before.whole[1]


def test_a_temperature_leaves_the_map_with_places_as_it_is(patched: Predictor) -> None:
    picture = with_patch(draw_scene(np.random.default_rng(3), 0, 1), np.random.default_rng(3))[0]
    before, after = (cover_all(one, picture, detail=0.3) for one in (patched, calibrated(patched, 2)))
    assert after.places is not None
    np.testing.assert_array_equal(after.heat_map(0).values, before.heat_map(0).values)
    assert not np.allclose(after.covered, before.covered)


def test_the_members_of_a_group_count_as_much_as_their_answers_do(patched: Predictor) -> None:
    picture = draw_scene(np.random.default_rng(0), 0, 1)
    alone = falls_of_places(patched.places(picture), 1.0, 6)
    group = ensemble_predictor([patched, replace(patched, places=no_places)], (0.25, 0.75))
    shared = falls_of_places(group.places(picture), 1.0, 6)
    assert alone is not None
    assert shared is not None
    np.testing.assert_allclose(shared, alone / 4, atol=1e-6)
    np.testing.assert_allclose(alone[..., 0], -alone[..., 1], atol=1e-4)


def test_a_model_without_places_and_one_that_takes_long_are_only_covered(
    patched: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = draw_scene(np.random.default_rng(0), 0, 1)
    assert looks_at(0, 0, 9).places(picture) == ()
    assert falls_of_places((), 1.0, 3) is None
    assert cover_all(looks_at(0, 0, 9), picture, detail=0.1).places is None
    assert patched.places(picture)
    monkeypatch.setattr("tlcore.results.prediction.MOST_PLACES_SECONDS", 0)
    assert patched.places(picture) == ()


def test_a_model_whose_file_has_gone_is_still_covered(prepared_home: DataRoot, tmp_path: Path) -> None:
    plan = plan_model(MODEL)
    copy = tmp_path / "prefix.tflite"
    shutil.copyfile(compiled_prefix_path(plan.prefix, prepared_home), copy)
    prefix = CompiledModel(copy)
    copy.unlink()
    picture = resize_image(draw_scene(np.random.default_rng(0), 0), 64, "crop")
    assert prefix.before_average(picture) is None
    assert prefix(picture).shape == plan.prefix.shape


def test_the_features_of_each_place_are_read_without_a_warning_and_without_touching_those_of_other_threads(
    prepared_home: DataRoot, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(warnings, "catch_warnings", lambda: pytest.fail("it is one for all threads"))
    prefix = CompiledModel(compiled_prefix_path(plan_model(MODEL).prefix, prepared_home))
    assert prefix.before_average(resize_image(draw_scene(np.random.default_rng(0), 0), 64, "crop")) is not None
    warnings.warn("something else", UserWarning, stacklevel=1)
    assert [str(one.message) for one in recwarn] == ["something else"]


def test_a_large_model_is_not_in_memory_twice(patched: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlcore.features.litert.LARGEST_TWICE_BYTES", 1000)
    assert patched.places(draw_scene(np.random.default_rng(0), 0, 1)) == ()


def test_the_places_lie_where_the_model_sees_them_in_the_picture() -> None:
    square = np.ones((4, 4), np.float32)
    wide = 2.0  # as high as half of its width
    np.testing.assert_allclose(over_picture(square, "stretch", wide, 8), 1)
    cropped = over_picture(square, "crop", wide, 8)
    np.testing.assert_allclose(cropped[:, 2:6], 1)
    np.testing.assert_allclose(cropped[:, [0, 1, 6, 7]], 0)
    np.testing.assert_allclose(over_picture(square, "crop", 1 / wide, 8), cropped.T)
    # Of a square with borders, only the middle rows are of the picture.
    padded = np.zeros((4, 4), np.float32)
    padded[1:3] = 1
    assert over_picture(padded, "pad", wide, 8).min() > 0.5
    np.testing.assert_allclose(over_picture(padded, "stretch", wide, 8)[[0, 7]], 0, atol=0.2)


def test_what_the_places_say_moves_the_map_but_not_its_scale() -> None:
    whole = np.array([0.8, 0.2], np.float32)
    covered = np.array([[0.5, 0.5], [0.5, 0.5]], np.float32)
    shares = np.array([[[1, 0, 0]], [[0, 0, 1]]], np.float32)
    places = np.zeros((1, 3, 2), np.float32)
    places[0, 2, 0] = 100
    values = covering.Coverings(whole, covered, shares, places).heat_map(0).values
    assert values.argmax() == 2
    assert values.max() == pytest.approx(np.log(4), abs=1e-5)


def test_finer_answers_make_the_map_and_the_answers_stay_what_is_told(patched_neighbours: Predictor) -> None:
    picture = with_patch(draw_scene(np.random.default_rng(3), 0, 1), np.random.default_rng(3))[0]
    made = cover_all(patched_neighbours, picture, detail=0.3)
    np.testing.assert_array_equal(made.whole, patched_neighbours.predict([picture])[0])
    small = shrunk(picture, patched_neighbours.image_size)
    first = cover(small, boxes_of(0.3)[0], filling(small))
    np.testing.assert_array_equal(made.covered[0], patched_neighbours.predict([first])[0])
    assert made.finer is not None
    odds = log_odds(made.finer, 0)
    # The vote of a few is the same under many covers; how alike the classes are is not.
    assert len(np.unique(odds)) > 0.9 * len(odds) > len(np.unique(log_odds(made.covered, 0)))
    coarse = replace(made, finer=None).heat_map(0)
    assert made.heat_map(0).probability == coarse.probability
    assert not np.allclose(made.heat_map(0).values, coarse.values)


def test_finer_answers_stay_and_the_answers_beside_them_are_calibrated(patched_neighbours: Predictor) -> None:
    picture = draw_scene(np.random.default_rng(3), 0, 1)
    cooler = calibrated(patched_neighbours, 2)
    answers, finer = cooler.ask_finely([picture])
    np.testing.assert_allclose(answers, cooler.predict([picture]))
    np.testing.assert_array_equal(finer, patched_neighbours.ask_finely([picture])[1])
    assert not np.allclose(answers, patched_neighbours.predict([picture]))


def _patched(home: DataRoot, train: Callable[[np.ndarray, np.ndarray, int], SimpleHead]) -> Predictor:
    """Return a simple head that learned to find the patch."""
    rng = np.random.default_rng(0)
    plan = plan_model(MODEL)
    prefix = CompiledModel(compiled_prefix_path(plan.prefix, home))
    features, labels = [], []
    for _ in range(80):
        ground = draw_scene(rng, 0, 1)
        for number, picture in enumerate((with_patch(ground, rng)[0], ground)):
            features.append(prefix(resize_image(as_brought(picture), 64, "crop")))
            labels.append(number)
    head = train(np.stack(features), np.array(labels), 2)
    spec = PredictorSpec(plan.prefix, "crop", (WITH_PATCH, WITHOUT), (0, 1))
    return simple_head_predictor(spec, prefix, head)


@pytest.fixture(scope="module")
def patched(prepared_home: DataRoot) -> Predictor:
    return _patched(prepared_home, train_logistic_regression)


@pytest.fixture(scope="module")
def patched_neighbours(prepared_home: DataRoot) -> Predictor:
    return _patched(prepared_home, train_nearest_neighbours)


@pytest.mark.parametrize("kind", ["simple head", "group"])
def test_a_patch_that_alone_decides_the_class_is_found(patched: Predictor, kind: str) -> None:
    model = patched if kind == "simple head" else ensemble_predictor([patched, patched], (0.5, 0.5))
    rng = np.random.default_rng(7)
    grounds = [draw_scene(rng, 0, 1) for _ in range(10)]
    found, seen = share_found(model, lambda pixels: cover_all(model, pixels, detail=1).heat_map(0), grounds)
    assert seen >= 0.8
    assert found >= 0.9
