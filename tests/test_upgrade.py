"""A data root of an earlier version opens with everything that was in it."""

from __future__ import annotations

import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import filelock
import pytest
import sqlalchemy as sa

from pages.components.frame import STEPS
from tests.page_tests import OWNER, open_app, texts
from tlcore.errors import StorageError
from tlcore.home import DataRoot
from tlcore.results.evaluation import load_evaluation
from tlcore.results.prediction import load_predictor
from tlcore.storage.database import SCHEMA_VERSION, open_database
from tlcore.storage.datasets import current_dataset, get_version, load_dataset
from tlcore.storage.ensembles import list_ensembles
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import last_job, read_request, read_result
from tlcore.storage.projects import Project, list_projects
from tlcore.storage.requests import ImportSummary, SettingsRequest
from tlcore.storage.runs import list_runs, read_metrics
from tlcore.storage.simple_heads import list_simple_heads, simple_head_dir
from tlcore.training.rate_search import RateSearch

FIXTURE = Path(__file__).parent / "fixtures" / "data_root_1.zip"
"""Made by `fixtures/make_data_root_1.py` with the version that had the first format of the tables."""


@pytest.fixture
def old(home: DataRoot) -> DataRoot:
    with zipfile.ZipFile(FIXTURE) as packed:
        packed.extractall(home.path)
    return home


def squares(engine: sa.Engine) -> Project:
    return next(project for project in list_projects(engine, OWNER) if project.name.startswith("Squares"))


def test_the_fixture_is_of_the_first_format(old: DataRoot) -> None:
    with closing(sqlite3.connect(old.database_path)) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(1,)]
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert {"imports", "measures", "rate_searches", "probes"} <= tables


def test_everything_is_there(old: DataRoot) -> None:
    engine = open_database(old)
    assert [project.name for project in list_projects(engine, OWNER)] == ["Empty", "Squares <b>& more</b>"]
    assert [project.name for project in list_projects(engine, "somebody-else")] == ["Not mine"]
    project = squares(engine)
    assert (project.version, project.config.model.backbone) == (2, "small_cnn-4")
    assert project.visited == ("train",)
    number, dataset = current_dataset(engine, project.id, old)
    assert (number, dataset.class_names, len(dataset.items)) == (2, ("leaf", "red"), 20)
    assert load_dataset(get_version(engine, project.id, 1).content, old).class_names == ("green", "red")
    assert all(ImageStore(old).read(item.image) for item in dataset.items)

    runs = list_runs(engine, project.id)
    assert [(run.number, run.job.state, run.has_model) for run in runs] == [
        (5, "stopped", False),
        (4, "finished", True),
        (3, "finished", True),
        (2, "finished", True),
        (1, "finished", True),
    ]
    assert runs[3].note == "I expect 90 %"
    assert runs[1].config.training.fine_tuning is not None
    assert {point.name for point in read_metrics(engine, runs[4].id)} >= {"loss", "val_accuracy"}
    assert load_evaluation(old.run_dir(runs[4].id)).total == runs[4].summary.test_total  # type: ignore[union-attr]
    answers = load_predictor(old.run_dir(runs[4].id), old)
    assert answers.class_names == ("leaf", "red")

    (group,) = list_ensembles(engine, project.id)
    assert (group.name, group.config.run_ids) == ("Both", (runs[4].id, runs[3].id))
    heads = list_simple_heads(engine, project.id)
    assert len(heads) == 3
    assert all(load_evaluation(simple_head_dir(head.job_id, head.result.kind, old)).total for head in heads)
    brought = last_job(engine, project.id, "import")
    assert brought is not None
    summary = read_result(engine, brought.id, ImportSummary)
    assert summary is not None
    assert (summary.added, [file.name for file in summary.refused]) == (20, ["red/broken.png"])
    search = last_job(engine, project.id, "search")
    assert search is not None
    assert read_request(engine, search.id, SettingsRequest).config == project.config
    assert read_result(engine, search.id, RateSearch) is not None


@pytest.mark.parametrize("step", [None, *(spec.step for spec in STEPS)], ids=str)
def test_every_page_opens_on_it(old: DataRoot, step: str | None) -> None:
    project = squares(open_database(old))
    page = open_app(step) if step is None else open_app(step, project=project.id)
    assert not page.exception
    assert not page.error
    assert step is not None or "Squares" in texts(page)


def test_the_database_before_the_upgrade_is_kept_and_the_upgrade_is_taken_once(old: DataRoot) -> None:
    before = old.database_path.read_bytes()
    open_database(old).dispose()
    open_database(old).dispose()
    with closing(sqlite3.connect(old.path / "lab.format-1.sqlite")) as copy:
        assert copy.execute("SELECT count(*) FROM probes").fetchone() == (1,)
    with closing(sqlite3.connect(old.database_path)) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(SCHEMA_VERSION,)]
    assert old.database_path.read_bytes() != before


def test_an_upgrade_that_is_cut_short_is_taken_again(old: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    from tlcore.storage import migrations

    def power_cut(connection: sa.Connection, home: DataRoot) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, power_cut))
    with pytest.raises(KeyboardInterrupt):
        open_database(old)
    monkeypatch.undo()
    monkeypatch.setenv("TRANSFER_LAB_HOME", str(old.path))
    engine = open_database(old)
    assert len(list_simple_heads(engine, squares(engine).id)) == 3


def test_while_an_earlier_version_works_nothing_is_changed(old: DataRoot) -> None:
    with filelock.FileLock(old.runner_lock_path), pytest.raises(StorageError, match="earlier Transfer Lab still works"):
        open_database(old)
    assert not (old.path / "lab.format-1.sqlite").exists()
