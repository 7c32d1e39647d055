"""Errors that nobody foresaw, a data root that has lost its database, and what is made again when it is damaged."""

from __future__ import annotations

import logging
import re
import shutil
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from tests.coloured_pictures import coloured_dataset
from tests.lab import Lab
from tests.old_data_root import unpack_old_data_root
from tests.page_tests import OWNER, open_app, texts
from tlcore.config import RunConfig
from tlcore.errors import FrozenPartError, ImageError, StorageError
from tlcore.home import DataRoot
from tlcore.model.cut import PIXELS, plan_model
from tlcore.storage import runs
from tlcore.storage.database import open_database
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import claim_job, end_job, last_job, read_request
from tlcore.storage.projects import create_project, read_projects
from tlcore.storage.requests import SettingsRequest


@pytest.fixture
def lab(home: DataRoot, no_runner: None) -> Lab:
    return Lab.make(home, coloured_dataset(home))


def failing_page() -> None:
    from pages.components.errors import show_unforeseen

    show_unforeseen(KeyError("/home/teacher/exams"))


def test_an_unforeseen_error_is_said_with_a_number_under_which_the_log_has_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        page = AppTest.from_function(failing_page).run()
    (said,) = page.error
    found = re.search(r"the number \*\*(\d{6})\*\*", said.value)
    assert found is not None
    (record,) = [record for record in caplog.records if found[1] in record.getMessage()]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)
    assert "teacher" not in said.value


def test_a_project_that_fails_as_nobody_foresaw_closes_no_other(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    create_project(lab.engine, OWNER, "Birds")
    list_runs = runs.list_runs

    def fail(engine: sa.Engine, project_id: str) -> list[runs.Run]:
        if project_id == lab.project_id:
            raise KeyError("nobody foresaw this")
        return list_runs(engine, project_id)

    monkeypatch.setattr("pages.components.project_words.list_runs", fail)
    home = open_app()
    assert "did not expect" in home.error[0].value
    assert {"**Pets**", "**Birds**"} <= {line.value for line in home.markdown}
    assert "Not trained yet" in texts(home)
    assert next(button for button in home.button if button.key == "try")


# What can be made again


def thumbnail_path(home: DataRoot, key: str) -> Path:
    return home.thumbnails_dir / key[:2] / key


@pytest.mark.parametrize("kept", [None, 0, 1, 200])
def test_a_damaged_thumbnail_is_made_again(lab: Lab, kept: int | None) -> None:
    store, item = ImageStore(lab.home), coloured_dataset(lab.home).items[0]
    whole, path = store.thumbnail(item.image), thumbnail_path(lab.home, item.image)
    if kept is None:
        path.unlink()
    else:
        path.write_bytes(whole[:kept])
    assert store.thumbnail(item.image) == whole
    assert path.read_bytes() == whole


def test_the_thumbnail_of_a_damaged_picture_is_said_to_be_missing(lab: Lab) -> None:
    store, item = ImageStore(lab.home), coloured_dataset(lab.home).items[0]
    thumbnail_path(lab.home, item.image).unlink()
    store.path(item.image).write_bytes(b"damaged")
    with pytest.raises(ImageError):
        store.thumbnail(item.image)
    assert not lab.open("data").exception


# A data root that has lost its database


@pytest.mark.parametrize("loss", ["deleted", "emptied"])
def test_a_lost_database_is_said_instead_of_showing_an_empty_home(lab: Lab, loss: str) -> None:
    lab.engine.dispose()
    for path in lab.home.path.glob("lab.sqlite*"):
        path.unlink()
    if loss == "emptied":
        lab.home.database_path.touch()
    before = sorted(path.relative_to(lab.home.path) for path in lab.home.path.rglob("*") if path.suffix != ".lock")
    with pytest.raises(StorageError, match="missing from the data folder, or empty"):
        open_database(lab.home)
    home = open_app()
    assert "Put the file back" in home.error[0].value
    assert not home.button
    after = sorted(path.relative_to(lab.home.path) for path in lab.home.path.rglob("*") if path.suffix != ".lock")
    assert after == before


def test_with_the_database_back_all_is_there(lab: Lab, tmp_path: Path) -> None:
    lab.engine.dispose()
    with sqlite3.connect(lab.home.database_path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.move(lab.home.database_path, tmp_path / "aside")
    assert open_app().error
    shutil.move(tmp_path / "aside", lab.home.database_path)
    assert "Pets" in texts(open_app())


def test_a_new_data_root_with_caches_alone_is_begun(home: DataRoot) -> None:
    home.compiled_dir.mkdir(parents=True)
    (home.compiled_dir / "a.tflite").write_bytes(b"compiled")
    assert read_projects(open_database(home), "local") == ([], [])
    assert not open_app().error


def test_a_damaged_database_is_said(lab: Lab) -> None:
    lab.engine.dispose()
    for path in lab.home.path.glob("lab.sqlite-*"):
        path.unlink()
    size = lab.home.database_path.stat().st_size
    with lab.home.database_path.open("r+b") as file:
        file.seek(1024)
        file.write(b"\xff" * (size - 1024))
    for page in (open_app(), lab.open("data")):
        assert page.error
        assert "database" in page.error[0].value


# The frozen part of a model


def test_a_cut_frozen_part_is_told_from_a_cut_model(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlcore.jobs.control.start_module", lambda *_args, **_kwargs: None)
    engine = open_database(unpack_old_data_root(home))
    project = read_projects(engine, OWNER)[0][-1]
    models = [run for run in runs.list_runs(engine, project.id) if run.has_model]
    for path in home.compiled_dir.glob("*.tflite"):
        path.write_bytes(path.read_bytes()[:100])
    told = {run.number: texts(open_app("predict", project=project.id, run=run.id)) for run in models}
    frozen = {run.number for run in models if plan_model(run.config.model).prefix.cut != PIXELS}
    assert {number for number, text in told.items() if "is being made again" in text} == frozen != set()
    cut = next(run for run in models if run.number in frozen)
    (home.run_dir(cut.id) / "predictor.json").write_bytes(b"cut")
    page = open_app("predict", project=project.id, run=cut.id)
    assert "Train again to make a new one" in page.error[0].value


def test_predict_makes_a_damaged_frozen_part_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.finished_runs import make_finished

    finished = make_finished(lab.home, "local")
    run_id = finished.add_run()

    def damaged(_folder: Path, _home: DataRoot | None = None) -> None:
        raise FrozenPartError("The compiled frozen part of this model is missing or damaged on this computer.")

    monkeypatch.setattr("tlcore.results.prediction.load_predictor", damaged)
    with monkeypatch.context() as patched:
        patched.setattr("pages.components.results.frozen_part.is_full", lambda _home: True)
        page = open_app("predict", project=finished.project_id, run=run_id)
        assert not page.error
        assert "as soon as there is room: the disk is full" in texts(page)
    assert last_job(finished.engine, finished.project_id, "measure") is None
    page = open_app("predict", project=finished.project_id, run=run_id)
    job = last_job(finished.engine, finished.project_id, "measure")
    assert job is not None
    assert read_request(finished.engine, job.id, SettingsRequest) == SettingsRequest(finished.version, RunConfig())
    assert "It is being made again" in texts(page)
    claimed = claim_job(finished.engine, "measure")
    assert claimed is not None
    end_job(finished.engine, job.id, claimed.attempt, "failed", "The disk is full.")
    page = page.run()
    assert not page.exception
    assert "The disk is full" in page.error[0].value  # not made over and over
    page.button(key="make-frozen-part").click().run()
    again = last_job(finished.engine, finished.project_id, "measure")
    assert again is not None
    assert (again.id != job.id, again.state) == (True, "queued")
