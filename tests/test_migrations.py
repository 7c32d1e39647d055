"""Databases of older versions are lifted, one numbered step after the other, and nothing of them gets lost."""

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from pages.components.frame import STEPS
from tests.old_data_root import unpack_old_data_root
from tests.page_tests import OWNER, open_app
from tlcore.errors import StorageError
from tlcore.home import DataRoot
from tlcore.storage import migrations
from tlcore.storage.database import open_database
from tlcore.storage.deletion import delete_project
from tlcore.storage.projects import create_project, read_projects


def add_colour(connection: sa.Connection, _home: DataRoot) -> None:
    """A step that adds a column and fills it."""
    connection.execute(sa.text("ALTER TABLE projects ADD COLUMN colour VARCHAR"))
    connection.execute(sa.text("UPDATE projects SET colour = 'blue'"))


def make_owners(connection: sa.Connection, home: DataRoot) -> None:
    """A step that makes a table anew, to which others point, and moves a folder."""
    connection.execute(sa.text("CREATE TABLE new_projects AS SELECT * FROM projects"))
    connection.execute(sa.text("DROP TABLE projects"))
    connection.execute(sa.text("ALTER TABLE new_projects RENAME TO projects"))
    connection.execute(sa.text("CREATE UNIQUE INDEX project_ids ON projects (id)"))
    if (home.path / "old").is_dir():
        (home.path / "old").rename(home.path / "new")


@pytest.fixture
def old(home: DataRoot) -> Iterator[DataRoot]:
    """A data root of today's format, with a project that has a job."""
    engine = open_database(home)
    project = create_project(engine, "ann", "Cats")
    with engine.begin() as connection:
        job = "INSERT INTO jobs (id, kind, project_id, state, phase, done, total, message, attempt, created)"
        connection.execute(sa.text(f"{job} VALUES ('j', 'run', '{project.id}', 'finished', '', 0, 0, '', 1, 1)"))
    (home.path / "old").mkdir()
    return home


def newest_format() -> int:
    return len(migrations.MIGRATIONS) + 1


def copy_path(home: DataRoot, number: int) -> Path:
    return home.path / f"lab.format-{number}.sqlite"


def lift_with(patch: pytest.MonkeyPatch, *steps: migrations.Migration) -> None:
    patch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, *steps))


def all_rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_an_older_database_is_lifted_step_by_step(old: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    lift_with(monkeypatch, add_colour, make_owners)
    open_database(old)
    assert all_rows(old.database_path, "SELECT name, colour FROM projects") == [("Cats", "blue")]
    assert all_rows(old.database_path, "SELECT id FROM jobs") == [("j",)], "a table that is made anew cascades to none"
    assert all_rows(old.database_path, "SELECT version FROM schema_version") == [(newest_format(),)]
    assert (old.path / "new").is_dir()


def test_a_copy_of_the_older_database_is_kept(old: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    before = newest_format()
    lift_with(monkeypatch, add_colour)
    open_database(old)
    assert all_rows(copy_path(old, before), "SELECT version FROM schema_version") == [(before,)]
    copy_path(old, 0).write_bytes(b"of long ago")
    os.utime(copy_path(old, 0), (0, 0))
    copy_path(old, before + 1).write_bytes(b"half of a cop")
    lift_with(monkeypatch, make_owners)
    open_database(old)
    assert len(list(old.path.glob("lab.format-*.sqlite"))) == migrations.KEPT_COPIES
    kept = all_rows(copy_path(old, before + 1), "SELECT v.version, colour FROM schema_version v, projects")
    assert kept == [(before + 1, "blue")], "a copy that was cut short is made anew"


def test_an_interrupted_migration_is_repeated(old: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    before = newest_format()

    def break_off(connection: sa.Connection, home: DataRoot) -> None:
        make_owners(connection, home)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        lift_with(patch, add_colour, break_off)
        with pytest.raises(KeyboardInterrupt):
            open_database(old)
    assert all_rows(old.database_path, "SELECT version FROM schema_version") == [(before + 1,)]
    lift_with(monkeypatch, add_colour, make_owners)
    open_database(old)
    assert all_rows(old.database_path, "SELECT name, colour FROM projects") == [("Cats", "blue")]
    assert (old.path / "new").is_dir()


def test_a_migration_that_would_lose_a_project_of_a_run_changes_nothing(
    old: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    lift_with(monkeypatch, lambda connection, _home: connection.execute(sa.text("DELETE FROM projects")) and None)
    with pytest.raises(StorageError, match="point to nothing"):
        open_database(old)
    assert all_rows(old.database_path, "SELECT name FROM projects") == [("Cats",)]


def test_many_that_open_an_older_database_lift_it_once(old: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    lift_with(monkeypatch, add_colour)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_database, [old] * 8))
    assert all_rows(old.database_path, "SELECT name, colour FROM projects") == [("Cats", "blue")]


@pytest.mark.parametrize("table", ["imports", "measures", "rate_searches", "probes", "run_notes", "ensembles"])
def test_an_early_database_without_some_tables_is_lifted(home: DataRoot, table: str) -> None:
    unpack_old_data_root(home)
    with sqlite3.connect(home.database_path) as connection:
        connection.execute(f"DROP TABLE {table}")
    assert len(read_projects(open_database(home), OWNER)[0]) == 2


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("imports", "request"),
        ("imports", "report"),
        ("measures", "config"),
        ("rate_searches", "config"),
        ("rate_searches", "result"),
        ("probes", "model"),
        ("probes", "results"),
    ],
)
def test_a_document_that_cannot_be_read_does_not_hinder_the_rest(home: DataRoot, table: str, column: str) -> None:
    unpack_old_data_root(home)
    with sqlite3.connect(home.database_path) as connection:
        connection.execute(f"UPDATE {table} SET {column} = 'garbage {{0}}'")
    engine = open_database(home)
    project = read_projects(engine, OWNER)[0][-1]
    for spec in STEPS:
        open_app(spec.step, project=project.id)
    delete_project(engine, project.id, home)


@pytest.mark.parametrize("result", ["garbage", "null", "1", "{}", '["x"]', "[null]", '[{"kind": "x"}, {}]'])
def test_heads_that_cannot_be_read_open_no_exam_and_hinder_none(home: DataRoot, result: str) -> None:
    unpack_old_data_root(home)
    with sqlite3.connect(home.database_path) as connection:
        connection.execute("UPDATE probes SET results = ?", (result,))
    open_database(home)
    opened = [model_id for (model_id,) in all_rows(home.database_path, "SELECT model_id FROM exams")]
    assert len(opened) == 4
    assert sum("." in model_id for model_id in opened) == 1, "the group"


def test_a_lifted_database_has_the_tables_and_columns_of_a_new_one(home: DataRoot, tmp_path: Path) -> None:
    unpack_old_data_root(home)
    query = "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    columns = "SELECT m.name, c.name, c.type FROM sqlite_master m, pragma_table_info(m.name) c ORDER BY m.name, c.name"
    roots = (home, DataRoot(tmp_path / "new"))
    for root in roots:
        open_database(root)
    for each in (query, columns):
        lifted, new = (all_rows(root.database_path, each) for root in roots)
        assert lifted == new
