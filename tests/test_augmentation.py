"""The augmentation does what Keras's legacy `ImageDataGenerator` does, and always the same."""

from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images

from tlcore.config import FILL_MODES, AugmentationConfig, FillMode
from tlcore.images.augmentation import View, apply_view, augment, sample_view
from tlcore.images.resizing import resize_image
from tlcore.images.views import ViewRequest, view_pixels
from tlcore.settings.augmentation_controls import PRESETS

pytestmark = pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")

Pixels = NDArray[np.uint8]

# Both sides interpolate between the same four pixels; ours is then rounded to whole pixel values.
ROUNDING = 0.51

MOVES = {
    "rotation": View(theta=13.3),
    "half turn and more": View(theta=-173.0),
    "width shift": View(tx=21.4),
    "height shift": View(ty=-33.3),
    "whole pixels": View(tx=-30.0, ty=40.0),
    "shear": View(shear=17.0),
    "shear back": View(shear=-40.0),
    "zoom out": View(zx=1.4, zy=1.4),
    "zoom in": View(zx=0.6, zy=0.8),
    "uneven zoom": View(zx=0.7, zy=1.9),
    "all moves": View(theta=33.3, tx=21.4, ty=-33.3, shear=7.0, zx=0.9, zy=1.15),
    "all moves, far": View(theta=-150.0, tx=-100.0, ty=110.0, shear=40.0, zx=1.9, zy=0.5),
}


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    photos = [*load_sample_images().images, skimage.data.chelsea(), skimage.data.coffee()]
    return [resize_image(photo, 128, "crop") for photo in photos]


@pytest.fixture(scope="module")
def legacy() -> Any:
    from keras.src.legacy.preprocessing import image  # several seconds: it brings TensorFlow along

    return image


def legacy_view(legacy: Any, picture: Pixels, view: View, config: AugmentationConfig) -> NDArray[np.float32]:
    generator = legacy.ImageDataGenerator(fill_mode=config.fill_mode, cval=config.cval)
    parameters: dict[str, float | bool] = {
        name: getattr(view, name)
        for name in ("theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical")
    }
    if view.channel_shift:
        parameters["channel_shift_intensity"] = view.channel_shift
    if view.brightness != 1:
        parameters["brightness"] = view.brightness
    changed: NDArray[np.float32] = generator.apply_transform(picture.astype(np.float32), parameters)
    return changed


def assert_agrees(legacy: Any, picture: Pixels, view: View, config: AugmentationConfig, tolerance: float) -> None:
    difference = legacy_view(legacy, picture, view, config) - apply_view(picture, view, config)
    assert np.abs(difference).max() <= tolerance


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("move", MOVES)
def test_every_move_and_fill_mode_agrees_with_keras_up_to_rounding(
    legacy: Any, pictures: list[Pixels], move: str, fill_mode: FillMode
) -> None:
    for picture in pictures:
        assert_agrees(legacy, picture, MOVES[move], AugmentationConfig(fill_mode=fill_mode, cval=77), ROUNDING)


@pytest.mark.parametrize("view", [View(flip_horizontal=True), View(flip_vertical=True)])
def test_flips_agree_with_keras_exactly(legacy: Any, pictures: list[Pixels], view: View) -> None:
    assert_agrees(legacy, pictures[0], view, AugmentationConfig(), 0)


@pytest.mark.parametrize("channel_shift", [30.5, -30.5, 200.0])
def test_channel_shift_agrees_with_keras_up_to_rounding(
    legacy: Any, pictures: list[Pixels], channel_shift: float
) -> None:
    for picture in pictures:
        assert_agrees(legacy, picture, View(channel_shift=channel_shift), AugmentationConfig(), ROUNDING)


@pytest.mark.parametrize("brightness", [0.0, 0.63, 1.57, 2.9])
def test_brightness_agrees_with_keras_which_cuts_off_where_we_round(
    legacy: Any, pictures: list[Pixels], brightness: float
) -> None:
    for picture in pictures:
        assert_agrees(legacy, picture, View(brightness=brightness), AugmentationConfig(), 1)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("number", range(6))
def test_everything_at_once_agrees_with_keras(
    legacy: Any, pictures: list[Pixels], number: int, fill_mode: FillMode
) -> None:
    config = AugmentationConfig(
        rotation_range=180,
        width_shift_range=0.4,
        height_shift_range=0.4,
        shear_range=30,
        zoom_range=0.5,
        brightness_range=(0.5, 2),
        channel_shift_range=60,
        horizontal_flip=True,
        vertical_flip=True,
        fill_mode=fill_mode,
        cval=200,
    )
    picture = pictures[number % len(pictures)]
    view = sample_view(config, (128, 128), np.random.default_rng(number))
    # Keras cuts off the fraction twice on the way, and brightness multiplies what was lost the first time.
    assert_agrees(legacy, picture, view, config, 2 + 2 * view.brightness)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"rotation_range": 25.0}, {"rotation_range": 25.0}),
        ({"width_shift_range": 0.3}, {"height_shift_range": 0.3}),  # Keras's class exchanges the two
        ({"height_shift_range": 0.3}, {"width_shift_range": 0.3}),
        ({"shear_range": 25.0}, {"shear_range": 25.0}),
        ({"zoom_range": 0.4}, {"zoom_range": 0.4}),
        ({"brightness_range": (0.5, 1.8)}, {"brightness_range": (0.5, 1.8)}),
        ({"channel_shift_range": 40.0}, {"channel_shift_range": 40.0}),
        ({"horizontal_flip": True}, {"horizontal_flip": True}),
        ({"vertical_flip": True}, {"vertical_flip": True}),
    ],
)
def test_draws_are_spread_as_those_of_keras(legacy: Any, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    drawn = [sample_view(AugmentationConfig(**ours), (128, 128), rng) for _ in range(1000)]
    generator = legacy.ImageDataGenerator(**theirs)
    expected = [generator.get_random_transform((128, 128, 3), seed) for seed in range(1000)]
    for name in ("theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical", "brightness"):
        mine = np.array([getattr(view, name) for view in drawn], dtype=float)
        keras = np.array([1 if row[name] is None else row[name] for row in expected], dtype=float)
        spread = keras.max() - keras.min()
        quantiles = [0, 0.25, 0.5, 0.75, 1]
        if name.startswith("flip"):
            assert mine.mean() == pytest.approx(keras.mean(), abs=0.05)
        else:
            np.testing.assert_allclose(
                np.quantile(mine, quantiles), np.quantile(keras, quantiles), atol=0.06 * spread + 1e-9
            )
    mine = np.array([view.channel_shift for view in drawn])
    keras = np.array([row["channel_shift_intensity"] or 0 for row in expected])
    assert mine.std() == pytest.approx(keras.std(), rel=0.06)


def test_a_width_shift_moves_sideways_only(pictures: list[Pixels]) -> None:
    config = AugmentationConfig(width_shift_range=0.5, fill_mode="wrap")
    view = sample_view(config, (128, 128), np.random.default_rng(1))
    assert view.tx != 0
    assert view.ty == 0
    rows = np.repeat(np.arange(128, dtype=np.uint8)[:, None, None], 128, axis=1).repeat(3, axis=2)
    np.testing.assert_array_equal(apply_view(rows, view, config), rows)
    assert (apply_view(pictures[0], view, config) != pictures[0]).any()


def test_a_picture_that_is_not_square_turns_around_its_own_centre() -> None:
    picture = np.zeros((41, 81, 3), dtype=np.uint8)
    picture[20, 40] = 255
    turned = apply_view(picture, View(theta=90), AugmentationConfig(fill_mode="constant"))
    np.testing.assert_array_equal(np.argwhere(turned[..., 0] > 127), [[20, 40]])


def test_contrast_spreads_values_around_their_mean(pictures: list[Pixels]) -> None:
    picture = (pictures[0] // 2 + 64).astype(np.uint8)
    weaker = apply_view(picture, View(contrast=0.5), AugmentationConfig())
    stronger = apply_view(picture, View(contrast=1.4), AugmentationConfig())
    mean = picture.mean()
    np.testing.assert_allclose(weaker, mean + 0.5 * (picture - mean), atol=ROUNDING)
    np.testing.assert_allclose(stronger, np.clip(mean + 1.4 * (picture - mean), 0, 255), atol=ROUNDING)


def test_no_contrast_leaves_one_shade(pictures: list[Pixels]) -> None:
    flat = apply_view(pictures[0], View(contrast=0), AugmentationConfig())
    assert np.ptp(flat) == 0
    stripes = np.tile(np.array([0, 200], np.uint8), 24).reshape(4, 4, 3)
    assert (apply_view(stripes, View(contrast=0), AugmentationConfig()) == 100).all()


def test_settings_that_change_nothing_give_the_same_pixels(pictures: list[Pixels]) -> None:
    for fill_mode in FILL_MODES:
        config = AugmentationConfig(fill_mode=fill_mode, cval=77)
        for view in range(5):
            assert augment(pictures[0], config, image_key="a", view=view) is pictures[0]


def test_a_request_is_answered_with_the_plain_picture_or_with_its_view(pictures: list[Pixels]) -> None:
    config = PRESETS["strong"]
    assert view_pixels(pictures[0], ViewRequest("a"), config) is pictures[0]
    first, second = (view_pixels(pictures[0], ViewRequest("a", view), config) for view in (0, 1))
    np.testing.assert_array_equal(second, augment(pictures[0], config, image_key="a", view=1))
    assert (first != second).any()


def test_the_picture_that_came_in_is_never_changed(pictures: list[Pixels]) -> None:
    before = pictures[0].copy()
    for config in PRESETS.values():
        augment(pictures[0], config, image_key="a", view=1)
    np.testing.assert_array_equal(pictures[0], before)


def test_the_same_key_view_and_seed_give_the_same_pixels_in_any_order(pictures: list[Pixels]) -> None:
    config = PRESETS["strong"]
    first = [augment(pictures[0], config, image_key="a", view=view, seed=3) for view in range(9)]
    again = [augment(pictures[0].copy(), config, image_key="a", view=view, seed=3) for view in reversed(range(9))]
    np.testing.assert_array_equal(first, again[::-1])


def test_draws_are_the_same_in_every_process_and_version() -> None:
    ramp = np.arange(32, dtype=np.uint8).repeat(32).reshape(32, 32, 1).repeat(3, axis=2)
    config = AugmentationConfig(height_shift_range=0.5)
    moves = [int(augment(ramp, config, image_key="a", view=view)[16, 16, 0]) for view in range(6)]
    assert moves == [6, 1, 14, 19, 16, 20]


def test_every_draw_comes_from_a_number_of_its_own() -> None:
    config = AugmentationConfig(
        rotation_range=10,
        width_shift_range=0.1,
        height_shift_range=0.2,
        shear_range=10,
        zoom_range=0.3,
        brightness_range=(0.5, 1.5),
        contrast_range=0.4,
        channel_shift_range=30,
        horizontal_flip=True,
        vertical_flip=True,
    )
    view = sample_view(config, (100, 200), np.random.Generator(np.random.PCG64(8)))
    # Features that are cached already were computed with these draws.
    expected = View(-3.46055, -7.25157, 19.49107, 5.77098, 1.22194, 0.93465, True, True, -3.72709, 0.60695, 0.89820)
    assert astuple(view) == pytest.approx(astuple(expected), abs=1e-5)


def test_other_views_keys_and_seeds_give_other_pixels(pictures: list[Pixels]) -> None:
    config = PRESETS["tutorial"]
    drawn = [
        augment(pictures[0], config, image_key=key, view=view, seed=seed).tobytes()
        for key in ("a", "b")
        for view in range(4)
        for seed in (0, 1)
    ]
    assert len(set(drawn)) == len(drawn)


def test_one_slider_leaves_the_draws_of_the_others_alone() -> None:
    config = PRESETS["tutorial"]
    before = sample_view(config, (128, 128), np.random.default_rng(5))
    after = sample_view(replace(config, rotation_range=40), (128, 128), np.random.default_rng(5))
    assert after == replace(before, theta=2 * before.theta)


def test_draws_reach_as_far_as_was_chosen_and_no_further() -> None:
    config = PRESETS["strong"]
    rng = np.random.default_rng(0)
    views = [sample_view(config, (100, 200), rng) for _ in range(500)]
    assert max(abs(view.theta) for view in views) <= config.rotation_range
    farthest_aside, farthest_down = max(abs(view.tx) for view in views), max(abs(view.ty) for view in views)
    assert 0.95 * config.width_shift_range * 200 < farthest_aside <= config.width_shift_range * 200
    assert 0.95 * config.height_shift_range * 100 < farthest_down <= config.height_shift_range * 100
    assert all(0.6 <= view.brightness <= 1.4 for view in views)
    assert all(0.7 <= view.contrast <= 1.3 for view in views)
    assert 150 < sum(view.flip_horizontal for view in views) < 350
    assert not any(view.flip_vertical for view in views)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (2, 2, 3), (50, 30, 3)])
def test_pictures_of_any_shape_keep_their_shape(fill_mode: FillMode, shape: tuple[int, int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for view in range(5):
        changed = augment(picture, replace(PRESETS["strong"], fill_mode=fill_mode), image_key="a", view=view)
        assert changed.shape == shape
        assert changed.dtype == np.uint8


def test_pixels_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="`image` must be a uint8 array"):
        augment(np.zeros((8, 8, 3), dtype=np.float32), AugmentationConfig(), image_key="a", view=0)  # type: ignore[arg-type]
