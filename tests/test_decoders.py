"""Pictures are decoded outside: the same pixels, with little memory and time; what breaks costs one picture."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from pages.components.camera.asking import answered
from pages.components.camera.component import Message, View
from pages.components.results.answers import ask
from tests.awkward_pictures import encoded, made, separate_scans, shared, table, walk
from tlcore.dataset import Dataset
from tlcore.errors import ImageError
from tlcore.home import DataRoot
from tlcore.intake.camera import Session, add_pictures
from tlcore.intake.collection import gather
from tlcore.intake.limits import DECODING_MB, DECODING_SECONDS
from tlcore.intake.pictures import decoders, decoding
from tlcore.intake.pictures.decoders import Decoders
from tlcore.intake.pictures.memory import bytes_to_decode, bytes_to_open
from tlcore.intake.sources import FileSource, Found
from tlcore.library import TrainedModel
from tlcore.storage.images import ImageStore

MOST_MB, MOST_SECONDS = 400.0, 5.0
# Pillow reads it in Python, which takes seconds.
SLOW = b"P6\n2000 2000\n300\n" + bytes(6 * 2000 * 2000)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def small_files() -> dict[str, bytes]:
    deep = np.random.default_rng(1).integers(0, 4096, (40, 60), dtype=np.uint16)
    return {
        "photo": file_of(Image.fromarray(noise(300, 700, 3)), "JPEG"),
        "transparent": file_of(Image.fromarray(noise(30, 50, 4)), "PNG"),
        "deep.png": file_of(Image.fromarray(deep), "PNG"),
        "deep": file_of(Image.fromarray(deep), "TIFF"),
    }


@pytest.fixture
def one():
    """One decoder, ended after the test."""
    made = Decoders(1)
    yield made
    made.close()


@pytest.mark.parametrize("name", ["photo", "transparent", "deep", "deep.png"])
@pytest.mark.parametrize("grey_range", [None, (0.0, 4095.0)])
def test_outside_a_picture_becomes_what_it_becomes_inside(name: str, grey_range: tuple[float, float] | None):
    data = small_files()[name]
    assert decoders.read_image(data, grey_range) == decoding.read_image(data, grey_range)
    np.testing.assert_array_equal(decoders.pixels_of(data, grey_range), decoding.pixels_of(data, grey_range))
    clean, pixels = decoders.read_with_pixels(data, grey_range)
    assert clean == decoding.read_image(data, grey_range)
    np.testing.assert_array_equal(pixels, decoding.pixels_of(data, grey_range))
    assert decoders.measure_grey(data) == decoding.measure_grey(data)
    assert (decoders.measure_grey(data) is not None) == name.startswith("deep")


@pytest.mark.parametrize("data", [b"", b"no picture", small_files()["photo"][:3000]])
def test_outside_a_file_is_refused_in_the_same_words(data: bytes):
    with pytest.raises(ImageError) as inside:
        decoding.read_image(data)
    with pytest.raises(ImageError) as outside:
        decoders.read_image(data)
    assert str(outside.value) == str(inside.value)


def test_nothing_awkward_takes_much_memory_or_time(shared_data: Path):
    walked = walk(shared(shared_data), one_for_all=True)
    assert len(walked) > 60
    assert max(one.peak_mb for one in walked) < MOST_MB, table(walked)
    assert max(one.seconds for one in walked) < MOST_SECONDS, table(walked)
    decoded = {one.name for one in walked if not one.outcome}
    assert {"hopper.avif", "multipage.tiff", "i15_png_named.jpg"} <= decoded
    assert "megapixels" in next(one.outcome for one in walked if one.name == "i05_png_bomb_2500MP.png")


def test_pictures_made_to_take_much_are_refused_or_take_little():
    names = {"38 bytes.webp", "one strip.tif", "separate scans.jpg"}
    walked = walk({name: make() for name, make in made().items() if name in names})
    assert max(one.peak_mb for one in walked) < MOST_MB, table(walked)
    assert max(one.seconds for one in walked) < MOST_SECONDS, table(walked)
    outcomes = {one.name: one.outcome for one in walked}
    assert outcomes["one strip.tif"] == ""
    assert "MB of memory; the limit is 400 MB" in outcomes["38 bytes.webp"]
    assert "MB of memory; the limit is 400 MB" in outcomes["separate scans.jpg"]


@pytest.mark.parametrize("kind", ["lossy", "lossless", "transparent"])
def test_the_size_of_a_webp_is_read_before_it_is_opened(kind: str):
    image = Image.fromarray(noise(40, 70, 4 if kind == "transparent" else 3))
    data = file_of(image, "WEBP", lossless=kind == "lossless")
    assert bytes_to_open(data) == 40 * 70 * 8
    assert bytes_to_open(file_of(image.convert("RGB"), "JPEG")) == 0


def test_what_a_jpeg_keeps_until_its_last_pass_is_counted():
    def needed(**options: object) -> int:
        data = file_of(Image.new("RGB", (640, 480)), "JPEG", **options)
        with Image.open(io.BytesIO(data)) as image:
            return bytes_to_decode(image, data) - image.width * image.height * 4

    assert needed() == 0
    assert needed(progressive=True, subsampling=0) == 640 * 480 * 3 * 2
    assert needed(progressive=True, subsampling=2) == 640 * 480 * 3
    data = separate_scans(640, 480)
    with Image.open(io.BytesIO(data)) as image:
        assert bytes_to_decode(image, data) == 640 * 480 * (4 + 3 * 2)


@pytest.mark.parametrize("size", [(1800, 1500), (513, 700), (3, 9000), (9001, 40), (512, 512), (1537, 1536)])
@pytest.mark.parametrize("mode", ["RGBA", "I;16", "P"])
def test_in_strips_a_picture_becomes_what_it_becomes_as_a_whole(size: tuple[int, int], mode: str):
    width, height = size
    if mode == "I;16":
        values = np.random.default_rng(2).integers(0, 65536, (height, width), dtype=np.uint16)
        image = Image.fromarray(values)
        eight_bit = np.round(values.astype(np.float32) * np.float32(255 / 65535)).astype(np.uint8)
        whole = Image.fromarray(eight_bit).convert("RGB")
    elif mode == "P":
        image = Image.fromarray(noise(height, width), "P")
        image.putpalette(noise(768).tobytes())
        whole = image.convert("RGB")
    else:
        image = Image.fromarray(noise(height, width, 4))
        whole = Image.alpha_composite(Image.new("RGBA", size, "white"), image).convert("RGB")
    whole.thumbnail((512, 512), Image.Resampling.LANCZOS, reducing_gap=3.0)
    found = decoding.pixels_of(file_of(image, "PNG", compress_level=1))
    np.testing.assert_array_equal(found, np.asarray(whole))


def test_a_picture_that_takes_too_long_is_refused_and_the_next_one_decoded(
    one: Decoders, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(DECODING_SECONDS.setting, "0.3")
    with pytest.raises(ImageError, match=r"longer than 0\.3 seconds.*TRANSFER_LAB_MAX_DECODING_SECONDS"):
        one.ask("picture", SLOW, None)
    monkeypatch.delenv(DECODING_SECONDS.setting)
    answer, _ = one.ask("picture", small_files()["photo"], None)
    assert (answer["width"], answer["height"]) == (512, 219)


def test_memory_that_no_header_tells_is_refused_by_the_limit_itself(monkeypatch: pytest.MonkeyPatch):
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux keeps the limit itself; elsewhere it is watched")
    monkeypatch.setenv(DECODING_MB.setting, "150")
    many = 4_000_000
    entries = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, many, 200), (277, 3, 1, 1)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    data = (b"II*\0\x08\0\0\0" + directory + bytes(4)).ljust(200, b"\0") + os.urandom(4 * many)
    [walked] = walk({"offsets.tif": data})
    assert "more memory; the limit is 150 MB" in walked.outcome
    assert walked.peak_mb < 250


def test_a_decoder_that_was_ended_from_outside_costs_nothing(one: Decoders):
    photo = small_files()["photo"]
    one.ask("picture", photo, None)
    [pid] = one.idle_pids
    psutil.Process(pid).kill()
    answer, _ = one.ask("picture", photo, None)
    assert answer["width"] == 512
    assert one.idle_pids != [pid]


def test_a_picture_that_breaks_its_decoder_is_refused_in_words(one: Decoders):
    done = threading.Event()

    def break_each() -> None:
        while not done.is_set():
            for child in psutil.Process().children():
                with suppress(psutil.NoSuchProcess):  # others of this process may end at any time
                    if child.pid not in started and child.cpu_times().user > 0.05:
                        child.kill()

    started = {child.pid for child in psutil.Process().children()}
    breaking = threading.Thread(target=break_each)
    breaking.start()
    try:
        with pytest.raises(ImageError, match="broke over this one"):
            one.ask("picture", SLOW, None)
    finally:
        done.set()
        breaking.join()
    assert one.ask("picture", small_files()["photo"], None)[0]["width"] == 512


class EqualChances:
    """Stands for a model: its answers do not matter here."""

    class_names = ("cat", "dog")
    class_colors = (0, 1)
    grey_range = None
    threshold = 0.0

    def predict(self, pictures: list[np.ndarray]) -> np.ndarray:
        assert pictures[0].shape == (219, 512, 3)
        return np.full((len(pictures), 2), 0.5)


def test_what_a_person_brings_is_never_decoded_by_the_process_that_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def decoded_here(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(decoding, "_opened", decoded_here)
    photo, store = small_files()["photo"], ImageStore(DataRoot(tmp_path))
    for keep_picture in (False, True):
        answer = ask(EqualChances(), "photo.jpg", photo, keep_picture=keep_picture)
        assert (answer.reason, len(answer.probabilities)) == ("", 2)
    view = answered(View(asks=True), Message(1, "question", (photo,)), EqualChances(), "a note")
    assert view.note == "a note"
    assert len(add_pictures(Session("1", "cat", 0.0), [photo], store, 1.0).images) == 1
    model = TrainedModel(tmp_path, EqualChances())  # type: ignore[arg-type]
    (tmp_path / "photo.jpg").write_bytes(photo)
    assert model.predict(tmp_path / "photo.jpg") == {"cat": 0.5, "dog": 0.5}
    gathered = gather([FileSource((("cat/1.jpg", photo), ("dog/2.tif", small_files()["deep"])))], Dataset(), store)
    assert len(gathered.brought.pictures) == 2
    assert gathered.grey_range == (0.0, 4095.0)


def test_of_large_files_only_one_is_read_at_a_time():
    large = Found(("", "a.png"), "a.png", lambda _: decoding.clean_pixels(noise(8, 8, 3)), num_bytes=lambda: 20_000_000)
    inside, go_on = threading.Event(), threading.Event()

    def second() -> None:
        with large.in_turn():
            inside.set()
            go_on.wait(MOST_SECONDS)

    thread = threading.Thread(target=second)
    with large.in_turn():
        thread.start()
        assert not inside.wait(0.1)
    assert inside.wait(MOST_SECONDS)
    with Found(("", "b.png"), "b.png", large.clean, num_bytes=lambda: 100).in_turn():
        go_on.set()
    thread.join()


def test_all_decoders_together_take_no_more_than_one_may(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(DECODING_MB.setting, "150")
    several = Decoders(3)
    large = encoded("RGBA", "PNG", 4000, compress_level=1)
    most: list[float] = []
    before = {child.pid for child in psutil.Process().children()}
    threads = [threading.Thread(target=several.ask, args=("picture", large, None)) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        ours = [child for child in psutil.Process().children() if child.pid not in before]
        most.append(sum(child.memory_info().rss for child in ours) / 1e6)
    several.close()
    # One with 64 MB of pixels and two that wait, not three with 110 MB each.
    assert 90 < max(most) < 250


def test_many_processors_take_no_more_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert decoders.number_of_decoders() == 4
    several = Decoders(decoders.number_of_decoders())
    kinds = ("16 bits.png", "separate scans.jpg", "palette.png", "see-through.png")
    files = [make() for name, make in made().items() if name in kinds]
    most: list[float] = []
    before = {child.pid for child in psutil.Process().children()}
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(several.ask, "picture", data, None) for data in [*files, small_files()["photo"]]]
        while not all(one.done() for one in asked):
            ours = [child for child in psutil.Process().children() if child.pid not in before]
            with suppress(psutil.Error):
                # One that has not become a decoder yet still looks as large as this process.
                sizes = [child.memory_info().rss for child in ours if decoders._MODULE in child.cmdline()]
                most.append(sum(sizes) / 1e6)
    several.close()
    assert len([one for one in asked if one.exception() is None]) == 4
    assert 300 < max(most) < 600
    monkeypatch.setenv(DECODING_MB.setting, "2000")
    assert decoders.number_of_decoders() == 8
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert decoders.number_of_decoders() == 3


def test_decoders_end_with_a_server_that_is_killed():
    code = (
        "from tlcore.intake.pictures import decoders; decoders.warm();"
        "print(*decoders.decoders().idle_pids, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    ) as server:
        assert server.stdout is not None
        decoder = psutil.Process(int(server.stdout.readline()))
        server.kill()
    decoder.wait(MOST_SECONDS)
    assert not decoder.is_running() or decoder.status() == psutil.STATUS_ZOMBIE


def test_what_a_decoder_says_is_not_believed_beyond_its_shape():
    with pytest.raises(ImageError, match="broke"):
        decoders._pixels({"shape": [600, 10, 3]}, bytes(18_000))
    with pytest.raises(ImageError, match="broke"):
        decoders._pixels({"shape": [10, 10, 3]}, bytes(299))
