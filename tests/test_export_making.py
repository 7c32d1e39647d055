"""An export: every format is written, asked in a fresh process, and says what is wrong with it."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.test_export_graph import SMALL, make_run
from tlcore.dataset import ClassLabel, Dataset, Item
from tlcore.errors import FullDiskError, RunError, WeightsError
from tlcore.export import certifying, converting, making
from tlcore.export.certifying import hash_of
from tlcore.export.formats import FORMATS
from tlcore.export.making import MOST_ASKED, make_export, spread
from tlcore.export.parity import ROUNDED, unavailable, warning_of
from tlcore.export.readers import open_format
from tlcore.export.source import ExportSource
from tlcore.home import HALF_WRITTEN, DataRoot
from tlcore.progress import StopRequested
from tlcore.results.prediction import Predictor
from tlcore.simple_heads.heads import NeighboursHead, save_simple_head
from tlcore.storage.images import ImageStore
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.requests import ExportResult, FormatName, FormatReport


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataRoot]:
    home = DataRoot(tmp_path_factory.mktemp("making"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TRANSFER_LAB_HOME", str(home.path))
        patched.setattr("tlcore.features.engines.TRIAL_SECONDS", 0.01)
        yield home
    keras.utils.clear_session()


@pytest.fixture(scope="module")
def source(home: DataRoot) -> ExportSource:
    """A network that learned nothing and is sure all the same, of three classes as the pictures have."""
    dataset = coloured_dataset(home, 12)
    part = make_run(home.path / "run", SMALL, home, sureness=3)
    names = part.spec.class_names
    classes = tuple(replace(label, name=name) for label, name in zip(dataset.classes, names, strict=False))
    assert len(classes) == len(names)
    return ExportSource("Run 1", (part,), replace(dataset, classes=classes), ModelSettings(1.5, 0.4), "run1")


@pytest.fixture(scope="module")
def made(source: ExportSource, home: DataRoot) -> tuple[Path, ExportResult]:
    folder = home.path / "made"
    folder.mkdir()
    return folder, make_export(source, list(FORMATS), folder, RecordingProgress(), home)


def report(made: tuple[Path, ExportResult], name: FormatName) -> FormatReport:
    return next(one for one in made[1].reports if one.format == name)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_written_and_answers_as_the_original(made: tuple[Path, ExportResult], name: FormatName) -> None:
    found = report(made, name)
    assert not found.problem
    assert bool(found.warning) == (name in ROUNDED)
    assert "too few" in found.warning or not found.warning
    assert found.total == made[1].total > 0
    assert found.agreed >= found.total - 1
    assert found.largest_difference < (0.1 if name in ("litert-int8", "litert-dynamic") else 0.01)
    assert found.milliseconds > 0
    assert found.size == converting.size_of(made[0] / FORMATS[name].file.rstrip("/"))


def test_what_is_measured_is_the_model_and_this_machine(source: ExportSource, made: tuple[Path, ExportResult]) -> None:
    result = made[1]
    assert result.model_id == "run1"
    assert result.settings == source.settings
    assert result.processor
    assert result.milliseconds > 0
    assert (result.split, result.total) == ("test", len(source.dataset.subset("test")))
    assert not [path for path in made[0].rglob("*") if path.name.startswith(HALF_WRITTEN)]


def test_a_certificate_is_bound_to_its_file(made: tuple[Path, ExportResult], tmp_path: Path) -> None:
    data = (made[0] / FORMATS["litert"].file).read_bytes()
    assert report(made, "litert").sha256 == hashlib.sha256(data).hexdigest()
    folder = tmp_path / "saved"
    shutil.copytree(made[0] / "saved_model", folder)
    assert report(made, "savedmodel").sha256 == hash_of(folder)
    inside = max((one for one in folder.rglob("*") if one.is_file()), key=lambda one: one.stat().st_size)
    inside.rename(inside.with_name("other"))
    assert report(made, "savedmodel").sha256 != hash_of(folder)


def test_without_other_pictures_the_training_pictures_are_asked_about(
    source: ExportSource, made: tuple[Path, ExportResult], home: DataRoot
) -> None:
    items = tuple(replace(item, split="train") for item in source.dataset.items)
    only = replace(source, dataset=replace(source.dataset, items=items))
    result = making.certify(only, [report(made, "litert")], made[0], RecordingProgress(), home)
    assert (result.split, result.total) == ("train", len(items))
    assert result.reports[0].agreed == len(items)


def test_integers_are_integers_from_the_pixels_to_the_answer(made: tuple[Path, ExportResult]) -> None:
    interpreter = Interpreter(str(made[0] / FORMATS["litert-int8"].file))
    interpreter.allocate_tensors()
    kinds = {detail["dtype"] for detail in interpreter.get_tensor_details() if len(detail["shape"])}
    assert kinds <= {np.uint8, np.int8, np.int32}
    assert report(made, "litert-int8").size < 0.6 * report(made, "litert").size


def test_a_spoilt_file_is_told_and_takes_nothing_from_the_others(
    source: ExportSource, made: tuple[Path, ExportResult], home: DataRoot, tmp_path: Path
) -> None:
    for name in ("litert", "litert-float16"):
        path = FORMATS[name].file  # type: ignore[index]
        data = (made[0] / path).read_bytes()
        (tmp_path / path).write_bytes(data[: len(data) // 2] if name == "litert" else data)
    before = [replace(report(made, name), total=0, agreed=0) for name in ("litert", "litert-float16")]  # type: ignore[arg-type]
    spoilt, other = making.certify(source, before, tmp_path, RecordingProgress(), home).reports
    assert spoilt == FormatReport("litert", problem=spoilt.problem)
    assert "cannot be loaded" in spoilt.problem
    assert "made" not in spoilt.problem
    assert not (tmp_path / FORMATS["litert"].file).exists()
    assert other.is_made
    assert other.agreed == other.total


def test_a_model_with_other_weights_fails_its_certificate(
    source: ExportSource, made: tuple[Path, ExportResult], home: DataRoot, tmp_path: Path
) -> None:
    other = replace(source, parts=(make_run(tmp_path / "other", SMALL, home, seed=5, sureness=-3),))
    found = making.certify(other, [report(made, "litert")], made[0], RecordingProgress(), home).reports[0]
    assert "in another way than the original" in found.warning or "points away" in found.warning


def test_what_one_converter_cannot_write_takes_nothing_from_the_others(
    source: ExportSource, home: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_arguments: object) -> bytes:
        raise RuntimeError("failed to legalize operation")

    monkeypatch.setattr(converting, "_litert", break_down)
    first, second = make_export(source, ["litert", "onnx"], tmp_path, RecordingProgress(), home).reports
    assert "cannot write" in first.problem
    assert "legalize" not in first.problem
    assert second.agreed == second.total > 0


def test_a_wish_to_stop_ends_the_work(source: ExportSource, home: DataRoot, tmp_path: Path) -> None:
    with pytest.raises(StopRequested):
        make_export(source, ["litert", "onnx"], tmp_path, RecordingProgress(stop_after=3), home)


def test_a_broken_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"no model")
    with pytest.raises(RunError, match=r"model\.tflite is missing or damaged"):
        open_format(tmp_path, "litert")


def test_a_vote_of_neighbours_and_different_squares_have_no_integers(source: ExportSource, tmp_path: Path) -> None:
    (part,) = source.parts
    vote = replace(part, folder=tmp_path, kind="simple_head")
    save_simple_head(NeighboursHead(np.eye(3, dtype=np.float16), np.arange(3), 3, 1), tmp_path)
    assert "Nearest neighbours" in unavailable(replace(source, parts=(vote,)), "litert-int8")
    assert not unavailable(replace(source, parts=(vote,)), "litert")
    half = replace(part, weight=0.5)
    smaller = replace(half, spec=replace(part.spec, prefix=replace(part.spec.prefix, image_size=64)))
    assert "different sizes" in unavailable(replace(source, parts=(half, smaller)), "litert-int8")
    assert not unavailable(replace(source, parts=(half, smaller)), "onnx")
    assert "calibration" in unavailable(replace(source, parts=(half, half)), "litert-int8")
    assert not unavailable(source, "litert-int8")


NOTHING = np.full((1, 3), np.nan, np.float32)
CERTIFICATE = FormatReport("litert", 1, 200, 190, 200, 0.001, 1.0)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ""),
        ({"agreed": 198}, ""),
        ({"agreed": 197}, "3 of 200"),
        ({"largest_difference": 0.06}, "6 points"),
        ({"format": "litert-int8", "agreed": 190, "correct": 188, "largest_difference": 0.3}, ""),
        ({"format": "litert-int8", "agreed": 189}, "11 of 200"),
        ({"format": "litert-int8", "correct": 0}, ""),
        ({"format": "litert-int8", "total": 20, "agreed": 19}, ""),
        ({"format": "litert-int8", "total": 20, "agreed": 18}, "2 of 20"),
        ({"format": "litert-int8", "total": 19, "agreed": 19}, "19 pictures only"),
        ({"format": "litert-int8", "total": 1, "agreed": 0}, "1 of 1"),
        ({"format": "litert-dynamic", "total": 1, "agreed": 1}, "1 picture only"),
        ({"total": 3, "agreed": 2, "correct": 2}, ""),
        ({"problem": "no file", "agreed": 0}, ""),
        ({"total": 0, "agreed": 0, "correct": 0}, "nobody knows"),
    ],
)
def test_a_certificate_fails_for_what_chance_does_not_explain(changed: dict[str, object], words: str) -> None:
    found = warning_of(replace(CERTIFICATE, **changed))  # type: ignore[arg-type]
    assert words in found
    assert bool(words) == bool(found)


@pytest.mark.parametrize("name", ["litert", "litert-int8"])
def test_a_class_that_a_file_does_not_know_any_more_is_named(name: FormatName) -> None:
    lost = replace(CERTIFICATE, format=name, total=500, agreed=495)
    assert "Of the 5 pictures that the original takes for rare, it takes 5" in warning_of(lost, {"rare": (5, 5)})
    assert not warning_of(lost, {"often": (5, 10), "seldom": (2, 2)})


def test_an_answer_that_is_no_number_is_a_problem_of_its_format_or_of_the_model(
    source: ExportSource,
    made: tuple[Path, ExportResult],
    home: DataRoot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (part,) = source.parts
    lost = keras.saving.load_model(part.folder / "model.keras", compile=False)
    lost.layers[-1].set_weights([values * np.nan for values in lost.layers[-1].get_weights()])
    (tmp_path / "lost").mkdir()
    converting.convert(lost, "keras", tmp_path / "lost")
    before = FormatReport("keras", 1)
    found = making.certify(source, [before], tmp_path / "lost", RecordingProgress(), home).reports[0]
    assert "no numbers" in found.problem
    monkeypatch.setattr(making, "original_predictor", lambda *_arguments: Predictor((), (), 0, lambda _: NOTHING))
    with pytest.raises(RunError, match="went astray"):
        making.certify(source, [report(made, "litert")], made[0], RecordingProgress(), home)


def test_pictures_that_cannot_be_read_are_left_out_and_counted(
    source: ExportSource, made: tuple[Path, ExportResult], home: DataRoot, tmp_path: Path
) -> None:
    shutil.copytree(made[0], tmp_path / "made")
    gone = [source.dataset.subset(split)[0] for split in ("test", "train", "validation")]
    paths = [ImageStore(home).path(item.image) for item in gone]
    kept = [path.read_bytes() for path in paths]
    try:
        for path in paths:
            path.unlink()
        result = make_export(source, ["litert-int8"], tmp_path / "made", RecordingProgress(), home)
    finally:
        for path, data in zip(paths, kept, strict=True):
            path.write_bytes(data)
    [found] = result.reports
    assert (result.total, result.unreadable) == (made[1].total - 1, 1)
    assert (found.problem, found.total) == ("", result.total)


def test_without_a_readable_picture_files_are_loaded_all_the_same(
    source: ExportSource, made: tuple[Path, ExportResult], home: DataRoot, tmp_path: Path
) -> None:
    items = tuple(replace(item, image=f"{number:064x}") for number, item in enumerate(source.dataset.items))
    blind = replace(source, dataset=replace(source.dataset, items=items))
    shutil.copy(made[0] / "model.tflite", tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    before = [report(made, "litert"), report(made, "onnx")]
    good, bad = making.certify(blind, before, tmp_path, RecordingProgress(), home).reports
    assert good.is_made
    assert good.milliseconds > 0
    assert "nobody knows" in good.warning
    assert "cannot be loaded" in bad.problem
    [integers] = make_export(blind, ["litert-int8"], tmp_path, RecordingProgress(), home).reports
    assert integers.problem == making.NOT_CALIBRATED


def test_a_backbone_that_is_gone_takes_nothing_from_the_files(
    source: ExportSource, home: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_arguments: object) -> None:
        raise WeightsError("The weights are not on this computer.")

    monkeypatch.setattr(making, "write_backbone", gone)
    assert make_export(source, ["litert"], tmp_path, RecordingProgress(), home).reports[0].is_made


def test_a_full_disk_is_not_told_as_a_bad_file(
    made: tuple[Path, ExportResult], home: DataRoot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asking = certifying.Asking(str(made[0]), "litert", (), (), 32, "stretch", 1)
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nexit {certifying.NO_ROOM}\n")
    program.chmod(0o755)
    monkeypatch.setattr("tlcore.export.certifying.sys.executable", str(program))
    with pytest.raises(FullDiskError):
        certifying.ask_afresh(asking, lambda: None, home)

    def full(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tlcore.export.certifying.tempfile.TemporaryDirectory", full)
    with pytest.raises(FullDiskError):
        certifying.ask_afresh(asking, lambda: None, home)


def test_the_time_is_taken_of_the_same_squares_whatever_a_format_takes() -> None:
    seen: list[tuple[int, ...]] = []

    def answer(picture: np.ndarray) -> np.ndarray:
        seen.append(picture.shape[:2])
        return np.array([1.0, 0.0], np.float32)

    pictures = [np.zeros((50, 70, 3), np.uint8)] * 4
    answers = certifying.ask(answer, pictures, certifying.squares_of(pictures, 32, "stretch"), pictures[:2])
    assert seen == [(32, 32)] * (3 + 4) + [(50, 70)] * (4 + 2)
    assert (answers.probabilities.shape, answers.of_examples.shape) == ((4, 2), (2, 2))


def test_of_many_pictures_some_of_each_class_are_drawn_the_same_ones_every_time() -> None:
    labels = tuple(ClassLabel(name, name, number) for number, name in enumerate("abc"))
    sizes = {"a": 2000, "b": 300, "c": 4}
    items = tuple(Item(f"{name}{n}", name, "test", "") for name, size in sizes.items() for n in range(size))
    drawn = spread(items, MOST_ASKED)
    assert Counter(item.class_id for item in drawn) == {"a": 248, "b": 248, "c": 4}
    assert spread(items, MOST_ASKED) == drawn
    assert spread(items[:3], MOST_ASKED) == items[:3]
    assert len(Dataset(labels, drawn).items) == MOST_ASKED
