"""Stored pictures are read as they were written, and made square as the mode says."""

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images

from tlcore.config import RESIZE_MODES, ResizeMode
from tlcore.errors import ImageError
from tlcore.images.resizing import decode_image, resize_image


def ramp(height: int, width: int) -> np.ndarray:
    """Red grows from left to right, green from top to bottom, both over the whole range."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    image[..., 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    return image


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("shape", [(427, 640), (640, 427), (512, 3), (1, 1), (8, 8), (223, 225), (100, 400)])
def test_every_shape_becomes_square_in_every_mode(mode: ResizeMode, shape: tuple[int, int]) -> None:
    resized = resize_image(ramp(*shape), 224, mode)
    assert resized.shape == (224, 224, 3)
    assert resized.dtype == np.uint8
    assert resized.flags.c_contiguous


@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_a_picture_of_the_right_size_keeps_its_pixels(mode: ResizeMode) -> None:
    image = ramp(96, 96)
    np.testing.assert_array_equal(resize_image(image, 96, mode), image)


@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_a_single_pixel_is_the_smallest_square(mode: ResizeMode) -> None:
    assert resize_image(np.full((4, 6, 3), 90, np.uint8), 1, mode).tolist() == [[[90, 90, 90]]]


def test_crop_keeps_the_middle_and_the_proportions() -> None:
    resized = resize_image(ramp(200, 400), 100, "crop").astype(float)
    assert resized[50, 0, 0] == pytest.approx(64, abs=2)
    assert resized[50, -1, 0] == pytest.approx(191, abs=2)
    assert resized[0, 50, 1] == pytest.approx(0, abs=2)
    assert resized[-1, 50, 1] == pytest.approx(255, abs=2)
    upright = resize_image(ramp(400, 200), 100, "crop")
    np.testing.assert_allclose(upright[..., [1, 0]].swapaxes(0, 1), resized[..., [0, 1]], atol=1)


def test_stretch_keeps_all_of_the_picture() -> None:
    resized = resize_image(ramp(200, 400), 100, "stretch").astype(float)
    np.testing.assert_allclose(
        resized[[0, 0, -1, -1], [0, -1, 0, -1], :2], [[0, 0], [255, 0], [0, 255], [255, 255]], atol=3
    )


def test_pad_keeps_all_of_the_picture_between_black_borders() -> None:
    resized = resize_image(np.full((200, 400, 3), 200, dtype=np.uint8), 100, "pad")
    assert (resized[:25] == 0).all()
    assert (resized[75:] == 0).all()
    assert (resized[25:75] == 200).all()
    upright = resize_image(np.full((400, 200, 3), 200, dtype=np.uint8), 100, "pad")
    np.testing.assert_array_equal(upright, resized.swapaxes(0, 1))
    two_thirds = resize_image(np.full((200, 300, 3), 200, dtype=np.uint8), 100, "pad")
    assert (two_thirds.max(axis=(1, 2)) == 200).sum() == 67


def test_a_very_long_picture_keeps_at_least_one_row_when_padded() -> None:
    resized = resize_image(np.full((1, 500, 3), 200, dtype=np.uint8), 64, "pad")
    assert (resized.max(axis=(1, 2)) == 200).sum() == 1
    upright = resize_image(np.full((500, 1, 3), 200, dtype=np.uint8), 64, "pad")
    np.testing.assert_array_equal(upright, resized.swapaxes(0, 1))


@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_shrinking_averages_instead_of_skipping(mode: ResizeMode) -> None:
    checkerboard = (np.indices((300, 300)).sum(axis=0) % 2 * 255).astype(np.uint8)
    resized = resize_image(np.stack([checkerboard] * 3, axis=2), 100, mode).astype(float)
    assert np.abs(resized - 127.5).max() < 20


def test_shrinking_one_side_averages_even_when_the_other_side_grows() -> None:
    stripes = np.zeros((20, 400, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    resized = resize_image(stripes, 100, "stretch").astype(float)
    assert np.abs(resized - 127.5).max() < 2


def test_enlarged_digits_are_smooth_and_keep_their_brightness() -> None:
    digit = (load_digits().images[0] * 255 / 16).astype(np.uint8)
    image = np.stack([digit] * 3, axis=2)
    resized = resize_image(image, 224, "crop")
    assert np.abs(np.diff(resized[..., 0].astype(int), axis=1)).max() < 30
    assert resized.mean() == pytest.approx(image.mean(), abs=5)


def test_a_lossless_file_gives_its_pixels_back_in_rgb() -> None:
    photo = load_sample_images().images[0]
    data = cv2.imencode(".png", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))[1].tobytes()
    np.testing.assert_array_equal(decode_image(data), photo)


def test_a_jpeg_file_gives_rgb_close_to_what_was_written() -> None:
    photo = load_sample_images().images[0]
    data = cv2.imencode(".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    assert np.abs(decode_image(data).astype(int) - photo).mean() < 5


def test_grey_and_see_through_files_become_rgb() -> None:
    for channels in (1, 4):
        data = cv2.imencode(".png", np.full((10, 12, channels), 90, dtype=np.uint8))[1].tobytes()
        assert decode_image(data).shape == (10, 12, 3)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_picture_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        decode_image(data)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="`size` must be at least 1"):
        resize_image(ramp(4, 4), 0, "crop")
    with pytest.raises(ValueError, match="`mode` must be one of"):
        resize_image(ramp(4, 4), 4, "squeeze")  # type: ignore[arg-type]
    for image in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="`image` must be"):
            resize_image(image, 4, "crop")
