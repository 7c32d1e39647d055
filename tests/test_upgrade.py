"""A data root of an earlier version opens with everything in it, on every page."""

from __future__ import annotations

import filelock
import numpy as np
import pytest
import sqlalchemy as sa

from pages.components.frame import STEPS
from tests.old_data_root import unpack_old_data_root
from tests.page_tests import OWNER, open_app, texts
from tlcore.backbones.weights.brought import BroughtWeights, find_brought
from tlcore.errors import StorageError
from tlcore.home import DataRoot
from tlcore.images.resizing import decode_image
from tlcore.intake.splitting import resplit
from tlcore.results.evaluation import VALIDATION_FILE_NAME, load_evaluation
from tlcore.results.prediction import load_predictor
from tlcore.simple_heads.prediction import load_simple_head_predictor
from tlcore.storage.database import open_database
from tlcore.storage.datasets import current_dataset, get_version, load_dataset
from tlcore.storage.ensembles import list_ensembles
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import ENDED_STATES, last_job, list_jobs, read_request, read_result
from tlcore.storage.projects import Project, read_projects
from tlcore.storage.requests import ImportSummary, SettingsRequest
from tlcore.storage.runs import list_runs, read_metrics, read_runs
from tlcore.storage.simple_heads import list_simple_heads, simple_head_dir
from tlcore.training.rate_search import RateSearch

NAMES = ("round", "cross", "square")


@pytest.fixture
def old(home: DataRoot) -> DataRoot:
    return unpack_old_data_root(home)


@pytest.fixture
def engine(old: DataRoot) -> sa.Engine:
    return open_database(old)


@pytest.fixture
def project(engine: sa.Engine) -> Project:
    return read_projects(engine, OWNER)[0][-1]


def test_the_projects_are_there_with_their_settings(engine: sa.Engine) -> None:
    newest, oldest = read_projects(engine, OWNER)[0]
    assert read_projects(engine, OWNER)[1] == []
    assert (newest.name, oldest.name) == ("Two shapes", "Drawn shapes")
    assert newest.config.augmentation.horizontal_flip
    assert oldest.config.training.fine_tuning is not None
    assert oldest.visited == ("data", "augment", "model", "train", "understand")
    assert [project.name for project in read_projects(engine, "s" * 24)[0]] == ["Not yours"]


def test_all_versions_of_the_pictures_are_there(old: DataRoot, engine: sa.Engine, project: Project) -> None:
    versions = [get_version(engine, project.id, number) for number in (1, 2, 3, 4)]
    assert [version.parent for version in versions] == [None, 1, 2, 2]
    assert [version.note for version in versions[1:]] == ["rename", "move 1 picture", "delete 1 picture"]
    sizes = [len(load_dataset(version.content, old).items) for version in versions]
    assert sizes == [36, 36, 36, 35]
    number, dataset = current_dataset(engine, project.id, old)
    assert number == 4
    assert set(dataset.class_names) == set(NAMES)
    images = ImageStore(old)
    for item in dataset.items:
        assert decode_image(images.read(item.image)).shape == (32, 32, 3)
        assert images.thumbnail(item.image)


def test_test_pictures_of_an_earlier_version_stay_when_the_pictures_are_split_again(
    old: DataRoot, engine: sa.Engine, project: Project
) -> None:
    _, dataset = current_dataset(engine, project.id, old)
    assert {item.given for item in dataset.items} == {None}
    again = resplit(dataset, validation=0.3, seed=5)
    assert again.subset("test") == dataset.subset("test")
    assert again.subset("validation") != dataset.subset("validation")


def test_the_runs_are_there_with_their_curves_and_results(old: DataRoot, engine: sa.Engine, project: Project) -> None:
    runs = list_runs(engine, project.id)
    assert read_runs(engine, project.id)[1] == []
    assert [run.number for run in runs] == [4, 3, 2, 1]
    assert [run.job.state for run in runs] == ["failed", "stopped", "finished", "finished"]
    assert [run.note for run in runs] == ["it has no weights", "", "", "about 60 %"]
    failed, stopped, in_phases, plain = runs
    assert "weights of ResNet50 are not on this computer" in failed.job.message
    assert in_phases.config.training.fine_tuning is not None
    assert plain.summary is not None
    assert plain.summary.epochs == 3
    for run in (stopped, in_phases, plain):
        epochs = {point.epoch for point in read_metrics(engine, run.id) if point.name == "val_loss"}
        assert run.summary is not None
        assert epochs >= set(range(1, run.summary.epochs + 1))
        for name in ("evaluation.npz", VALIDATION_FILE_NAME):
            assert load_evaluation(old.run_dir(run.id), name).total > 0
        evaluation = load_evaluation(old.run_dir(run.id))
        assert (evaluation.correct, evaluation.total) == (run.summary.test_correct, run.summary.test_total)
        assert (old.run_dir(run.id) / "model.keras").is_file()


def test_the_models_answer_as_they_did(old: DataRoot, engine: sa.Engine, project: Project) -> None:
    images = ImageStore(old)
    folders = [old.run_dir(run.id) for run in list_runs(engine, project.id) if run.has_model]
    predictors = [load_predictor(folder, old) for folder in folders]
    for head in list_simple_heads(engine, project.id):
        folders.append(simple_head_dir(head.job_id, head.result.kind, old))
        predictors.append(load_simple_head_predictor(folders[-1], old))
    assert len(folders) == 6
    for folder, predictor in zip(folders, predictors, strict=True):
        evaluation = load_evaluation(folder)
        answers = predictor.predict([decode_image(images.read(key)) for key in evaluation.images])
        np.testing.assert_allclose(answers, evaluation.probabilities, atol=2e-3)


def test_groups_heads_searches_measures_and_imports_are_there(
    old: DataRoot, engine: sa.Engine, project: Project
) -> None:
    (group,) = list_ensembles(engine, project.id)
    assert group.name == "Both"
    assert set(group.config.run_ids) < {run.id for run in list_runs(engine, project.id)}
    kinds = {head.result.kind for head in list_simple_heads(engine, project.id)}
    assert kinds == {"logistic_regression", "nearest_neighbours", "linear_svm"}
    jobs = list_jobs(engine, states=ENDED_STATES, project_id=project.id)
    assert len(jobs) == 8
    brought, search, measure = (last_job(engine, project.id, kind) for kind in ("import", "search", "measure"))
    assert brought is not None
    summary = read_result(engine, brought.id, ImportSummary)
    assert summary is not None
    assert (summary.added, len(summary.refused)) == (36, 1)
    for job in (search, measure):
        assert job is not None
        assert read_request(engine, job.id, SettingsRequest).config.model.backbone == "small_cnn-4-8"
    assert search is not None
    assert read_result(engine, search.id, RateSearch) is not None
    assert find_brought("b" * 64, old) == BroughtWeights("b" * 64, "mobilenet_v2", "my weights.h5")


def test_home_lists_the_projects_with_their_results(old: DataRoot) -> None:
    page = texts(open_app())
    assert "**Drawn shapes**" in page
    assert "35 pictures in 3 classes" in page
    assert "Run 3: " in page
    assert "Not yours" not in page


@pytest.mark.parametrize("step", [spec.step for spec in STEPS])
def test_every_page_opens(engine: sa.Engine, project: Project, step: str) -> None:
    models = [None, *(run.id for run in list_runs(engine, project.id) if run.has_model)]
    models += [group.id for group in list_ensembles(engine, project.id)]
    models += [list_simple_heads(engine, project.id)[0].id]
    for model in models if step in ("train", "understand", "predict", "export") else [None]:
        page = open_app(step, project=project.id, **({"run": model} if model else {}))
        assert not page.error, [error.value for error in page.error]
        assert page.text_input(key="project-name").value == "Drawn shapes"


def test_the_failed_run_says_why(engine: sa.Engine, project: Project) -> None:
    page = open_app("train", project=project.id, run=list_runs(engine, project.id)[0].id)
    assert "weights of ResNet50 are not on this computer" in texts(page)


def test_while_an_earlier_version_works_nothing_is_changed(old: DataRoot) -> None:
    with filelock.FileLock(old.runner_lock_path), pytest.raises(StorageError, match="earlier Transfer Lab still works"):
        open_database(old)
    assert not (old.path / "lab.format-1.sqlite").exists()
