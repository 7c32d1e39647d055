"""Pictures of more than 8 bits: one scale for all of a data set."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from tlcore.dataset import Dataset
from tlcore.documents import read_document, write_document
from tlcore.intake.pictures.decoding import measure_grey, pixels_of, read_image
from tlcore.intake.pictures.grey import GreyRange, find_grey_range
from tlcore.intake.pictures.pixels import read_square

random = np.random.default_rng(0)


def encoded(values: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind)
    return buffer.getvalue()


def range_of(files: list[bytes]) -> GreyRange | None:
    return find_grey_range([found for data in files if (found := measure_grey(data)) is not None])


def scans(top: int, number: int = 6, kind: str = "PNG") -> list[bytes]:
    """Return pictures of 64 x 64 whose brightest shades differ, none above `top`."""
    tops = np.linspace(0.6 * top, top, number)
    return [encoded(random.integers(0, int(own) + 1, (64, 64)).astype(np.uint16), kind) for own in tops]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_smallest_usual_range_that_holds_all_pictures_is_taken(bits: int, kind: str):
    assert range_of(scans(2**bits - 1, kind=kind)) == (0.0, float(2**bits - 1))


def test_one_hot_pixel_does_not_make_pictures_darker():
    files = []
    for _ in range(6):
        values = random.integers(0, 4096, (64, 64)).astype(np.uint16)
        values[5, 5] = 65535
        files.append(encoded(values))
    assert range_of(files) == (0.0, 4095.0)
    assert pixels_of(files[0], (0.0, 4095.0)).mean() == pytest.approx(127.5, abs=3)


def test_equal_values_look_equal_in_every_picture_of_the_set():
    dark, bright = np.full((64, 64), 600, np.uint16), np.full((64, 64), 600, np.uint16)
    bright[:32] = 4000
    files = [encoded(dark), encoded(bright)]
    found = range_of(files)
    shades = [pixels_of(data, found)[60, 60, 0] for data in files]
    assert shades[0] == shades[1] == round(600 * 255 / 4095)


def test_floating_point_numbers_are_scaled_together():
    low, high = np.linspace(-2, 1, 4096, dtype=np.float32), np.linspace(0, 6, 4096, dtype=np.float32)
    files = [encoded(values.reshape(64, 64), "TIFF") for values in (low, high)]
    found = range_of(files)
    assert found == pytest.approx((-2, 6), abs=0.02)
    assert pixels_of(files[0], found).max() < 100
    ones = [encoded(random.random((64, 64)).astype(np.float32) * 0.5, "TIFF")]
    assert range_of(ones) == (0.0, 1.0)
    bytes_as_floats = [encoded(random.random((64, 64)).astype(np.float32) * 200, "TIFF")]
    assert range_of(bytes_as_floats) == (0.0, 255.0)


def test_missing_numbers_and_freak_ones_do_not_decide():
    values = random.random((64, 64)).astype(np.float32) * 3 + 400
    values[0] = np.nan
    values[1, 1], values[2, 2] = 1e9, -1e9
    low, high = range_of([encoded(values, "TIFF")]) or (0.0, 0.0)
    assert (low, high) == pytest.approx((400, 403), abs=0.1)
    assert range_of([encoded(np.full((4, 4), np.nan, np.float32), "TIFF")]) is None


def test_numbers_below_zero_are_stretched():
    values = np.linspace(-1000, 3000, 4096).astype(np.int32).reshape(64, 64)
    assert range_of([encoded(values, "TIFF")]) == pytest.approx((-1000, 3000), abs=20)


def test_pictures_of_eight_bits_and_broken_files_have_no_say():
    files = [encoded(np.zeros((9, 9, 3), np.uint8)), encoded(np.zeros((9, 9), np.uint8)), b"", b"no picture"]
    assert [measure_grey(data) for data in files] == [None] * 4
    assert measure_grey(scans(4095, 1)[0][:200]) is None
    assert range_of(files) is None


def test_the_range_is_told():
    note = read_image(scans(4095, 1)[0], (0.0, 4095.0)).note
    assert note == "More than 8 bits: 0 to 4,095 are shown as black to white."


def test_a_tiff_in_which_zero_is_white_is_turned_over():
    values = np.linspace(0, 4095, 4096).reshape(64, 64).astype(np.uint16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="miniswhite")
    found = range_of([buffer.getvalue()])
    np.testing.assert_allclose(pixels_of(buffer.getvalue(), found)[..., 0], 255 - values / 4095 * 255, atol=0.51)


def test_a_data_set_keeps_its_range():
    dataset = Dataset(grey_range=(0.0, 4095.0))
    assert read_document(write_document(dataset), Dataset) == dataset


def test_without_a_range_every_picture_keeps_its_old_shades():
    values = np.linspace(0, 3000, 4096).reshape(64, 64).astype(np.uint16)
    assert pixels_of(encoded(values)).max() == round(3000 / 257)
    assert pixels_of(encoded(values, "TIFF")).max() == round(3000 * 255 / 4095)


def test_the_program_that_leaves_reads_the_same_pixels(tmp_path):
    (tmp_path / "scan.png").write_bytes(scans(4095, 1)[0])
    square = read_square(tmp_path / "scan.png", 64, "crop", grey_range=(0.0, 4095.0))
    np.testing.assert_array_equal(square, pixels_of((tmp_path / "scan.png").read_bytes(), (0.0, 4095.0)))
