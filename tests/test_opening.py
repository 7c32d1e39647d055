"""A bundle is opened in every format that can be asked, and refused in words when it is damaged, foreign or hostile."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.coloured_pictures import picture, png
from tests.ready_bundle import NAMES, expected, manifest, model_files, write_bundle
from tlcore.documents import write_document
from tlcore.errors import ArchiveError, ImageError, RunError, UnreadableError
from tlcore.export.manifest import MANIFEST_FILE
from tlcore.export.opening import ASKED_FORMATS, open_bundle
from tlcore.storage.requests import FormatName

GREEN = picture("green", 1, width=48, height=48)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[FormatName, Path]:
    return dict(model_files(tmp_path_factory.mktemp("formats")))


def test_each_format_answers_as_it_must(files: dict[FormatName, Path], tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "model.zip", files)
    (tmp_path / "green.png").write_bytes(png(GREEN))
    before = set(Path("/tmp").glob("transfer-lab-bundle-*"))
    for name in files:
        bundle = open_bundle(path, name)
        assert bundle.format == name
        assert not bundle.notes
        assert bundle.manifest == manifest()
        answer = bundle.predict(tmp_path / "green.png")
        assert list(answer) == list(NAMES)
        assert list(answer.values()) == pytest.approx(expected(GREEN.mean((0, 1))), abs=0.015)
    assert open_bundle(path).format == "litert"
    assert set(Path("/tmp").glob("transfer-lab-bundle-*")) == before
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ImageError):
        bundle.predict(tmp_path / "text.jpg")


def test_parts_that_see_different_squares_get_the_whole_picture(files: dict[FormatName, Path], tmp_path: Path) -> None:
    """A model that makes its own squares sees the middle of a wide picture; told to stretch it, it saw all of it."""
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = (255, 0, 0)
    stretched = replace(manifest(), resize_mode="stretch")
    whole = open_bundle(write_bundle(tmp_path / "a.zip", files, replace(stretched, one_square=False)))
    square = open_bundle(write_bundle(tmp_path / "b.zip", files, stretched))
    middle = expected(np.array([255.0, 0, 0]))
    assert whole.predict_pixels(wide) == pytest.approx(middle, abs=0.01)
    assert square.predict_pixels(wide) == pytest.approx(expected(np.array([85.0, 0, 0])), abs=0.02)


def test_formats_that_are_not_there_or_failed_are_said(files: dict[FormatName, Path], tmp_path: Path) -> None:
    said = manifest(warnings={"onnx": "It errs more often."})
    only = write_bundle(tmp_path / "onnx.zip", {"onnx": files["onnx"]}, said)
    bundle = open_bundle(only, "litert")
    assert bundle.format == "onnx"
    assert bundle.notes == (
        "The bundle holds no LiteRT; ONNX answers in its place.",
        "ONNX did not pass its test against the original: It errs more often.",
    )
    with pytest.raises(RunError, match="no format that can be asked here"):
        open_bundle(write_bundle(tmp_path / "none.zip", {}))
    for name in ("keras", "savedmodel"):
        with pytest.raises(RunError, match="may hold code"):
            open_bundle(only, name)
    with pytest.raises(RunError, match="no format tensorrt"):
        open_bundle(only, "tensorrt")
    assert "keras" not in ASKED_FORMATS


def test_foreign_and_damaged_files_are_refused_in_words(files: dict[FormatName, Path], tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "model.zip", files)
    whole = path.read_bytes()
    foreign = io.BytesIO()
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("cat/1.jpg", png(GREEN))
    for data in (b"", b"no ZIP", whole[: len(whole) // 2], whole[:-30], whole[1000:], foreign.getvalue()):
        (tmp_path / "bad.zip").write_bytes(data)
        with pytest.raises(ArchiveError, match=r"Transfer Lab has exported|exported model"):
            open_bundle(tmp_path / "bad.zip")
    with pytest.raises(ArchiveError, match="no file"):
        open_bundle(tmp_path / "missing.zip")
    flipped = bytearray(whole)
    start = whole.index(b"model.tflite") + 100
    flipped[start : start + 40] = bytes(40)
    (tmp_path / "flipped.zip").write_bytes(flipped)
    with pytest.raises(ArchiveError, match="damaged"):
        open_bundle(tmp_path / "flipped.zip", "litert")


@pytest.mark.parametrize("name", ["litert", "litert-int8", "onnx"])
def test_a_damaged_or_foreign_model_is_refused(name: FormatName, files: dict[FormatName, Path], tmp_path: Path) -> None:
    whole = files[name].read_bytes()
    for number, data in enumerate((b"", b"TFL3" + bytes(100), whole[: len(whole) // 2])):
        (tmp_path / "model").write_bytes(data)
        with pytest.raises((RunError, ArchiveError), match="damaged"):
            open_bundle(write_bundle(tmp_path / f"{number}.zip", {name: tmp_path / "model"}))
    fewer = replace(manifest(), class_names=NAMES[:2], class_colors=(0, 1))
    with pytest.raises(RunError, match="not the one that it names"):
        open_bundle(write_bundle(tmp_path / "fewer.zip", files, fewer), name)


def test_what_a_manifest_may_not_say_is_refused(files: dict[FormatName, Path], tmp_path: Path) -> None:
    good = json.loads(write_document(manifest()))
    damaged = "Transfer Lab has exported"
    changes: tuple[tuple[dict[str, object], str], ...] = (
        ({"class_names": []}, "names no class"),
        ({"class_names": ["a", "b\n", "b\n"]}, "two of its classes have the same name, b"),
        ({"class_colors": [1]}, "3 classes, and colours for 1"),
        ({"threshold": 2}, "its threshold is 2, and must be from 0 to 1"),
        ({"image_size": 10**9}, "1,000,000,000 pixels wide, and must be from 1 to 4,096"),
        ({"image_size": 0}, "0 pixels wide"),
        ({"grey_range": [5, 5]}, "its darkest grey, 5, must be below its brightest, 5"),
        ({"resize_mode": "other"}, damaged),
        ({"title": None}, damaged),
        ({"result": {}}, damaged),
        ({"unknown": 1}, damaged),
    )
    for change, words in changes:
        with zipfile.ZipFile(tmp_path / "changed.zip", "w") as archive:
            archive.writestr(MANIFEST_FILE, json.dumps(good | change))
            archive.write(files["litert"], "model.tflite")
        with pytest.raises(ArchiveError, match=words):
            open_bundle(tmp_path / "changed.zip")
    with zipfile.ZipFile(tmp_path / "newer.zip", "w") as archive:
        archive.writestr(MANIFEST_FILE, json.dumps(good | {"format": 99}))
    with pytest.raises(UnreadableError, match="newer Transfer Lab"):
        open_bundle(tmp_path / "newer.zip")


def test_hostile_files_are_refused_and_leave_nothing(
    files: dict[FormatName, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16

    def slip(archive: zipfile.ZipFile) -> None:
        archive.writestr("../../evil.py", "print('evil')")

    def absolute(archive: zipfile.ZipFile) -> None:
        archive.writestr("/tmp/evil.py", "print('evil')")

    def linked(archive: zipfile.ZipFile) -> None:
        archive.writestr(link, "/etc/passwd")

    def bomb(archive: zipfile.ZipFile) -> None:
        archive.writestr("model-float16.tflite", bytes(50_000_000))

    def twice(archive: zipfile.ZipFile) -> None:
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(MANIFEST_FILE, write_document(manifest(0)))

    for number, add in enumerate((slip, absolute, linked, bomb, twice)):
        path = write_bundle(tmp_path / f"{number}.zip", files)
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            add(archive)
        with pytest.raises(ArchiveError, match="nothing of it is used"):
            open_bundle(path)
    assert list(place.iterdir()) == []
    assert not (tmp_path / "evil.py").exists()
    assert not Path("/tmp/evil.py").exists()


def test_code_in_a_bundle_is_never_run(files: dict[FormatName, Path], tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "model.zip", files)
    mark = tmp_path / "mark"
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("pixels.py", "self_test.py", "model.py", "code/train.py"):
            archive.writestr(name, f"open({str(mark)!r}, 'w')")
    open_bundle(path).predict_pixels(GREEN)
    assert not mark.exists()
