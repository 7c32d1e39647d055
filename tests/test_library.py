"""Transfer learning in Python: the very lines of the README, and what else the library promises."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.coloured_pictures import COLOURS, RecordingProgress, picture, png
from tests.exportable import SMALL_RUN
from tlcore.config import ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import Dataset
from tlcore.errors import DatasetError, ImageError, RunError
from tlcore.home import DataRoot
from tlcore.jobs.processes import ROOT_DIR
from tlcore.library import (
    CONFIG_FILE,
    DATASET_FILE,
    TrainedModel,
    export,
    load_model,
    open_bundle,
    read_dataset,
    train,
)
from tlcore.results.evaluation import VALIDATION_FILE_NAME
from tlcore.results.prediction import Predictor
from tlcore.storage.images import ImageStore

README_PATH = ROOT_DIR / "README.md"
CONFIG = RunConfig(model=ModelConfig(image_size=64), training=TrainingConfig(epochs=4, learning_rate=0.01))


def write_pictures(folder: Path, per_class: int) -> Path:
    for colour in COLOURS:
        (folder / colour).mkdir(parents=True)
        for number in range(per_class):
            (folder / colour / f"{number}.png").write_bytes(png(picture(colour, number)))
    return folder


def blocks_of_the_readme() -> list[str]:
    if not README_PATH.exists():
        pytest.skip("there is no README.md")
    return re.findall(r"```python\n(.+?)```", README_PATH.read_text("utf-8"), re.DOTALL)


@pytest.mark.slow
def test_the_lines_of_the_readme_train_test_and_predict(home: DataRoot, tmp_path: Path) -> None:
    program, *_ = blocks_of_the_readme()
    assert len([line for line in program.splitlines() if line.strip()]) <= 12
    names = re.findall(r'"([\w.]+)"', program)
    (archive_name,) = [name for name in names if name.endswith(".zip")]
    (picture_name,) = [name for name in names if name.endswith(".jpg")]
    with zipfile.ZipFile(tmp_path / archive_name, "w") as archive:
        for path in sorted(write_pictures(tmp_path / "pictures", 8).rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path))
    (tmp_path / picture_name).write_bytes(png(picture("green", 77)))

    code = f"import sys; sys.path.insert(0, {str(ROOT_DIR)!r})\n{program}"
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    validation, exam, prediction, on_other_splits = ended.stdout.splitlines()
    for name, accuracy in (("validation", validation), ("exam", exam)):
        assert re.fullmatch(name + r": [\d.]+ % of \d+ pictures \([\d.]+ to [\d.]+ %\)", accuracy)
    probabilities = {name: float(value) for name, value in re.findall(r"'(\w+)': ([\d.e-]+)", prediction)}
    assert set(probabilities) == set(COLOURS)
    assert max(probabilities, key=probabilities.__getitem__) == "green"

    assert re.fullmatch(r"on other splits: [\d.]+ % \([\d.]+ to [\d.]+ % in 5 trainings\)", on_other_splits)

    # Progress on the terminal is ours alone: no notes of TensorFlow, no half lines.
    shown = ended.stderr.splitlines()
    assert shown[-5:] == [f"Split {number} of 5: training" for number in range(1, 6)]
    shown = shown[: shown.index("Saving") + 1]
    assert shown[0] == f"Reading {archive_name}"
    assert "\r" not in ended.stderr
    epochs = [line for line in shown if line.startswith("epoch")]
    assert len(epochs) >= 2
    assert all(re.fullmatch(r"epoch +\d+(  \w+ \d+\.\d{3}){4}", line) for line in epochs)
    assert len(shown) - len(epochs) <= 10, shown


def test_a_folder_is_trained_and_its_model_loaded_again(ready_home: DataRoot, tmp_path: Path) -> None:
    dataset = read_dataset(write_pictures(tmp_path / "pictures", 6))
    assert dataset.class_names == tuple(COLOURS)
    pictures = [ImageStore(ready_home).path(item.image) for item in dataset.items]
    for path in pictures:
        os.utime(path, (0, 0))
    model = train(dataset, CONFIG, folder=tmp_path / "model", progress=RecordingProgress())
    assert all(path.stat().st_mtime > 0 for path in pictures)  # a server that tidies up leaves them there
    for split, evaluation in (("validation", model.validation), ("test", model.open_exam())):
        assert evaluation.images == tuple(item.image for item in dataset.subset(split))
        low, high = evaluation.accuracy_interval
        assert evaluation.accuracy is not None
        assert 0 <= low <= evaluation.accuracy <= high <= 1
    answers = model.predict(tmp_path / "pictures" / "red" / "0.png")
    assert sum(answers.values()) == pytest.approx(1, abs=1e-5)
    assert max(answers, key=answers.__getitem__) == "red"
    assert load_model(tmp_path / "model").predict(tmp_path / "pictures" / "red" / "0.png") == answers

    (tmp_path / "model" / VALIDATION_FILE_NAME).unlink()
    with pytest.raises(RunError, match="earlier version"):
        _ = load_model(tmp_path / "model").validation
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ImageError):
        model.predict(tmp_path / "text.jpg")


@pytest.mark.slow
def test_the_lines_of_the_readme_export_and_open(home: DataRoot, tmp_path: Path) -> None:
    (program,) = [block for block in blocks_of_the_readme() if "open_bundle" in block]
    (picture_name,) = re.findall(r'"(\w+\.jpg)"', program)
    (tmp_path / picture_name).write_bytes(png(picture("green", 77)))
    dataset = read_dataset(write_pictures(tmp_path / "pictures", 8))
    model = train(dataset, SMALL_RUN, folder=tmp_path / "model", progress=RecordingProgress())

    before = f"import sys; sys.path.insert(0, {str(ROOT_DIR)!r})\nfrom tlcore.library import load_model\n"
    code = f"{before}model = load_model('model')\n{program}"
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    answer = {name: float(value) for name, value in re.findall(r"'(\w+)': ([\d.e-]+)", ended.stdout)}
    assert answer == pytest.approx(model.predict(tmp_path / picture_name), abs=0.02)

    bundle = open_bundle(tmp_path / "model.zip")
    assert bundle.manifest.title == "model"
    assert bundle.manifest.class_names == dataset.class_names
    assert [report.format for report in bundle.manifest.result.reports] == ["litert", "litert-int8"]
    assert all(report.is_made and report.total for report in bundle.manifest.result.reports)
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        names = set(archive.namelist())
    assert {"README.txt", "labels.txt", "model.json", "model.tflite", "model-int8.tflite", "self_test.py"} <= names

    for name in (CONFIG_FILE, DATASET_FILE):  # as in the folder of an earlier version
        (tmp_path / "model" / name).unlink()
    with pytest.raises(RunError, match="train it again"):
        export(load_model(tmp_path / "model"), path=tmp_path / "other.zip")
    assert not (tmp_path / "other.zip").exists()


def test_only_formats_that_there_are_can_be_exported(tmp_path: Path) -> None:
    nobody = Predictor(("a", "b"), (0, 1), 64, lambda _images: np.zeros((0, 2), np.float32))
    with pytest.raises(ValueError, match=r"litert-int8, onnx\. Received: 'tensorrt'"):
        export(TrainedModel(tmp_path, nobody), "tensorrt")  # type: ignore[arg-type]
    with pytest.raises(RunError, match="earlier version"):
        export(TrainedModel(tmp_path, nobody))
    (tmp_path / CONFIG_FILE).write_text("{damaged")
    with pytest.raises(RunError, match="missing or damaged"):
        export(TrainedModel(tmp_path, nobody))


def test_files_that_cannot_be_used_are_printed(
    home: DataRoot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pictures(tmp_path / "pictures", 1)
    (folder / "red" / "broken.jpg").write_bytes(b"no picture")
    assert len(read_dataset(folder).items) == 3
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "Reading pictures"
    assert shown[1] == "3 pictures. blue, green and red are the classes."
    assert len(shown) == 3
    assert shown[2].startswith("not used: ")
    assert "broken.jpg" in shown[2]


def test_a_place_without_pictures_is_said(home: DataRoot, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="There is no picture in"):
        read_dataset(tmp_path / "empty")
    with pytest.raises(DatasetError, match=r"no file or folder .*missing\.zip"):
        read_dataset(tmp_path / "missing.zip")
    with pytest.raises(RunError, match="Train again"):
        load_model(tmp_path / "empty")


def write_tree(root: Path, *folders: str, per_folder: int = 4) -> Path:
    """Different pictures in each folder."""
    for place, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        for number in range(per_folder):
            pixels = picture(list(COLOURS)[place % 3], 10 * place + number)
            (root / folder / f"{place}-{number}.png").write_bytes(png(pixels))
    return root


def class_sizes(dataset: Dataset) -> dict[str, int]:
    return {label.name: len(dataset.of_class(label.id)) for label in dataset.classes}


CROSSED = ("apple/fresh", "apple/rotten", "banana/fresh", "banana/rotten")


def test_a_folder_that_can_be_read_in_several_ways_is_read_as_asked(home: DataRoot, tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "fruit", *CROSSED)
    with pytest.raises(DatasetError) as error:
        read_dataset(folder)
    assert 'classes="top": ' in str(error.value)
    assert "apple 8, banana 8" in str(error.value)
    states = {"fresh": 8, "rotten": 8}
    for classes, expected in (
        ("top", {"apple": 8, "banana": 8}),
        (1, {"apple": 8, "banana": 8}),
        (2, states),
        ("leaf", states),
        ("joined", dict.fromkeys(("apple fresh", "apple rotten", "banana fresh", "banana rotten"), 4)),
        ({"apple/rotten": "bad", "banana/rotten": "bad", "fresh": "good"}, {"bad": 8, "good": 8}),
    ):
        assert class_sizes(read_dataset(folder, classes=classes)) == expected, classes


def test_labels_come_from_a_file_or_a_mapping(home: DataRoot, tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "photos", "one", "two", per_folder=6)
    names = [f"{place}-{number}.png" for place in range(2) for number in range(6)]
    labels = {name: "odd" if int(name[2]) % 2 else "even" for name in names}
    table = tmp_path / "truth.csv"
    table.write_text("file,parity\n" + "\n".join(f"{name},{parity}" for name, parity in labels.items()))
    for given in (table, str(table), labels):
        assert class_sizes(read_dataset(folder, labels=given)) == {"even": 6, "odd": 6}
    table.write_text("file,class\nelsewhere.png,cat\n")
    with pytest.raises(DatasetError, match=r"truth\.csv says no classes"):
        read_dataset(folder, labels=table)
    with pytest.raises(DatasetError, match=r"gone\.csv cannot be read"):
        read_dataset(folder, labels=tmp_path / "gone.csv")
    for classes, given in (("top", labels), ({"one": "a"}, labels), ({"one": "a"}, table)):
        with pytest.raises(ValueError, match="must not be given together"):
            read_dataset(folder, classes=classes, labels=given)


def test_groups_are_on_one_side_of_the_split(home: DataRoot, tmp_path: Path) -> None:
    slides = [f"{name}/{name}{number}" for name in ("cat", "dog") for number in range(6)]
    folder = write_tree(tmp_path / "pets", *slides)
    by_name = {f"{place}-{number}.png": str(number) for place in range(12) for number in range(4)}
    for groups, part in ((2, 0), ("leaf", 0), (by_name, 1)):
        dataset = read_dataset(folder, classes="top", groups=groups)
        assert class_sizes(dataset) == {"cat": 24, "dog": 24}
        splits: dict[str, set[str]] = {}
        for item in dataset.items:
            splits.setdefault(item.name.removesuffix(".png").split("-")[part], set()).add(item.split)
        assert all(len(found) == 1 for found in splits.values()), groups
        assert {item.split for item in dataset.items} == {"train", "validation", "test"}
