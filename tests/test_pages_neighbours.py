"""Nearest training pictures and strangers on Predict and Understand, by real features of real files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.cached_features import cache_features
from tests.coloured_pictures import COLOURS, coloured_dataset, picture, png
from tests.lab import Lab
from tests.page_tests import check, texts
from tests.queued_run import create_run, leave_model
from tlcore.config import AugmentationConfig, ModelConfig, RunConfig
from tlcore.dataset import Dataset
from tlcore.errors import RunError
from tlcore.home import DataRoot
from tlcore.results.evaluation import VALIDATION_FILE_NAME, Evaluation, save_evaluation
from tlcore.results.neighbours import NOT_CACHED, FrozenPart
from tlcore.results.prediction import Predictor
from tlcore.storage.database import writing
from tlcore.storage.ensembles import EnsembleConfig, create_ensemble
from tlcore.storage.jobs import claim_job, end_job
from tlcore.storage.runs import RunSummary, write_summary

CONFIG = RunConfig(model=ModelConfig(image_size=64))
NAMES = tuple(sorted(COLOURS))
NEAREST = "training pictures that the model finds most alike"
STRANGER = "This looks like none of your classes"
SIGN = "like none of your classes"


def by_colour(images: Sequence[np.ndarray]) -> np.ndarray:
    """Answer by the mean colour, as quickly as a trained model and without one."""
    means = np.array([image.mean(axis=(0, 1)) for image in images])
    colours = np.array([COLOURS[name] for name in NAMES])
    nearest = np.linalg.norm(means[:, None] - colours, axis=2).argmin(axis=1)
    return np.float32(0.05) + np.float32(0.85) * np.eye(len(NAMES), dtype=np.float32)[nearest]


PREDICTOR = Predictor(NAMES, tuple(range(len(NAMES))), 64, by_colour)


@dataclass(frozen=True)
class Trained(Lab):
    """A project with pictures of three colours."""

    def add_run(self, dataset: Dataset, config: RunConfig = CONFIG) -> str:
        """Make a finished run that takes the first validation picture for another colour."""
        run_id = create_run(self.engine, self.project_id, self.version, config)
        job = claim_job(self.engine, "run")
        items, index = dataset.subset("validation"), dataset.class_index()
        y_true = np.array([index[item.class_id] for item in items], np.int64)
        probabilities = np.eye(len(NAMES), dtype=np.float32)[y_true]
        probabilities[0] = np.roll(probabilities[0], 1)
        answers = Evaluation(dataset.class_names, tuple(item.image for item in items), y_true, probabilities)
        for name in ("evaluation.npz", VALIDATION_FILE_NAME):
            save_evaluation(answers, self.home.run_dir(run_id), name)
        leave_model(self.home, run_id)
        total = len(items)
        with writing(self.engine) as connection:
            summary = RunSummary(1, 1, 0.9, total - 1, total, 10, 10, 1.0, total - 1, total)
            write_summary(connection, run_id, job.attempt, summary)
        end_job(self.engine, run_id, job.attempt, "finished")
        return run_id


@pytest.fixture
def colours(ready_home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setattr("tlcore.results.prediction.load_predictor", lambda _folder, _home=None: PREDICTOR)
    return coloured_dataset(ready_home, per_class=40)


@pytest.fixture
def project(ready_home: DataRoot, colours: Dataset) -> Trained:
    return Trained.make(ready_home, colours)


def open_nearest(app: AppTest) -> AppTest:
    """Tap what shows the nearest training pictures."""
    app.session_state["nearest"] = True
    return check(app.run())


def bring(app: AppTest, *pictures: np.ndarray) -> AppTest:
    """Drop pictures on Predict."""
    app.file_uploader[0].set_value([(f"{number}.png", png(one), "image/png") for number, one in enumerate(pictures)])
    return check(app.run())


def noise(number: int = 0) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)


def test_predict_shows_the_five_nearest_at_a_tap_and_reads_nothing_before(
    project: Trained, colours: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_features(colours, CONFIG, project.home)
    project.add_run(colours)
    with monkeypatch.context() as patched:
        patched.setattr("tlcore.results.neighbours.load_neighbours", lambda *_: pytest.fail("nothing was tapped"))
        app = project.open("predict")
        assert NEAREST not in texts(app)
    said = texts(open_nearest(app))
    assert f"The five {NEAREST}" in said
    assert "Their classes: 5 × " in said
    assert "Compared by the features of the frozen backbone; 100 %: the same pattern of features" in said


def test_a_brought_picture_has_its_nearest_below_the_answer(project: Trained, colours: Dataset) -> None:
    cache_features(colours, CONFIG, project.home)
    project.add_run(colours)
    app = open_nearest(bring(project.open("predict"), picture("red", 999)))
    assert "Their classes: 5 × **red**." in texts(app)
    assert not app.warning


def test_a_stranger_is_told_after_its_answer_and_marked_among_many(project: Trained, colours: Dataset) -> None:
    cache_features(colours, CONFIG, project.home)
    project.add_run(colours)
    app = bring(project.open("predict"), noise())
    assert STRANGER in app.warning[0].value
    assert "There are only" in app.warning[0].value, "of few validation pictures it is rough"
    assert "### The model" in next(one.value for one in app.markdown if one.value.startswith("###"))
    app = bring(project.open("predict"), picture("green", 999), noise(), picture("red", 999))
    assert not app.warning
    assert [SIGN in one.value for one in app.caption].count(True) == 1


@pytest.mark.parametrize("kept", [24, 0], ids=["from its file", "when it comes"])
def test_a_stranger_is_told_from_the_picture_itself_and_not_from_its_small_copy(
    project: Trained, colours: Dataset, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    cache_features(colours, CONFIG, project.home)
    project.add_run(colours)
    monkeypatch.setattr("pages.components.results.bring_pictures.MAX_KEPT", kept)
    app, seen, vector = project.open("predict"), [], FrozenPart.vector

    def look(self: FrozenPart, pixels: np.ndarray) -> np.ndarray:
        seen.append(pixels.shape)
        return vector(self, pixels)

    with monkeypatch.context() as patched:
        patched.setattr(FrozenPart, "vector", look)
        large = np.random.default_rng(kept).integers(0, 256, (600, 800, 3), np.uint8)
        app = bring(app, large)
    assert STRANGER in app.warning[0].value
    assert seen == [(384, 512, 3)], "as a data set would store it"


def test_the_why_of_a_mistake_shows_its_nearest(project: Trained, colours: Dataset) -> None:
    cache_features(colours, CONFIG, project.home)
    project.add_run(colours)
    app = project.open("understand")
    assert NEAREST not in texts(app)
    [button] = [one for one in app.button if one.label == "Why?"]
    check(button.click().run())
    assert f"The five {NEAREST}" in texts(app)
    assert f"Their classes: 5 × **{NAMES[0]}**." in texts(app)


def test_augmentation_and_a_hidden_layer_are_said(project: Trained, colours: Dataset) -> None:
    config = replace(
        CONFIG,
        augmentation=AugmentationConfig(horizontal_flip=True),
        model=replace(CONFIG.model, head=replace(CONFIG.model.head, dense_units=(16,))),
    )
    cache_features(colours, config, project.home, views=True)
    project.add_run(colours, config)
    said = texts(open_nearest(project.open("predict")))
    assert "with a change that the model learned from (augmentation)" in said
    assert "What the layers of the head learned is not in it." in said


def test_without_features_predict_says_what_to_do_and_answers_all_the_same(
    project: Trained, colours: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_features(colours, CONFIG, project.home)
    project.add_run(colours)
    shutil.rmtree(project.home.features_dir)
    looks = []

    def look(*arguments: object) -> None:
        looks.append(arguments)
        raise RunError(NOT_CACHED)

    with monkeypatch.context() as patched:
        patched.setattr("tlcore.results.neighbours.load_neighbours", look)
        app = bring(project.open("predict"), noise(0), noise(1), noise(2))
    assert len(looks) == 1, "once for all pictures, as looking takes a while"
    app = bring(app, noise())
    assert not app.warning
    said = texts(open_nearest(app))
    assert "The model" in said
    assert "Train simple heads on Understand" in said


def test_a_model_that_learned_everything_itself_says_so(project: Trained, colours: Dataset) -> None:
    whole = replace(CONFIG, model=replace(CONFIG.model, first_trainable="stem", weights="random"))
    project.add_run(colours, whole)
    app = bring(project.open("predict"), noise())
    assert "learned everything itself" in texts(open_nearest(app))


def test_a_group_is_told_by_the_first_member_that_has_features(project: Trained, colours: Dataset) -> None:
    cache_features(colours, CONFIG, project.home)
    without = replace(CONFIG, model=replace(CONFIG.model, first_trainable="stem", weights="random"))
    members = project.add_run(colours, without), project.add_run(colours)
    group = EnsembleConfig(members, (0.5, 0.5), "equal")
    group_id = create_ensemble(
        project.engine, project.project_id, "Both", project.version, group, test_correct=1, test_total=1
    )
    app = open_nearest(bring(project.open("predict", run=group_id), noise()))
    assert STRANGER in app.warning[0].value
    assert "of Run 2, one of the group" in texts(app)


def test_a_training_picture_that_was_deleted_since_is_said(project: Trained, colours: Dataset) -> None:
    cache_features(colours, CONFIG, project.home)
    project.add_run(colours)
    app = bring(project.open("predict"), picture("blue", 999))
    for place in (project.home.thumbnails_dir, project.home.images_dir):
        shutil.rmtree(place)
    assert [one.value for one in open_nearest(app).caption].count("This picture was deleted.") == 5
