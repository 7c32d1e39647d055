"""Pictures from anywhere become clean ones, or are refused in words."""

import csv
import gzip
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from tlcore.errors import ImageError
from tlcore.images.resizing import decode_image
from tlcore.intake.limits import MEGAPIXELS
from tlcore.intake.pictures.decoding import MAX_SIDE, clean_pixels, pixels_of, read_image
from tlcore.intake.pictures.pixels import UnusableKindError, open_picture


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
        (b"PK\x03\x04" + bytes(40), "a ZIP file"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "film"),
        (b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01crx isom", "raw camera file.*as JPEG"),
        (b"\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00M4A mp42", "sound"),
        (b"RIFF\x00\x10\x00\x00AVI LIST" + bytes(40), "film"),
        (b"RIFF\x00\x10\x00\x00WAVEfmt " + bytes(40), "sound"),
        (b"\x1aE\xdf\xa3" + bytes(40), "film"),
        (b"\x00\x00\x01\xba" + bytes(40), "film"),
        ((b"G" + bytes(range(187))) * 3, "film"),
        (b"ID3\x04" + bytes(40), "sound"),
        (bytes(128) + b"DICM\x02\x00\x00\x00UL\x04\x00" + bytes(99), r"DICOM.*Export"),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100\x08\x00\x16\x00UI\x1a\x00", "DICOM"),
        (b"\x5c\x01" + bytes(342) + b"n+1\0" + bytes(99), "NIfTI"),
        (gzip.compress(b"\x5c\x01" + bytes(342) + b"n+1\0" + bytes(99), mtime=0), "NIfTI"),
        (gzip.compress(bytes(257) + b"ustar" + bytes(300), mtime=0), r"a tar\.gz file"),
        (gzip.compress(b"something else", mtime=0), "a gzip file"),
        (b"\x93NUMPY\x01\x00v\x00" + bytes(99), "NumPy.*PNG"),
        (b"PK\x03\x04" + bytes(26) + b"x_train.npy" + bytes(99), "NumPy"),
        (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml" + bytes(99) + b"word/document.xml", "office document"),
        (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml" + bytes(99) + b"ppt/slides/slide1.xml", "office document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "office document"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(99), "MATLAB"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(99), "raw camera file"),
        (b"IIRO\x08\0\0\0" + bytes(99), "raw camera file"),
        (b"IIU\0\x08\0\0\0" + bytes(99), "raw camera file"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(99), "raw camera file"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page.*Download"),
        ('\ufeff\n<html lang="de"><title>Übersicht</title>'.encode(), "web page"),
        (b'{"error": "not found"}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS"),
        (b"[InternetShortcut]\r\nURL=https://example.org/cat.jpg\r\n", "link"),
        (b"L\0\0\0\x01\x14\x02\0" + bytes(99), "shortcut"),
        (b"bplist00\xd1\x01\x02SURL" + bytes(99), "link"),
        (b'<?xml version="1.0"?>\n<!DOCTYPE plist PUBLIC "">\n<plist version="1.0"/>', "link"),
        (b"BM notes on what I saw", "text"),
        (bytes(5000), "zeros"),
        (b"\x07\x91 of no kind \xfe\x00\x00", "not a picture of a kind"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "damaged"),
        (b"\xff\xd8\xff" + bytes(40), "damaged"),
        (b"P5\n9 9\n255\n" + bytes(40), "damaged"),
        (b"P2\n9 9\n255\n1 2 3", "damaged"),
        (b"P7\nWIDTH 9\nHEIGHT 9\nDEPTH 1\nMAXVAL 255\nENDHDR\n" + bytes(40), "damaged"),
        (b"II*\0\x08\0\0\0" + bytes(40), "damaged"),
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


def progressive(picture: Image.Image) -> tuple[bytes, bytes]:
    """Return a progressive JPEG, and its last pass alone."""
    data = encoded(picture, "JPEG", progressive=True)
    return data, data[data.rindex(b"\xff\xda") : -2]


def test_picture_in_thousands_of_passes_is_refused():
    data, last_pass = progressive(Image.new("L", (2000, 1500)))
    assert read_image(data).width == 512
    with pytest.raises(ImageError, match="passes"):
        read_image(data[:-2] + last_pass * 1000 + data[-2:])


def test_what_lies_behind_a_progressive_photo_is_not_taken_for_passes():
    data, last_pass = progressive(Image.fromarray(noise(600, 800, 3)))
    # A moving photo has a film behind it, in which any two bytes can stand.
    film = np.random.default_rng(1).bytes(500_000) + last_pass * 3000
    np.testing.assert_array_equal(pixels_of(data + film), pixels_of(data))


@pytest.mark.parametrize("colour", [(255, 255, 255), (250, 248, 252)])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_white_shapes_on_a_transparent_ground_can_be_seen(kind: str, colour: tuple[int, int, int]):
    picture = Image.new("RGBA", (60, 60), (*colour, 0))
    picture.paste((*colour, 255), (10, 10, 30, 50))
    picture.paste((*colour, 100), (30, 10, 32, 50))  # an edge that is half transparent
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(picture, kind, **options)
    pixels = pixels_of(data)
    np.testing.assert_array_equal(pixels[30, 50], (128, 128, 128))
    np.testing.assert_array_equal(pixels[30, 20], colour)
    assert 128 < pixels[30, 31, 0] < 250
    assert "grey" in (read_image(data).note or "")


def test_palette_pictures_get_a_ground_too():
    picture = Image.new("P", (40, 40), 0)
    picture.putpalette([255, 255, 255, 255, 255, 255])
    picture.paste(1, (0, 0, 20, 40))
    pixels = pixels_of(encoded(picture, "PNG", transparency=0))
    assert (pixels[20, 5] == 255).all()
    assert (pixels[20, 30] == 128).all()


def test_colours_behind_full_transparency_do_not_count():
    picture = Image.new("RGBA", (40, 40), (200, 0, 0, 0))
    picture.paste((255, 255, 255, 255), (0, 0, 20, 40))
    assert (pixels_of(encoded(picture, "PNG"))[20, 30] == 128).all()
    picture.paste((0, 0, 0, 255), (0, 0, 5, 40))
    assert (pixels_of(encoded(picture, "PNG"))[20, 30] == 255).all()


def test_a_picture_without_anything_to_see_says_so():
    clean = read_image(encoded(Image.new("RGBA", (40, 40), (9, 9, 9, 0)), "PNG"))
    assert "nothing of it can be seen" in (clean.note or "")


def before(image: Image.Image) -> np.ndarray:
    """Return the pixels of a picture of 8 bits as they always were."""
    rgba = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.asarray(rgba.convert("RGB"))


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "LA", "RGBA", "CMYK"])
def test_pictures_of_eight_bits_are_what_they_always_were(mode: str):
    colours = noise(90, 70, 4)
    image = Image.fromarray(colours).convert(mode) if mode != "CMYK" else Image.fromarray(colours, "CMYK")
    kind = "TIFF" if mode == "CMYK" else "PNG"
    expected = np.asarray(image.convert("RGB")) if mode == "CMYK" else before(image)
    for grey_range in (None, (0.0, 4095.0)):
        np.testing.assert_array_equal(pixels_of(encoded(image, kind), grey_range), expected)


def test_pictures_of_portable_maps_open():
    rgb, grey = noise(7, 5, 3), noise(7, 5)
    for data in (b"P6\n5 7\n255\n" + rgb.tobytes(), b"P3\n5 7\n255\n" + " ".join(map(str, rgb.ravel())).encode()):
        np.testing.assert_array_equal(pixels_of(data), rgb)
    for data in (b"P5\n# a comment\n5 7\n255\n" + grey.tobytes(), pam(grey[..., None])):
        np.testing.assert_array_equal(pixels_of(data)[..., 0], grey)
    np.testing.assert_array_equal(pixels_of(pam(rgb)), rgb)
    np.testing.assert_array_equal(pixels_of(b"P4\n8 1\n\x0f")[0, :, 0], [255] * 4 + [0] * 4)
    transparent = np.dstack([rgb, np.full((7, 5), 255, np.uint8)])
    np.testing.assert_array_equal(pixels_of(pam(transparent)), rgb)
    deep = np.linspace(0, 65535, 35).reshape(7, 5, 1).astype(">u2")
    np.testing.assert_allclose(pixels_of(pam(deep))[..., 0], deep[..., 0] / 257, atol=1)


def test_a_huge_portable_map_in_digits_is_refused_at_once():
    with pytest.raises(ImageError, match="digits"):
        read_image(b"P2\n4000 3000\n255\n" + b"7 " * 12_000_000)


def pam(values: np.ndarray) -> bytes:
    height, width, depth = values.shape
    top = 255 if values.dtype == np.uint8 else 65535
    head = f"P7\n# made\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {top}\nTUPLTYPE X\nENDHDR\n"
    return head.encode() + values.tobytes()


def tiff(values: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("bands", [4, 6, 13])
def test_the_first_three_of_many_bands_are_used(bands: int, planar: str, compression: str | None):
    values = noise(20, 30, bands)
    given = values if planar == "contig" else values.transpose(2, 0, 1)
    options = {"photometric": "minisblack", "planarconfig": planar, "compression": compression}
    clean = read_image(tiff(given, **options))
    np.testing.assert_array_equal(decode_image(clean.data), values[..., :3])
    assert f"{bands} bands" in (clean.note or "")


def test_many_bands_that_cannot_be_unpacked_safely_are_named():
    data = bytearray(tiff(noise(20, 30, 6), photometric="minisblack", planarconfig="contig", compression="zlib"))
    compression = data.index((259).to_bytes(2, "little") + b"\x03\x00\x01\x00\x00\x00")
    data[compression + 8 : compression + 10] = (5).to_bytes(2, "little")  # LZW
    with pytest.raises(ImageError, match=r"TIFF has 6 bands.*PNG"):
        read_image(bytes(data))


def test_many_deep_bands_are_scaled_by_the_range_of_the_data_set():
    values = np.random.default_rng(0).integers(0, 4096, (20, 30, 13), dtype=np.uint16)
    data = tiff(values, photometric="minisblack", planarconfig="contig")
    np.testing.assert_allclose(pixels_of(data, (0.0, 4095.0)), values[..., :3] * (255 / 4095), atol=0.51)


def test_a_second_band_is_transparency():
    values = np.dstack([np.full((8, 8), 40, np.uint8), np.zeros((8, 8), np.uint8)])
    values[:, :4, 1] = 255
    pixels = pixels_of(tiff(values, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]))
    assert (pixels[:, :4] == 40).all()
    assert (pixels[:, 4:] == 255).all()


@pytest.mark.parametrize(
    "tags",
    [
        {254: 1, 330: 8},  # a preview, and further directories: NEF, ARW, SRW
        {50706: b"\x01\x04\x00\x00"},  # DNG
        {262: 32803},  # a mosaic of colours: PEF and others
    ],
)
def test_raw_camera_files_are_refused_not_taken_by_their_preview(tags: dict[int, object]):
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    data = encoded(Image.fromarray(noise(24, 32, 3)), "TIFF", tiffinfo=directory)
    with pytest.raises(ImageError, match="raw camera file"):
        read_image(data)
    with pytest.raises(UnusableKindError):
        open_picture(io.BytesIO(data))


def test_a_canon_raw_file_is_refused_by_the_mark_behind_its_header():
    data = tiff(noise(24, 32, 3), photometric="rgb", metadata=None)
    directory = data[8 : 8 + 2 + 12 * int.from_bytes(data[8:10], "little") + 4]
    moved = data[:4] + len(data).to_bytes(4, "little") + b"None" + data[12:] + directory
    assert read_image(moved).width == 32
    with pytest.raises(ImageError, match="raw camera file"):
        read_image(moved.replace(b"None", b"CR\x02\0"))


def test_sixteen_bits_of_each_colour_keep_their_shades():
    values = np.random.default_rng(0).integers(0, 65536, (16, 16, 3), dtype=np.uint16)
    for data in (tiff(values, photometric="rgb"), cv2.imencode(".png", values[..., ::-1])[1].tobytes()):
        np.testing.assert_allclose(pixels_of(data), values / 257, atol=1)


def test_the_limit_of_megapixels_is_a_setting(monkeypatch: pytest.MonkeyPatch):
    data = encoded(Image.new("1", (9000, 9000)), "PNG")
    monkeypatch.setenv(MEGAPIXELS.setting, "100")
    assert read_image(data).width == 512


@pytest.mark.parametrize("dtype", [np.float64, np.uint64])
def test_a_tiff_of_64_bits_opens(dtype: type) -> None:
    values = np.linspace(0, 4000, 64 * 48).reshape(48, 64).astype(dtype)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values)
    pixels = pixels_of(buffer.getvalue(), (0.0, 4000.0))
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels[..., 0] - values.astype(float) * 255 / 4000).max() <= 1
