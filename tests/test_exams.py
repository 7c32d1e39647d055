"""Exams: whose test result was asked for, kept, and counted among those on the same pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.coloured_pictures import RecordingProgress
from tests.old_data_root import unpack_old_data_root
from tests.page_tests import OWNER
from tlcore.backup import restore_backup, save_backup
from tlcore.errors import NotFoundError
from tlcore.home import DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.deletion import delete_project
from tlcore.storage.ensembles import delete_ensemble, list_ensembles
from tlcore.storage.exams import exams_on_same_pictures, list_exams, open_exam
from tlcore.storage.projects import create_project, read_projects
from tlcore.storage.runs import list_runs
from tlcore.storage.simple_heads import list_simple_heads


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


def models(engine: sa.Engine, project_id: str) -> list[str]:
    return [exam.model_id for exam in list_exams(engine, project_id)]


def test_an_exam_is_opened_once_and_for_one_project(engine: sa.Engine) -> None:
    project, other = (create_project(engine, "ann", name) for name in ("Cats", "Dogs"))
    for model_id in ("b", "a", "b"):
        open_exam(engine, project.id, model_id, 3)
    open_exam(engine, other.id, "c", 1)
    assert models(engine, project.id) == ["b", "a"]
    assert {exam.version for exam in list_exams(engine, project.id)} == {3}
    first, second = list_exams(engine, project.id)
    assert first.opened <= second.opened


def test_exams_go_with_their_project(engine: sa.Engine, home: DataRoot) -> None:
    project = create_project(engine, "ann", "Cats")
    open_exam(engine, project.id, "a", 1)
    delete_project(engine, project.id, home)
    assert list_exams(engine, project.id) == []
    with pytest.raises(NotFoundError, match="deleted"):
        open_exam(engine, project.id, "a", 1)


def test_exams_on_the_same_test_pictures_count_whatever_their_version(engine: sa.Engine) -> None:
    project = create_project(engine, "ann", "Cats")
    pictures = {1: frozenset("xyz"), 2: frozenset("xyz"), 3: frozenset("xy"), 4: None, 5: None}
    for version in pictures:
        open_exam(engine, project.id, f"of {version}", version)
    opened = list_exams(engine, project.id)

    def counted(version: int) -> list[str]:
        return [exam.model_id for exam in exams_on_same_pictures(opened, version, pictures.__getitem__)]

    assert counted(1) == counted(2) == ["of 1", "of 2"]
    assert counted(3) == ["of 3"]
    assert counted(4) == ["of 4"], "which pictures other versions had cannot be told"


def test_models_of_earlier_versions_count_as_opened(home: DataRoot) -> None:
    engine = open_database(unpack_old_data_root(home))
    newest, project = read_projects(engine, OWNER)[0]
    runs = [run.id for run in list_runs(engine, project.id) if run.has_model]
    heads = [head.id for head in list_simple_heads(engine, project.id)]
    (group,) = list_ensembles(engine, project.id)
    assert (len(runs), len(heads)) == (3, 3)
    assert sorted(models(engine, project.id)) == sorted([*runs, *heads, group.id])
    assert models(engine, project.id)[:3] == runs[::-1], "in the order in which they were shown"
    assert {exam.version for exam in list_exams(engine, project.id)} == {project.version}
    assert models(engine, newest.id) == []
    assert (group.validation_correct, group.validation_total) == (None, None)
    delete_ensemble(engine, group.id)
    assert group.id in models(engine, project.id), "nobody forgets what was seen"


def test_a_backup_brings_them_back(engine: sa.Engine, home: DataRoot, tmp_path: Path) -> None:
    project = create_project(engine, "ann", "Cats")
    open_exam(engine, project.id, "a", 1)
    save_backup(tmp_path / "saved.zip", home, RecordingProgress())
    other = DataRoot(tmp_path / "other")
    restore_backup(tmp_path / "saved.zip", other, RecordingProgress())
    assert list_exams(open_database(other), project.id) == list_exams(engine, project.id)
