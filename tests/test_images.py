"""Pictures from anywhere become clean ones, or are refused in words."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tlcore.errors import ImageError
from tlcore.images.resizing import decode_image
from tlcore.intake.decoding import MAX_SIDE, clean_pixels, pixels_of, read_image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def messy_rows(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / "messy" / "messy.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.filterwarnings("ignore")
def test_every_messy_file_does_what_its_row_says(shared_data: Path):
    wrong = []
    for row in messy_rows(shared_data):
        data = (shared_data / "messy" / row["file"]).read_bytes()
        try:
            clean = read_image(data)
        except ImageError:
            opened = False
        else:
            opened = True
            assert decode_image(clean.data).shape == (clean.height, clean.width, 3)
            if row["upright_w"]:
                width, height = int(row["upright_w"]), int(row["upright_h"])
                scale = min(1, MAX_SIDE / max(width, height))
                assert abs(clean.width - width * scale) <= 1, row["file"]
                assert abs(clean.height - height * scale) <= 1, row["file"]
        if row["expected"] != "either" and opened != (row["expected"] == "open"):
            wrong.append(row["file"])
    assert wrong == []


def test_all_turned_landscapes_look_the_same(shared_data: Path):
    pixels = [pixels_of(path.read_bytes()) for path in sorted((shared_data / "messy").glob("landscape_*.jpg"))]
    assert len(pixels) > 3
    for other in pixels[1:]:
        assert other.shape == pixels[0].shape
        difference = np.abs(other.astype(int) - pixels[0])[:60]  # the number in the middle differs
        assert difference.mean() < 12


def test_photo_is_upright_and_its_position_is_gone():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    picture = Image.fromarray(noise(200, 300, 3))
    clean = read_image(encoded(picture, "JPEG", exif=exif, comment=b"secret", icc_profile=b"secret" * 9))
    assert (clean.width, clean.height) == (200, 300)
    for stored in (clean.data, clean.thumbnail):
        with Image.open(io.BytesIO(stored)) as image:
            assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
            assert not image.getexif()
        assert b"secret" not in stored


def test_text_in_a_small_png_is_gone():
    clean = read_image(encoded(Image.new("RGB", (9, 9)), "PNG", exif=Image.Exif(), icc_profile=b"secret", dpi=(72, 72)))
    with Image.open(io.BytesIO(clean.data)) as image:
        assert (image.format, image.info) == ("PNG", {})


def test_sixteen_bit_grey_keeps_its_shades():
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        grey = pixels_of(encoded(Image.fromarray(ramp), kind))[..., 0]
        np.testing.assert_allclose(grey, ramp / 257, atol=1)


def test_the_transparent_shade_of_sixteen_bit_grey_becomes_white():
    values = np.full((40, 40), 20_000, np.uint16)
    values[:, :20] = 1000
    grey = pixels_of(encoded(Image.fromarray(values), "PNG", transparency=1000))[..., 0]
    assert (grey[:, :20] == 255).all()
    np.testing.assert_allclose(grey[:, 20:], 20_000 / 257, atol=1)


def test_twelve_bits_in_sixteen_are_not_almost_black():
    ramp = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    assert pixels_of(encoded(Image.fromarray(ramp), "TIFF")).max() == 255


@pytest.mark.parametrize(
    ("kind", "values", "darkest", "brightest"),
    [
        ("PNG", np.linspace(0, 30_000, 4096, dtype=np.uint16), 0, 65_535),
        ("PNG", np.linspace(40_000, 65_535, 4096, dtype=np.uint16), 0, 65_535),
        ("TIFF", np.linspace(100, 255, 4096, dtype=np.uint16), 0, 255),
        ("TIFF", np.linspace(0, 700, 4096, dtype=np.uint16), 0, 1023),
        ("TIFF", np.linspace(2000, 4095, 4096, dtype=np.uint16), 0, 4095),
        ("TIFF", np.linspace(1, 5000, 4096, dtype=np.uint16), 0, 65_535),
        ("TIFF", np.linspace(0, 0.5, 4096, dtype=np.float32), 0, 1),
        ("TIFF", np.linspace(100, 255, 4096, dtype=np.float32), 0, 255),
        ("TIFF", np.linspace(-3, 5, 4096, dtype=np.float32), -3, 5),
        ("TIFF", np.linspace(1000, 200_000, 4096, dtype=np.int32), 1000, 200_000),
    ],
)
def test_many_bits_are_scaled_by_the_smallest_usual_range_or_stretched(
    kind: str, values: np.ndarray, darkest: int, brightest: int
):
    grey = pixels_of(encoded(Image.fromarray(values.reshape(64, 64)), kind))[..., 0].ravel()
    expected = (values.astype(float) - darkest) * 255 / (brightest - darkest)
    np.testing.assert_allclose(grey, expected, atol=1)
    assert abs((grey - expected).mean()) < 0.1


def test_float_picture_with_missing_values_opens():
    values = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    values[:4] = np.nan
    values[5, 5] = np.inf
    grey = pixels_of(encoded(Image.fromarray(values), "TIFF"))
    assert grey[:4].max() == 0
    assert grey.max() == 255


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_transparent_parts_become_white(kind: str):
    picture = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 20, 40))
    pixels = pixels_of(encoded(picture, kind))
    np.testing.assert_allclose(pixels[20, 30], 255, atol=3)
    np.testing.assert_allclose(pixels[20, 5], (0, 0, 255), atol=30)


def test_tiny_picture_stays_exact():
    pixels = noise(28, 28, 3)
    np.testing.assert_array_equal(pixels_of(encoded(Image.fromarray(pixels), "PNG")), pixels)
    np.testing.assert_array_equal(decode_image(clean_pixels(pixels).data), pixels)


def test_prediction_sees_the_pixels_that_training_sees():
    photo = Image.fromarray(noise(30, 40, 3)).resize((1600, 1200), Image.Resampling.BICUBIC)
    data = encoded(photo, "JPEG")
    # But for the traces of storing them as JPEG, which no exported model sees.
    difference = pixels_of(data).astype(int) - decode_image(read_image(data).data)
    assert np.abs(difference).mean() < 2
    assert abs(difference.mean()) < 0.2


def test_large_picture_shrinks_and_extreme_ones_open():
    clean = read_image(encoded(Image.fromarray(noise(2000, 1000, 3)), "JPEG"))
    assert (clean.width, clean.height) == (256, 512)
    with Image.open(io.BytesIO(clean.thumbnail)) as thumbnail:
        assert max(thumbnail.size) == 160
    for size in ((1, 1), (1, 60_000), (60_000, 1)):
        assert max(pixels_of(encoded(Image.new("L", size), "PNG")).shape) <= MAX_SIDE


def test_only_the_first_frame_of_a_moving_picture_is_used():
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    clean = read_image(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert clean.note is not None
    assert "first frame" in clean.note
    np.testing.assert_array_equal(decode_image(clean.data)[0, 0], (255, 0, 0))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_cut_picture_is_refused_not_filled_with_grey(kind: str, kept: float):
    data = encoded(Image.fromarray(noise(200, 200, 3)), kind)
    with pytest.raises(ImageError, match=r"damaged or incomplete|text"):
        read_image(data[: int(len(data) * kept)])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        ("Schöne Grüße, kein Bild".encode(), "text"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"8BPS\x00\x01" + bytes(40), "Photoshop"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04" + bytes(40), "ZIP"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "film"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "damaged"),
        (b"\xff\xd8\xff" + bytes(40), "damaged"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, words: str):
    with pytest.raises(ImageError, match=words):
        read_image(data)


def test_too_many_pixels_are_refused_by_the_header():
    data = encoded(Image.new("1", (9000, 9000)), "PNG")
    with pytest.raises(ImageError, match=r"81 megapixels .* the limit is 40"):
        read_image(data)


def test_large_photo_is_decoded_smaller_instead_of_refused():
    clean = read_image(encoded(Image.new("L", (8000, 6000), 90), "JPEG"))
    assert (clean.width, clean.height) == (512, 384)


def test_picture_in_thousands_of_passes_is_refused():
    data = encoded(Image.new("L", (2000, 1500)), "JPEG", progressive=True)
    assert read_image(data).width == 512
    with pytest.raises(ImageError, match="passes"):
        read_image(data[:-2] + b"\xff\xda" * 1000 + data[-2:])
