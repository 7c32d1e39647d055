"""How models answer: temperature and threshold, kept for each, gone with the model, in backups."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.coloured_pictures import RecordingProgress
from tests.old_data_root import unpack_old_data_root
from tests.page_tests import OWNER
from tlcore.backup import restore_backup, save_backup
from tlcore.errors import NotFoundError
from tlcore.home import DataRoot
from tlcore.storage.database import model_settings, open_database, read_rows
from tlcore.storage.deletion import delete_project
from tlcore.storage.ensembles import delete_ensemble, list_ensembles
from tlcore.storage.model_settings import ModelSettings, change_model_settings, read_model_settings
from tlcore.storage.projects import create_project, read_projects


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


def test_settings_are_kept_for_each_model(engine: sa.Engine) -> None:
    project, other = (create_project(engine, "ann", name) for name in ("Cats", "Dogs"))
    assert read_model_settings(engine, project.id, "a") == ModelSettings(1.0, 0.0)
    change_model_settings(engine, project.id, "a", lambda before: replace(before, temperature=1.7))
    after = change_model_settings(engine, project.id, "a", lambda before: replace(before, threshold=0.6))
    assert after == read_model_settings(engine, project.id, "a") == ModelSettings(1.7, 0.6), "each keeps the other's"
    assert read_model_settings(engine, project.id, "b") == read_model_settings(engine, other.id, "a") == ModelSettings()


@pytest.mark.parametrize("values", [{"temperature": 0}, {"temperature": float("nan")}, {"threshold": 1.01}])
def test_settings_that_make_no_sense_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Received"):
        ModelSettings(**values)


def test_settings_go_with_their_project(engine: sa.Engine, home: DataRoot) -> None:
    project = create_project(engine, "ann", "Cats")
    change_model_settings(engine, project.id, "a", lambda _: ModelSettings(2, 0.5))
    delete_project(engine, project.id, home)
    assert read_rows(engine, sa.select(model_settings)) == []
    with pytest.raises(NotFoundError, match="deleted"):
        change_model_settings(engine, project.id, "a", lambda before: before)


def test_models_of_earlier_versions_answer_as_before_and_settings_go_with_a_group(home: DataRoot) -> None:
    engine = open_database(unpack_old_data_root(home))
    project = read_projects(engine, OWNER)[0][1]
    (group,) = list_ensembles(engine, project.id)
    assert read_model_settings(engine, project.id, group.id) == ModelSettings()
    change_model_settings(engine, project.id, group.id, lambda _: ModelSettings(2, 0.5))
    delete_ensemble(engine, group.id)
    assert read_rows(engine, sa.select(model_settings)) == []


def test_a_backup_brings_them_back(engine: sa.Engine, home: DataRoot, tmp_path: Path) -> None:
    project = create_project(engine, "ann", "Cats")
    change_model_settings(engine, project.id, "a", lambda _: ModelSettings(2, 0.5))
    save_backup(tmp_path / "saved.zip", home, RecordingProgress())
    other = DataRoot(tmp_path / "other")
    restore_backup(tmp_path / "saved.zip", other, RecordingProgress())
    assert read_model_settings(open_database(other), project.id, "a") == ModelSettings(2, 0.5)
