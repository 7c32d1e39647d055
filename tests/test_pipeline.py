"""A whole run on pictures made here: the features, the training, what it leaves, and that all of it agrees."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from tests.coloured_pictures import COLOURS, RecordingProgress, coloured_dataset, picture
from tlcore.config import (
    RESIZE_MODES,
    AugmentationConfig,
    HeadConfig,
    ModelConfig,
    ResizeMode,
    RunConfig,
    TrainingConfig,
)
from tlcore.dataset import Dataset
from tlcore.documents import read_document, to_json
from tlcore.errors import DatasetError, ImageError, RunError, WeightsError
from tlcore.features.engines import compiled_prefix_path
from tlcore.home import DataRoot
from tlcore.images.resizing import resize_image
from tlcore.intake.pictures.decoding import pixels_of
from tlcore.model.architecture import describe_model
from tlcore.model.cut import plan_model
from tlcore.results.evaluation import TRAIN_FILE_NAME, VALIDATION_FILE_NAME, load_evaluation
from tlcore.results.prediction import Predictor, load_predictor, save_predictor_spec
from tlcore.results.prediction import PredictorSpec as Spec
from tlcore.results.prediction_code import LABELS_FILE, MODEL_FILE, PIXELS_FILE, prediction_code
from tlcore.storage.images import ImageStore
from tlcore.storage.runs import RunSummary
from tlcore.training.run import RunResult, train_classifier

EXPORTED_FILES = (MODEL_FILE, LABELS_FILE, PIXELS_FILE)
CONFIG = RunConfig(
    model=ModelConfig(image_size=64),
    training=TrainingConfig(epochs=8, batch_size=8, learning_rate=0.01, patience=None),
)


@dataclass(frozen=True)
class Trained:
    """A finished run."""

    home: DataRoot
    run_dir: Path
    dataset: Dataset
    result: RunResult
    progress: RecordingProgress

    def predictor(self, resize_mode: ResizeMode = "crop") -> Predictor:
        """The run's predictor, also as it would be with another way to make pictures square."""
        if resize_mode == "crop":
            return load_predictor(self.run_dir, self.home)
        other_dir = self.run_dir.with_name(f"run-{resize_mode}")
        shutil.copytree(self.run_dir, other_dir, dirs_exist_ok=True)
        names = self.dataset.class_names
        save_predictor_spec(
            Spec(plan_model(CONFIG.model).prefix, resize_mode, names, tuple(range(len(names)))), other_dir
        )
        return load_predictor(other_dir, self.home)


@pytest.fixture(scope="module")
def trained(prepared_home: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    home = DataRoot(tmp_path_factory.mktemp("pipeline") / "home")
    shutil.copytree(prepared_home.path, home.path)
    # As if it had scans of 12 bits too.
    dataset, progress = replace(coloured_dataset(home), grey_range=(0.0, 4095.0)), RecordingProgress()
    run_dir = home.run_dir("run")
    return Trained(home, run_dir, dataset, train_classifier(dataset, CONFIG, run_dir, progress, home), progress)


@pytest.fixture(scope="module")
def exported(trained: Trained) -> Iterator[keras.Model]:
    """The model as somebody loads it who has only the files."""
    yield keras.saving.load_model(trained.run_dir / "model.keras", safe_mode=True)
    keras.utils.clear_session()


def test_a_run_says_what_it_reached(trained: Trained) -> None:
    summary = trained.result.summary
    assert summary is not None
    assert not trained.result.stopped
    assert (summary.test_correct, summary.test_total) == (6, 6)
    assert summary.epochs == 8
    assert 1 <= summary.best_epoch <= 8
    assert summary.validation_accuracy == 1.0
    validation = load_evaluation(trained.run_dir, VALIDATION_FILE_NAME)
    assert validation.images == tuple(item.image for item in trained.dataset.subset("validation"))
    assert (summary.validation_correct, summary.validation_total) == (validation.correct, validation.total) == (6, 6)
    train = load_evaluation(trained.run_dir, TRAIN_FILE_NAME)
    assert train.images == tuple(sorted(item.image for item in trained.dataset.subset("train")))
    assert train.accuracy == 1
    described = describe_model(CONFIG.model, 3)
    assert summary.trainable_parameters == described.trainable_parameters
    assert summary.frozen_parameters == described.frozen_parameters
    assert summary.seconds > 0


def test_a_run_with_augmentation_keeps_no_training_answers_whatever_is_cached(trained: Trained, tmp_path: Path) -> None:
    # The training pictures as they are were seen by the run before it, so that what it would need is there.
    turned = replace(CONFIG, augmentation=AugmentationConfig(rotation_range=20))
    turned = replace(turned, training=replace(turned.training, epochs=1))
    result = train_classifier(trained.dataset, turned, tmp_path / "run", RecordingProgress(), trained.home)
    assert result.summary is not None
    assert (tmp_path / "run" / VALIDATION_FILE_NAME).is_file()
    assert not (tmp_path / "run" / TRAIN_FILE_NAME).exists()


def test_a_run_goes_through_its_phases_in_order(trained: Trained) -> None:
    names = [name for name in trained.progress.phase_names if name != "loading"]
    assert names == [
        "preparing",
        "features",
        "validation_features",
        "training",
        "testing",
        "saving",
    ]
    assert [epoch for epoch, _ in trained.progress.curve if epoch == int(epoch)] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_run_leaves_its_files_and_nothing_half_written(trained: Trained) -> None:
    assert sorted(path.name for path in trained.run_dir.iterdir()) == [
        "README.txt",
        "evaluation.npz",
        "labels.txt",
        "model.keras",
        "pixels.py",
        "predictor.json",
        "suffix.tflite",
        "train.npz",
        "validation.npz",
    ]
    assert (trained.run_dir / "labels.txt").read_text("utf-8").splitlines() == list(COLOURS)


def test_the_predictor_is_right_on_pictures_that_it_never_saw(trained: Trained) -> None:
    predictor = trained.predictor()
    assert predictor.class_names == trained.dataset.class_names
    new = [picture(colour, 1000 + n, width=90, height=70) for colour in COLOURS for n in range(4)]
    probabilities = predictor.predict(new)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert [predictor.class_names[best] for best in probabilities.argmax(axis=1)] == [
        c for c in COLOURS for _ in range(4)
    ]


def test_the_evaluation_holds_what_the_predictor_answers(trained: Trained) -> None:
    evaluation = load_evaluation(trained.run_dir)
    store = ImageStore(trained.home)
    ours = trained.predictor().predict([pixels_of(store.read(image)) for image in evaluation.images])
    # The test went through features in half precision.
    np.testing.assert_allclose(ours, evaluation.probabilities, atol=5e-3)


def test_the_predictor_and_the_exported_model_give_the_same_answers(trained: Trained, exported: keras.Model) -> None:
    photos = [load_sample_image("china.jpg"), load_sample_image("flower.jpg"), picture("green", 99)]
    squares = np.stack([resize_image(photo, 64, "crop") for photo in photos])
    theirs = np.asarray(exported(squares.astype(np.float32), training=False))
    np.testing.assert_allclose(trained.predictor().predict(photos), theirs, atol=1e-3)


@pytest.fixture(scope="module")
def handed_out(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what leaves, as somebody unpacks it, and the program for each way to make pictures square."""
    folder = tmp_path_factory.mktemp("handed-out")
    for name in EXPORTED_FILES:
        shutil.copy(trained.run_dir / name, folder)
    for mode in RESIZE_MODES:
        grey_range = trained.dataset.grey_range if mode == "crop" else None
        program = prediction_code(replace(CONFIG.model, resize_mode=mode), grey_range)
        (folder / f"{mode}.py").write_text(program, "utf-8")
    return folder


def awkward_pictures(folder: Path) -> list[Path]:
    """Write a picture of each kind for which a plain `convert("RGB")` gives other pixels than the app."""
    colours = picture("green", 7, width=90, height=70)
    alpha = np.zeros((70, 90, 1), np.uint8)
    alpha[20:50, 30:60] = 255
    cutout = Image.fromarray(np.concatenate([colours, alpha], axis=2))
    ramp = np.linspace(0, 1, 70 * 90, dtype=np.float32).reshape(70, 90)
    white = Image.fromarray(np.concatenate([np.full_like(colours, 255), alpha], axis=2))
    pictures = {
        "cutout.png": cutout,
        "white-cutout.png": white,
        "cutout.webp": cutout,
        "grey-cutout.png": cutout.convert("LA"),
        "cutout.gif": cutout.quantize(32),
        "sixteen.png": Image.fromarray((ramp * 65535).astype(np.uint16)),
        "twelve.png": Image.fromarray((ramp * 4095).astype(np.uint16)),
        "print.ppm": Image.fromarray(colours),
        "twelve.tif": Image.fromarray((ramp * 4095).astype(np.uint16)),
        "float.tif": Image.fromarray(ramp),
        "below-zero.tif": Image.fromarray(ramp * 300 - 100),
        "print.jpg": Image.fromarray(colours).convert("CMYK"),
        "drawing.png": Image.fromarray(colours).convert("1"),
    }
    for name, image in pictures.items():
        image.save(folder / name)
    return [folder / name for name in pictures]


def answers_of_programs(folder: Path, questions: Sequence[tuple[str, Path]]) -> list[dict[str, float] | str]:
    """Run exported programs, each on a file that is put in the place of `picture.jpg`.

    One process, without anything of ours, loads the model once for all, because that takes seconds.

    Args:
        folder: From `handed_out`.
        questions: Programs' names and files.

    Returns:
        Probabilities by class as they were printed, or the name of the error.
    """
    (folder / "questions.json").write_text(json.dumps([(name, str(path)) for name, path in questions]), "utf-8")
    code = """
import functools, json, keras, shutil
keras.saving.load_model = functools.cache(keras.saving.load_model)
for program, path in json.load(open("questions.json", encoding="utf-8")):
    shutil.copy(path, "picture.jpg")
    print("---")
    try:
        exec(compile(open(f"{program}.py").read(), program, "exec"), {})
    except Exception as error:
        print(type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, float] | str] = []
    for shown in done.stdout.split("---\n")[1:]:
        found = re.findall(r"([\d.]+)% (\w+)", shown)
        answers.append({name: float(percent) / 100 for percent, name in found} or shown.strip())
    assert len(answers) == len(questions)
    return answers


def test_the_programs_that_we_hand_out_run_and_answer_as_the_app_does(
    trained: Trained, handed_out: Path, tmp_path: Path
) -> None:
    lying = Image.Exif()
    lying[0x0112] = 6
    photo = Image.fromarray(load_sample_image("flower.jpg")).resize((1600, 1000))
    photo.save(tmp_path / "photo.jpg", quality=90, exif=lying)
    questions: list[tuple[ResizeMode, Path]] = [(mode, tmp_path / "photo.jpg") for mode in RESIZE_MODES]
    questions += [("crop", path) for path in awkward_pictures(tmp_path)]
    answers = answers_of_programs(handed_out, questions)
    for (mode, path), theirs in zip(questions, answers, strict=True):
        assert isinstance(theirs, dict), (path.name, theirs)
        predictor = trained.predictor(mode)
        expected = predictor.predict([pixels_of(path.read_bytes(), predictor.grey_range)])[0]
        assert list(theirs.values()) == sorted(theirs.values(), reverse=True)
        for name, probability in zip(COLOURS, expected, strict=True):
            # Printed in tenths of a percent.
            assert theirs[name] == pytest.approx(probability, abs=0.002), (mode, path.name)


@pytest.mark.filterwarnings("ignore")
def test_the_program_answers_as_the_app_does_to_every_kind_of_picture(
    trained: Trained, handed_out: Path, shared_data: Path
) -> None:
    files = [path for path in sorted((shared_data / "messy").iterdir()) if path.suffix != ".csv"]
    files += sorted((shared_data / "cases").glob("41_*"))
    answers = answers_of_programs(handed_out, [("crop", path) for path in files])
    predictor = trained.predictor()
    differing = []
    for path, theirs in zip(files, answers, strict=True):
        try:
            pixels = pixels_of(path.read_bytes(), predictor.grey_range)
        except ImageError:
            if isinstance(theirs, dict):
                differing.append(f"{path.name}: {theirs}, refused by the app")
            continue
        ours = dict(zip(COLOURS, predictor.predict([pixels])[0].tolist(), strict=True))
        if not isinstance(theirs, dict) or max(abs(theirs[name] - ours[name]) for name in COLOURS) > 0.005:
            differing.append(f"{path.name}: {theirs} instead of {ours}")
    assert not differing, "\n".join(differing)


def test_the_readme_of_a_model_holds_the_program_and_how_to_feed_it(trained: Trained) -> None:
    text = (trained.run_dir / "README.txt").read_text("utf-8")
    assert prediction_code(CONFIG.model, (0.0, 4095.0)) in text
    assert ', 64, "crop", grey_range=(0.0, 4095.0))' in text
    assert "(pictures, 64, 64, 3)" in text
    assert "do not divide by 255" in text


def test_a_model_can_be_trained_from_its_first_block_and_on_training_pictures_only(trained: Trained) -> None:
    model = ModelConfig(image_size=32, first_trainable="stem", head=HeadConfig(dropout=0.0))
    few = replace(trained.dataset, items=tuple(replace(i, split="train") for i in trained.dataset.items[::3]))
    config = RunConfig(model=model, training=TrainingConfig(epochs=1, batch_size=4, learning_rate=1e-4))
    run_dir = trained.home.path / "runs" / "pixels"
    result = train_classifier(few, config, run_dir, RecordingProgress(), trained.home)
    assert result.summary is not None
    assert result.summary.trainable_parameters > 3_000_000
    assert (result.summary.test_correct, result.summary.test_total) == (0, 0)
    assert result.summary.validation_accuracy is None
    assert (result.summary.validation_correct, result.summary.validation_total) == (0, 0)
    assert read_document(to_json(result.summary), RunSummary) == result.summary
    assert load_evaluation(run_dir).total == 0
    assert not compiled_prefix_path(plan_model(model).prefix, trained.home).exists()

    photo = load_sample_image("flower.jpg")
    exported = keras.saving.load_model(run_dir / "model.keras")
    theirs = np.asarray(exported(resize_image(photo, 32, "crop")[None].astype(np.float32), training=False))
    np.testing.assert_allclose(load_predictor(run_dir, trained.home).predict([photo]), theirs, atol=1e-3)


@pytest.mark.parametrize("stop_after", [0, 1, 10, 40])
def test_a_run_that_is_stopped_early_leaves_no_model(trained: Trained, stop_after: int) -> None:
    config = replace(CONFIG, model=replace(CONFIG.model, resize_mode="stretch"))
    run_dir = trained.home.path / "runs" / "stopped"
    progress = RecordingProgress(stop_after)
    assert train_classifier(trained.dataset, config, run_dir, progress, trained.home) == RunResult(None, stopped=True)
    assert not run_dir.exists()


def test_a_class_without_training_pictures_is_said(trained: Trained) -> None:
    red = trained.dataset.class_named("red")
    assert red is not None
    items = tuple(replace(i, split="test") if i.class_id == red.id else i for i in trained.dataset.items)
    with pytest.raises(DatasetError, match="The class red has no training pictures"):
        train_classifier(
            replace(trained.dataset, items=items), CONFIG, trained.home.path, RecordingProgress(), trained.home
        )


def test_without_its_weights_a_run_does_not_start(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    config = replace(CONFIG, model=ModelConfig("vgg16", 64))
    progress = RecordingProgress()
    with pytest.raises(WeightsError, match="Download them on the Model page"):
        train_classifier(trained.dataset, config, tmp_path / "run", progress, trained.home)
    assert progress.phase_names == ["preparing"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["predictor.json", "suffix.tflite"])
def test_a_damaged_model_is_said(trained: Trained, tmp_path: Path, name: str) -> None:
    damaged_dir = tmp_path / "run"
    shutil.copytree(trained.run_dir, damaged_dir)
    data = bytearray((damaged_dir / name).read_bytes())
    data[len(data) // 2 :] = b""
    (damaged_dir / name).write_bytes(data)
    with pytest.raises(RunError, match="Train again"):
        load_predictor(damaged_dir, trained.home)
