"""A full disk: the app opens, every page opens, and what deletes has room for it."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import streamlit as st

from pages.components.frame import STEPS
from tests.coloured_pictures import coloured_dataset
from tests.lab import Lab
from tests.old_data_root import unpack_old_data_root
from tests.page_tests import OWNER, open_app, texts
from tests.server import AppServer
from tlcore.errors import NotFoundError, StorageError
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.storage import database
from tlcore.storage.database import open_database, projects, writing
from tlcore.storage.deletion import delete_project
from tlcore.storage.projects import create_project, get_project, read_projects
from tlcore.storage.reserve import RESERVE_BYTES, STEP_BYTES, give_up_reserve, keep_reserve
from tlcore.storage.runs import list_runs

pytestmark = pytest.mark.usefixtures("no_runner")


@contextmanager
def full(home: DataRoot) -> Iterator[None]:
    """Refuse every write into the database and every new file as a full disk does, while no reserve was given up."""
    kept = home.reserve_path.exists()

    def is_full() -> bool:
        return home.reserve_path.exists() or not kept

    def changes(connection: sa.Connection) -> int:
        return int(connection.connection.dbapi_connection.total_changes)  # type: ignore[union-attr]

    def note(connection: sa.Connection) -> None:
        connection.info["changes"] = changes(connection)

    def refuse(connection: sa.Connection) -> None:
        if is_full() and changes(connection) > connection.info.get("changes", 0):
            raise sa.exc.OperationalError("COMMIT", {}, sqlite3.OperationalError("database or disk is full"))

    def no_file(*_args: object, **_kwargs: object) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tlcore.home.tempfile.mkstemp", no_file)
        patched.setattr("os.posix_fallocate", no_file, raising=False)
        sa.event.listen(sa.Engine, "begin", note)
        sa.event.listen(sa.Engine, "commit", refuse)
        try:
            yield
        finally:
            sa.event.remove(sa.Engine, "begin", note)
            sa.event.remove(sa.Engine, "commit", refuse)


def test_every_page_opens_on_a_full_disk_and_visits_are_noted_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = DataRoot(tmp_path / "home")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(home.path))
    engine = open_database(unpack_old_data_root(home))
    project = read_projects(engine, OWNER)[0][1]
    run_id = next(run.id for run in list_runs(engine, project.id) if run.has_model)
    with writing(engine) as connection:
        connection.execute(sa.update(projects).values(visited=""))
    with full(home):
        assert not open_app().exception
        for step in STEPS:
            for query in ({}, {"run": run_id}):
                st.cache_resource.clear()  # as a server that has just started
                page = open_app(step.step, project=project.id, **query)
                assert not page.exception, step.step
                assert not [error.value for error in page.error if "Nothing was saved" in error.value], step.step
                assert step.title in texts(page), step.step
        assert get_project(engine, project.id, OWNER).visited == ()
    st.cache_resource.clear()
    open_app("export", project=project.id)
    assert "export" in get_project(engine, project.id, OWNER).visited
    engine.dispose()


def test_deleting_gives_up_the_reserve_and_makes_it_again(home: DataRoot) -> None:
    lab = Lab.make(home, coloured_dataset(home))
    keep_reserve(home)
    assert home.reserve_path.stat().st_size == RESERVE_BYTES
    with full(home):
        with pytest.raises(StorageError, match="Nothing was saved"):
            create_project(lab.engine, OWNER, "Birds")
        delete_project(lab.engine, lab.project_id, home)
        assert read_projects(lab.engine, OWNER)[0] == []
        assert not [path for path in home.images_dir.rglob("*") if path.is_file()]
    keep_reserve(home)
    assert home.reserve_path.stat().st_size == RESERVE_BYTES


def test_a_deletion_brings_the_reserve_back_by_itself(home: DataRoot) -> None:
    lab = Lab.make(home, coloured_dataset(home))
    keep_reserve(home)
    delete_project(lab.engine, lab.project_id, home)
    assert home.reserve_path.stat().st_size == RESERVE_BYTES


def test_the_database_opens_with_the_reserve(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    create_project(open_database(home), OWNER, "Pets")
    migrate = database.migrate

    def migrate_with_room(engine: sa.Engine, of: DataRoot) -> None:
        if of.reserve_path.exists():
            raise sa.exc.OperationalError("BEGIN", {}, OSError("disk I/O error"))
        migrate(engine, of)

    monkeypatch.setattr(database, "migrate", migrate_with_room)
    keep_reserve(home)
    assert [project.name for project in read_projects(open_database(home), OWNER)[0]] == ["Pets"]
    assert home.reserve_path.exists()


def test_an_almost_full_disk_gives_a_smaller_reserve_or_none(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system takes space by writing")
    home.path.mkdir(parents=True, exist_ok=True)
    allocate = os.posix_fallocate
    room = 3 * STEP_BYTES

    def allocate_some(handle: int, start: int, size: int) -> None:
        if size > room:
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(handle, start, size)

    monkeypatch.setattr(os, "posix_fallocate", allocate_some)
    keep_reserve(home)
    assert home.reserve_path.stat().st_size == 3 * STEP_BYTES
    room = RESERVE_BYTES
    keep_reserve(home)
    assert home.reserve_path.stat().st_size == RESERVE_BYTES
    give_up_reserve(home)
    room = 0
    keep_reserve(home)
    assert not home.reserve_path.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 24 MB, where this account may."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("this account may not mount a small disk; the tests above do without")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with suppress(OSError), (folder / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_a_server_starts_on_a_really_full_disk_and_a_project_can_be_deleted(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = DataRoot(small_disk / "home")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(home.path))
    lab = Lab.make(home, coloured_dataset(home))
    lab.engine.dispose()  # the last one takes the journal away, which opening makes again
    keep_reserve(home)
    fill(small_disk)
    server = AppServer(home)
    try:
        server.start()
        assert "cannot be opened" not in server.log
    finally:
        server.clean_up()
    fill(small_disk)
    engine = open_database(home)
    assert [project.id for project in read_projects(engine, OWNER)[0]] == [lab.project_id]
    fill(small_disk)
    for step in ("data", "model", "train"):
        assert not open_app(step, project=lab.project_id).exception
    delete_project(engine, lab.project_id, home)
    with pytest.raises(NotFoundError):
        get_project(engine, lab.project_id, OWNER)
    engine.dispose()
