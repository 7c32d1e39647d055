"""From the tables of an earlier version to those of this one: numbered steps, each of them taken once."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import filelock
import sqlalchemy as sa

from tlcore.errors import StorageError
from tlcore.home import DataRoot, write_atomically

Migration = Callable[[sa.Connection, DataRoot], None]

KEPT_COPIES = 2

_version = sa.table("schema_version", sa.column("version", sa.Integer))


def migrate(engine: sa.Engine, home: DataRoot) -> None:
    """Take all steps that a database lacks, each in a transaction; a copy of an SQLite file stays behind.

    The caller holds the lock of the database's file. A call that was cut short is made up for by the next one.

    Args:
        engine: Its connections do not enforce references between tables, so that a table can be made anew.
        home: The data root.

    Raises:
        StorageError: If the database is from a newer version, an earlier Transfer Lab still works on this data root,
            there is no space for the copy, or a step would leave rows that point to nothing.
    """
    newest = len(MIGRATIONS) + 1
    with engine.begin() as connection:
        has_version = sa.inspect(connection).has_table(_version.name)
        found = connection.execute(sa.select(sa.func.max(_version.c.version))).scalar() if has_version else None
    if found is not None and found > newest:
        raise StorageError(
            f"These projects were made by a newer Transfer Lab (format {found}, this one knows {newest}). "
            "Update Transfer Lab, or choose another folder with TRANSFER_LAB_HOME."
        )
    if found is None or found == newest:
        return
    try:
        with filelock.FileLock(home.runner_lock_path, timeout=0):
            if engine.dialect.name == "sqlite":
                _keep_copy(home.database_path, found)
            for number in range(found, newest):
                _take_step(engine, number, home)
    except filelock.Timeout as error:
        raise StorageError(
            "An earlier Transfer Lab still works on the same data. Let its trainings end or stop them, close it, wait "
            "two minutes, and start again."
        ) from error


def _take_step(engine: sa.Engine, number: int, home: DataRoot) -> None:
    with engine.execution_options(write=True).begin() as connection:
        # Of several computers with one PostgreSQL the others wait here, and then find the step taken.
        if connection.execute(sa.select(_version.c.version).with_for_update()).scalar_one() != number:
            return
        MIGRATIONS[number - 1](connection, home)
        is_sqlite = connection.dialect.name == "sqlite"
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first() if is_sqlite else None
        if broken is not None:
            raise StorageError(
                f"Nothing was changed: a row of {broken[0]} would point to nothing in the new format. Keep using the "
                "Transfer Lab that you had, and report this."
            )
        connection.execute(sa.update(_version).values(version=number + 1))


def copy_database(source_path: Path, copy_path: Path) -> None:
    """Copy an SQLite file as it is at one moment, whoever writes into it."""
    with closing(sqlite3.connect(source_path)) as source, closing(sqlite3.connect(copy_path)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")


def _keep_copy(database_path: Path, number: int) -> None:
    """Keep the database as it was beside the new one, for whoever wants to go back; copies of old upgrades go."""
    copy_path = database_path.with_name(f"lab.format-{number}.sqlite")
    write_atomically(copy_path, lambda temporary: copy_database(database_path, temporary))
    copies = sorted(database_path.parent.glob("lab.format-*.sqlite"), key=lambda path: path.stat().st_mtime)
    for old in copies[:-KEPT_COPIES]:
        old.unlink(missing_ok=True)


def _jobs_carry_requests(connection: sa.Connection, home: DataRoot) -> None:
    """What jobs are asked for and what they answer moves into their own rows; simple heads are called so everywhere."""
    for column in ("subject VARCHAR NOT NULL DEFAULT ''", "key VARCHAR", "request TEXT", "result TEXT"):
        connection.exec_driver_sql(f"ALTER TABLE jobs ADD COLUMN {column}")
    connection.exec_driver_sql("CREATE INDEX ix_jobs_key ON jobs (key)")
    for table, columns, request, result, key in (
        ("imports", "request, report", "{0}", "{1}", None),
        ("measures", "config, version, key", '{{"version":{1},"config":{0}}}', None, "{2}"),
        ("rate_searches", "config, result, version", '{{"version":{2},"config":{0}}}', "{1}", None),
        ("probes", "model, results, version", '{{"version":{2},"model":{0}}}', '{{"heads":{1}}}', None),
    ):
        # The tables came one by one, so an early database lacks some.
        if not sa.inspect(connection).has_table(table):
            continue
        for job_id, *row in connection.exec_driver_sql(f"SELECT job_id, {columns} FROM {table}").all():
            # Put together as text: a document that cannot be read stays one, and hinders no other.
            values = {
                "id": job_id,
                "request": request.format(*row),
                "result": result.format(*row) if result and row[1] is not None else None,
                "key": key.format(*row) if key else None,
            }
            connection.execute(
                sa.text("UPDATE jobs SET request = :request, result = :result, key = :key WHERE id = :id"), values
            )
        connection.exec_driver_sql(f"DROP TABLE {table}")
    connection.exec_driver_sql("UPDATE jobs SET kind = 'simple_heads' WHERE kind = 'probe'")
    connection.exec_driver_sql("UPDATE jobs SET phase = ''")  # words then, names now
    before = home.path / "probes"
    if before.is_dir() and not home.simple_heads_dir.exists():
        before.rename(home.simple_heads_dir)


def _exams_are_opened(connection: sa.Connection, _home: DataRoot) -> None:
    """Test results wait until somebody asks for them; those of the models so far were shown, so they are opened."""
    connection.exec_driver_sql(
        "CREATE TABLE exams (project_id VARCHAR NOT NULL REFERENCES projects (id) ON DELETE CASCADE, "
        "model_id VARCHAR NOT NULL, version INTEGER NOT NULL, opened FLOAT NOT NULL, "
        "PRIMARY KEY (project_id, model_id))"
    )
    connection.exec_driver_sql(
        "INSERT INTO exams SELECT jobs.project_id, jobs.id, runs.version, COALESCE(jobs.ended, jobs.created) "
        "FROM jobs JOIN runs ON runs.job_id = jobs.id WHERE runs.summary IS NOT NULL"
    )
    if sa.inspect(connection).has_table("ensembles"):
        connection.exec_driver_sql("INSERT INTO exams SELECT project_id, id, version, created FROM ensembles")
        for column in ("validation_correct", "validation_total"):
            connection.exec_driver_sql(f"ALTER TABLE ensembles ADD COLUMN {column} INTEGER")
    heads = "SELECT project_id, id, COALESCE(ended, created), request, result FROM jobs WHERE kind = 'simple_heads'"
    for project_id, job_id, opened, request, result in connection.exec_driver_sql(heads).all():
        # Those of a document that cannot be read are shown nowhere.
        with suppress(ValueError, KeyError, TypeError):
            version = int(json.loads(request)["version"])
            for kind in sorted({str(head["kind"]) for head in json.loads(result)["heads"]}):
                values = {"project": project_id, "model": f"{job_id}.{kind}", "version": version, "opened": opened}
                statement = sa.text("INSERT INTO exams VALUES (:project, :model, :version, :opened)")
                connection.execute(statement, values)


def _jobs_know_their_processes(connection: sa.Connection, _home: DataRoot) -> None:
    """A process is known by a clock that nobody sets, no longer by the one on the wall; why workers died is kept."""
    for column in (
        "process VARCHAR",
        "deaths VARCHAR NOT NULL DEFAULT ''",
        "rescue BOOLEAN NOT NULL DEFAULT FALSE",
        "silent BOOLEAN NOT NULL DEFAULT FALSE",
    ):
        connection.exec_driver_sql(f"ALTER TABLE jobs ADD COLUMN {column}")
    connection.exec_driver_sql("ALTER TABLE jobs DROP COLUMN pid_started")


def _projects_know_when_they_were_opened(connection: sa.Connection, _home: DataRoot) -> None:
    """When a project was last opened is kept; of those so far nobody knows, so they count from now on."""
    connection.exec_driver_sql("ALTER TABLE projects ADD COLUMN touched FLOAT")
    connection.execute(sa.text("UPDATE projects SET touched = :now"), {"now": time.time()})


MIGRATIONS: tuple[Migration, ...] = (
    _jobs_carry_requests,
    _exams_are_opened,
    _jobs_know_their_processes,
    _projects_know_when_they_were_opened,
)
"""The first lifts version 1 of the tables to version 2, and so on; what has been released is never changed.

A step works with plain SQL, never with the tables of `tlcore.storage.database`, which are those of today. It makes the
tables and columns that it fills; what is only new is made afterwards. What it does to files can be done again: a
process that dies before the end of the transaction leaves the old database beside the moved files.
"""
