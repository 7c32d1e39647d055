"""A whole run on pictures made here: the features, the training, what it leaves, and that all of it agrees."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from tests.coloured_pictures import COLOURS, RecordingProgress, coloured_dataset, picture
from tlcore.config import RESIZE_MODES, HeadConfig, ModelConfig, ResizeMode, RunConfig, TrainingConfig
from tlcore.dataset import Dataset
from tlcore.documents import read_document, to_json
from tlcore.errors import DatasetError, RunError, WeightsError
from tlcore.features.engines import compiled_prefix_path
from tlcore.home import DataRoot
from tlcore.images.resizing import resize_image
from tlcore.intake.decoding import pixels_of
from tlcore.model.architecture import describe_model
from tlcore.model.cut import plan_model
from tlcore.results.evaluation import load_evaluation
from tlcore.results.prediction import Predictor, load_predictor, save_predictor_spec
from tlcore.results.prediction import PredictorSpec as Spec
from tlcore.results.prediction_code import prediction_code
from tlcore.storage.images import ImageStore
from tlcore.storage.runs import RunSummary
from tlcore.training.run import RunResult, train_classifier

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
    dataset, progress = coloured_dataset(home), RecordingProgress()
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
    described = describe_model(CONFIG.model, 3)
    assert summary.trainable_parameters == described.trainable_parameters
    assert summary.frozen_parameters == described.frozen_parameters
    assert summary.seconds > 0


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
        "predictor.json",
        "suffix.tflite",
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


def test_the_programs_that_we_hand_out_run_and_answer_as_the_app_does(trained: Trained, tmp_path: Path) -> None:
    for name in ("model.keras", "labels.txt"):
        shutil.copy(trained.run_dir / name, tmp_path)
    lying = Image.Exif()
    lying[0x0112] = 6
    photo = Image.fromarray(load_sample_image("flower.jpg")).resize((1600, 1000))
    photo.save(tmp_path / "picture.jpg", quality=90, exif=lying)
    # One process that loads the model once for all three, because that takes seconds.
    for mode in RESIZE_MODES:
        program = prediction_code(replace(CONFIG.model, resize_mode=mode))
        (tmp_path / f"{mode}.py").write_text(program, "utf-8")
    names = [f"{mode}.py" for mode in RESIZE_MODES]
    once = "import functools, keras; keras.saving.load_model = functools.cache(keras.saving.load_model)"
    code = f"{once}\nfor name in {names!r}:\n    print(name)\n    exec(compile(open(name).read(), name, 'exec'), {{}})"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout

    pixels = pixels_of((tmp_path / "picture.jpg").read_bytes())
    answers = re.split(r"^\w+\.py$", shown, flags=re.MULTILINE)[1:]
    assert len(answers) == len(RESIZE_MODES)
    for mode, answer in zip(RESIZE_MODES, answers, strict=True):
        theirs = {name: float(percent) / 100 for percent, name in re.findall(r"([\d.]+)% (\w+)", answer)}
        expected = trained.predictor(mode).predict([pixels])[0]
        assert list(theirs.values()) == sorted(theirs.values(), reverse=True)
        for name, probability in zip(COLOURS, expected, strict=True):
            assert theirs[name] == pytest.approx(probability, abs=0.002), mode  # printed in tenths of a percent


def test_the_readme_of_a_model_holds_the_program_and_how_to_feed_it(trained: Trained) -> None:
    text = (trained.run_dir / "README.txt").read_text("utf-8")
    assert prediction_code(CONFIG.model) in text
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
