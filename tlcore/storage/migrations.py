"""From the tables of an earlier version to those of this one: numbered steps, each of them taken once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing

import filelock
import sqlalchemy as sa

from tlcore.errors import StorageError
from tlcore.home import DataRoot

Migration = Callable[[sa.Connection, DataRoot], None]


def migrate(connection: sa.Connection, found: int, home: DataRoot) -> None:
    """Take all steps from a version on, as a part of the caller's transaction; a copy of the database stays behind.

    Args:
        connection: Has the write lock.
        found: The version of the tables.
        home: The data root; what the steps do to its files may be repeated when the transaction fails.

    Raises:
        StorageError: If an earlier Transfer Lab still works on this data root.
    """
    lock = filelock.FileLock(home.runner_lock_path, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise StorageError(
            f"An earlier Transfer Lab still works in {home}. Let its trainings end or stop them, close it, wait two "
            "minutes, and start again."
        ) from error
    try:
        _keep_copy(connection, found, home)
        for step in MIGRATIONS[found - 1 :]:
            step(connection, home)
    finally:
        lock.release()


def _keep_copy(connection: sa.Connection, found: int, home: DataRoot) -> None:
    """Keep the database as it was beside the new one, for whoever wants to go back."""
    copy_path = home.path / f"lab.format-{found}.sqlite"
    if connection.dialect.name != "sqlite" or copy_path.exists():
        return
    # Nothing was written in this transaction yet, so another connection sees the same.
    with closing(sqlite3.connect(home.database_path)) as source, closing(sqlite3.connect(copy_path)) as copy:
        source.backup(copy)


def _jobs_carry_requests(connection: sa.Connection, home: DataRoot) -> None:
    """What jobs are asked for and what they answer moves into their own rows; simple heads are called so everywhere."""
    for column in ("subject VARCHAR NOT NULL DEFAULT ''", "key VARCHAR", "request TEXT", "result TEXT"):
        connection.exec_driver_sql(f"ALTER TABLE jobs ADD COLUMN {column}")

    def move(table: str, request: Callable[[sa.RowMapping], object], result: str, key: str | None = None) -> None:
        for row in connection.exec_driver_sql(f"SELECT * FROM {table}").mappings().all():
            values = {
                "id": row["job_id"],
                "request": json.dumps(request(row)),
                "result": row[result] if result else None,
                "key": row[key] if key else None,
            }
            if table == "probes" and values["result"] is not None:
                values["result"] = json.dumps({"heads": json.loads(values["result"])})
            connection.execute(
                sa.text("UPDATE jobs SET request = :request, result = :result, key = :key WHERE id = :id"), values
            )
        connection.exec_driver_sql(f"DROP TABLE {table}")

    def settings(row: sa.RowMapping) -> object:
        return {"version": row["version"], "config": json.loads(row["config"])}

    move("imports", lambda row: json.loads(row["request"]), "report")
    move("measures", settings, "", "key")
    move("rate_searches", settings, "result")
    move("probes", lambda row: {"version": row["version"], "model": json.loads(row["model"])}, "results")
    connection.exec_driver_sql("UPDATE jobs SET kind = 'simple_heads' WHERE kind = 'probe'")
    connection.exec_driver_sql("UPDATE jobs SET phase = ''")  # words then, names now
    before = home.path / "probes"
    if before.is_dir() and not home.simple_heads_dir.exists():
        before.rename(home.simple_heads_dir)


MIGRATIONS: tuple[Migration, ...] = (_jobs_carry_requests,)
"""The first lifts version 1 of the tables to version 2, and so on; what has been released is never changed."""
