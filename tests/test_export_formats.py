"""Every format is written, loaded in a process that knows nothing, and answers as the app does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.coloured_pictures import RecordingProgress, coloured_dataset, picture
from tests.test_export_graph import SMALL, make_head, make_run, source_of
from tlcore.config import HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import Dataset
from tlcore.errors import RunError
from tlcore.export.certifying import Asking, ask_afresh
from tlcore.export.formats import FORMATS
from tlcore.export.making import asked_items, make_export, spread
from tlcore.export.parity import unavailable, warning_of
from tlcore.export.readers import open_format
from tlcore.export.source import ExportSource, part_of_run
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.images.resizing import resize_image
from tlcore.library import train
from tlcore.progress import StopRequested
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.requests import ExportResult, FormatReport

TINY = ModelConfig("small_cnn-8-16", 32, head=HeadConfig(dropout=0.0))


@pytest.fixture(autouse=True)
def _forget_layers() -> Iterator[None]:
    yield
    keras.utils.clear_session()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataRoot]:
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("formats")
        patched.setenv(ENVIRONMENT_VARIABLE, str(folder))
        patched.setattr("tlcore.features.engines.TRIAL_SECONDS", 0.01)
        yield DataRoot(folder)


@pytest.fixture(scope="module")
def dataset(home: DataRoot) -> Dataset:
    return coloured_dataset(home, per_class=20)


def trained(config: ModelConfig, dataset: Dataset, epochs: int) -> ExportSource:
    run = RunConfig(config, TrainingConfig(epochs=epochs, learning_rate=0.01))
    model = train(dataset, run, progress=RecordingProgress())
    return ExportSource("Run 1", (part_of_run(model.folder, run),), dataset, ModelSettings(1.5))


@pytest.fixture(scope="module")
def tiny(dataset: Dataset) -> ExportSource:
    return trained(TINY, dataset, 20)


@pytest.fixture(scope="module")
def made(tiny: ExportSource, home: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> tuple[ExportResult, Path]:
    folder = tmp_path_factory.mktemp("files")
    return make_export(tiny, tuple(FORMATS), folder, RecordingProgress(), home), folder


def check(result: ExportResult, dataset: Dataset, folder: Path) -> None:
    """Each format is there, was asked about every test picture, and answers like the original."""
    assert [report.format for report in result.reports] == list(FORMATS)
    assert result.total == len(dataset.subset("test")) > 5
    assert result.correct > 0.8 * result.total
    assert result.milliseconds > 0
    assert result.processor
    for report in result.reports:
        assert (report.problem, report.warning) == ("", ""), report
        assert report.total == report.agreed == result.total
        assert report.correct == result.correct
        assert report.milliseconds > 0
        most = {"litert-int8": 0.1, "litert-dynamic": 0.05, "litert-float16": 0.02}.get(report.format, 5e-3)
        assert report.largest_difference <= most, report
        path = folder / FORMATS[report.format].file.rstrip("/")
        files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
        assert report.size == sum(one.stat().st_size for one in files) > 1000
    assert not list(folder.glob(".*"))  # nothing half-written


def test_every_format_of_a_network_holds_its_certificate(made: tuple[ExportResult, Path], dataset: Dataset) -> None:
    check(made[0], dataset, made[1])


def test_lite0_leaves_in_every_format(dataset: Dataset, home: DataRoot, tmp_path: Path) -> None:
    source = trained(ModelConfig("efficientnet_lite0", 32, head=HeadConfig(dropout=0.0)), dataset, 10)
    result = make_export(source, tuple(FORMATS), tmp_path, RecordingProgress(), home)
    check(result, dataset, tmp_path)
    sizes = {report.format: report.size for report in result.reports}
    assert sizes["litert-float16"] < 0.6 * sizes["litert"]
    assert sizes["litert-int8"] < 0.35 * sizes["litert"]
    assert sizes["litert-dynamic"] < 0.35 * sizes["litert"]


def test_8_bit_integers_are_integers_from_the_pixels_to_the_answer(made: tuple[ExportResult, Path]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(made[1] / FORMATS["litert-int8"].file))
    interpreter.allocate_tensors()
    assert interpreter.get_input_details()[0]["dtype"] == interpreter.get_output_details()[0]["dtype"] == np.uint8
    assert not [one["name"] for one in interpreter.get_tensor_details() if one["dtype"] in (np.float32, np.float16)]


def test_files_are_the_same_for_a_picture_of_any_size(made: tuple[ExportResult, Path]) -> None:
    shown = [picture("red", 99, width=131, height=77), picture("blue", 98, width=20, height=41)]
    expected = [open_format(made[1], "keras")(one) for one in shown]
    for name, spec in FORMATS.items():
        answer = open_format(made[1], name)
        for one, right in zip(shown, expected, strict=True):
            given = one if spec.takes_any_size else resize_image(one, TINY.image_size, TINY.resize_mode)
            np.testing.assert_allclose(answer(given), right, atol=0.1 if name == "litert-int8" else 0.02)


def test_what_a_model_cannot_be_is_said_before_it_is_tried(home: DataRoot, dataset: Dataset, tmp_path: Path) -> None:
    one, other = (make_run(tmp_path / str(size), replace(SMALL, image_size=size), home) for size in (32, 40))
    group = source_of((replace(one, weight=0.5), replace(other, weight=0.5)))
    assert "different sizes" in unavailable(group, "litert-int8")
    votes = source_of((make_head("nearest_neighbours", tmp_path / "votes", home),))
    assert "most alike" in unavailable(votes, "litert-int8")
    for source in (group, votes):
        assert not any(unavailable(source, name) for name in FORMATS if name != "litert-int8")
    (tmp_path / "files").mkdir()
    result = make_export(votes, ("litert-int8", "litert", "onnx"), tmp_path / "files", RecordingProgress(), home)
    assert [report.is_made for report in result.reports] == [False, True, True]
    assert sorted(path.name for path in (tmp_path / "files").glob("model*")) == ["model.onnx", "model.tflite"]


def test_a_converter_that_fails_takes_nothing_from_the_other_formats(
    tiny: ExportSource, home: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise ValueError("no such operation")

    monkeypatch.setattr("tlcore.export.converting._litert", broken)
    result = make_export(tiny, ("litert", "keras"), tmp_path, RecordingProgress(), home)
    assert "cannot write this model" in result.reports[0].problem
    assert result.reports[1].agreed == result.total > 0


def test_a_wish_to_stop_is_heard_between_formats(tiny: ExportSource, home: DataRoot, tmp_path: Path) -> None:
    with pytest.raises(StopRequested):
        make_export(tiny, ("litert", "keras"), tmp_path, RecordingProgress(stop_after=4), home)
    assert not (tmp_path / "model.keras").exists()


def test_a_file_that_cannot_be_loaded_is_a_problem_in_words(
    dataset: Dataset, home: DataRoot, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FORMATS["litert"].file).write_bytes(b"no model")
    images = tuple(item.image for item in asked_items(dataset))
    with pytest.raises(RunError, match="cannot be loaded"):
        ask_afresh(Asking(str(tmp_path), "litert", images, 32, "crop", 1), lambda: None, home)
    assert "missing or damaged" in capfd.readouterr().err


def test_the_same_pictures_of_all_classes_are_drawn(dataset: Dataset) -> None:
    drawn = spread(dataset.items, 10)
    assert drawn == spread(dataset.items, 10)
    counts = [sum(item.class_id == label.id for item in drawn) for label in dataset.classes]
    assert sorted(counts) == [3, 3, 4]
    assert spread(dataset.items, 1000) == tuple(dataset.items)


@pytest.mark.parametrize(
    ("report", "right", "words"),
    [
        (FormatReport("litert", total=200, correct=180, agreed=200, largest_difference=1e-4), 180, ""),
        (FormatReport("litert", total=200, correct=180, agreed=198, largest_difference=1e-3), 180, ""),
        (FormatReport("litert", total=200, correct=180, agreed=197), 180, "3 of 200"),
        (FormatReport("onnx", total=200, correct=180, agreed=200, largest_difference=0.2), 180, "20 points"),
        (FormatReport("litert-int8", total=200, correct=179, agreed=191, largest_difference=0.2), 181, ""),
        (FormatReport("litert-int8", total=200, correct=178, agreed=191), 181, "wrong more often"),
        (FormatReport("litert-int8", total=200, correct=181, agreed=189), 181, "11 of 200"),
        (FormatReport("litert-int8", total=20, correct=17, agreed=19), 18, ""),
        (FormatReport("litert", problem="no"), 18, ""),
        (FormatReport("litert"), 0, ""),
    ],
)
def test_a_certificate_that_fails_is_a_warning(report: FormatReport, right: int, words: str) -> None:
    warning = warning_of(report, right)
    assert words in warning
    assert bool(warning) == bool(words)
    assert math.isfinite(report.largest_difference)
