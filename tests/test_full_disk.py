"""A full disk: the app opens, every page opens, and what deletes has room for it."""

from __future__ import annotations

import errno
import io
import itertools
import os
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
import streamlit as st

from pages.components.frame import STEPS
from tests.browser import PageWatch, open_context, sign_in
from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.lab import Lab
from tests.old_data_root import unpack_old_data_root
from tests.page_tests import OWNER, open_app, texts
from tests.queued_run import create_run
from tests.server import AppServer
from tests.walking import BESIDE, walk
from tlcore import prepare
from tlcore.config import RunConfig
from tlcore.errors import FullDiskError, NotFoundError, StorageError
from tlcore.home import ENVIRONMENT_VARIABLE, LEAST_BYTES, RESERVE_BYTES, DataRoot, is_full, write_atomically
from tlcore.jobs.reporting import JobProgress
from tlcore.storage import database, deletion, full_disk, reserve
from tlcore.storage.class_settings import change_class_settings, reset_class_settings
from tlcore.storage.database import open_database, projects, writing
from tlcore.storage.deletion import delete_project
from tlcore.storage.full_disk import DiskWait
from tlcore.storage.identities import read_identities
from tlcore.storage.jobs import claim_job, end_job, get_job, request_stop
from tlcore.storage.people import admit, is_visit_due, note_visit, read_person, remove_from_class
from tlcore.storage.projects import create_project, get_project, read_projects, rename_project
from tlcore.storage.reserve import LOAN_BYTES, STEP_BYTES, give_up_reserve, keep_reserve
from tlcore.storage.runs import list_runs, read_metrics

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PERSON = "p" * 24
"""Somebody with a browser."""

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


def test_work_finds_no_room_in_a_reserve_that_is_lent(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    home.path.mkdir(parents=True, exist_ok=True)
    keep_reserve(home)
    free = LEAST_BYTES - 1

    def free_bytes(_home: DataRoot) -> int:
        there = home.reserve_path.stat().st_size if home.reserve_path.exists() else 0
        return free + RESERVE_BYTES - there

    monkeypatch.setattr("tlcore.home.free_bytes", free_bytes)
    assert is_full(home)
    with reserve.with_loan(home):
        assert is_full(home)
    with reserve.with_reserve(home):
        assert not home.reserve_path.exists()
        assert is_full(home)
        free = LEAST_BYTES
        assert not is_full(home)  # somebody else has made room
    assert not is_full(home)


def test_who_comes_while_the_reserve_is_lent_gets_it_next(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    home.path.mkdir(parents=True, exist_ok=True)
    keep_reserve(home)
    given: list[bool] = []

    def note(of: DataRoot) -> bool:
        given.append(give_up_reserve(of))
        return given[-1]

    monkeypatch.setattr(reserve, "give_up_reserve", note)

    def borrow() -> None:
        with reserve.with_reserve(home):
            pass

    with ThreadPoolExecutor(1) as pool:
        with reserve.with_reserve(home):
            second = pool.submit(borrow)
            wait([second], 0.2)
        second.result(10)
    assert given == [True, True]


@pytest.mark.parametrize("allocates", [True, False])
def test_servers_that_start_together_make_one_reserve(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch, allocates: bool
) -> None:
    if not allocates:  # as on macOS and Windows
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    home.path.mkdir(parents=True, exist_ok=True)
    home.reserve_path.write_bytes(bytes(3 * RESERVE_BYTES))  # as earlier versions made it there
    keep_reserve(home)
    assert home.reserve_path.stat().st_size == RESERVE_BYTES
    give_up_reserve(home)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep_reserve, [home] * 4))
    assert home.reserve_path.stat().st_size == RESERVE_BYTES


def test_what_was_lent_of_the_reserve_comes_back_when_there_is_plenty(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.path.mkdir(parents=True, exist_ok=True)
    home.reserve_path.write_bytes(bytes(LOAN_BYTES))
    monkeypatch.setattr(reserve, "free_bytes", lambda _home: 2 * RESERVE_BYTES)
    reserve.mend_reserve(home)
    assert home.reserve_path.stat().st_size == LOAN_BYTES  # somebody may wait for this room
    monkeypatch.setattr(reserve, "free_bytes", lambda _home: 5 * RESERVE_BYTES)
    reserve.mend_reserve(home)
    assert home.reserve_path.stat().st_size == RESERVE_BYTES
    with reserve.with_loan(home):
        assert home.reserve_path.stat().st_size == RESERVE_BYTES - LOAN_BYTES
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


@pytest.mark.parametrize(
    "write",
    [
        lambda engine: change_class_settings(engine, lambda stored: replace(stored, locked=("epochs",))),
        reset_class_settings,
        lambda engine: admit(engine, OWNER),
        lambda engine: remove_from_class(engine, OWNER),
    ],
    ids=["lock", "begin anew", "admit", "remove"],
)
def test_a_teacher_can_lock_and_remove_on_a_full_disk(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch, write: Callable[[sa.Engine], object]
) -> None:
    engine = open_database(home)
    change_class_settings(engine, lambda stored: replace(stored, code="ABCD"))
    keep_reserve(home)
    monkeypatch.setattr(database, "with_loan", reserve.with_reserve)  # this disk is full until the reserve is gone
    with full(home):
        write(engine)
    assert not home.reserve_path.exists()


def test_a_visit_that_could_not_be_noted_is_noted_the_next_time(home: DataRoot) -> None:
    engine = open_database(home)
    with full(home):
        note_visit(engine, "v" * 24)
        assert is_visit_due(engine, "v" * 24)
    note_visit(engine, "v" * 24)
    assert not is_visit_due(engine, "v" * 24)
    assert read_person(engine, "v" * 24).number == 1


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


def fill(folder: Path) -> Path:
    """Take all the room that is left; return the file that takes it."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return filler


def fill_journal(engine: sa.Engine, project_id: str) -> None:
    """Take the room that the database's journal still has in what it holds."""

    def rename_on_and_on() -> None:
        for number in itertools.count():
            rename_project(engine, project_id, f"Pets {number}")

    with pytest.raises(FullDiskError, match="Nothing was saved: the disk is full"):
        rename_on_and_on()


def test_a_new_phase_comes_through_on_a_really_full_disk_and_the_curves_later(small_disk: Path) -> None:
    home = DataRoot(small_disk / "home")
    engine = open_database(home)
    project_id = create_project(engine, OWNER, "Pets").id
    run_id = create_run(engine, project_id, 1, RunConfig())
    claimed = claim_job(engine, "run")
    assert claimed is not None
    keep_reserve(home)
    progress = JobProgress(engine, run_id, claimed.attempt)
    filler = fill(small_disk)
    fill_journal(engine, project_id)
    for epoch in range(1, 3001):
        progress.metrics(float(epoch), {"loss": 1.0, "accuracy": 0.5})
    progress.phase("waiting_for_room")
    assert get_job(engine, run_id).phase == "waiting_for_room"
    assert read_metrics(engine, run_id) == []
    assert RESERVE_BYTES - LOAN_BYTES < home.reserve_path.stat().st_size <= RESERVE_BYTES
    request_stop(engine, run_id)
    assert get_job(engine, run_id).stop_requested is not None
    filler.unlink()
    progress.flush()
    assert len(read_metrics(engine, run_id)) == 6000
    assert end_job(engine, run_id, claimed.attempt, "stopped")
    engine.dispose()


def test_points_of_curves_take_nothing_of_the_reserve(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlcore.jobs.reporting.WRITE_SECONDS", 0.0)
    home = DataRoot(small_disk / "home")
    engine = open_database(home)
    project_id = create_project(engine, OWNER, "Pets").id
    run_id = create_run(engine, project_id, 1, RunConfig())
    claimed = claim_job(engine, "run")
    assert claimed is not None
    keep_reserve(home)
    progress = JobProgress(engine, run_id, claimed.attempt)
    fill(small_disk)
    fill_journal(engine, project_id)
    for epoch in range(1, 301):
        progress.metrics(float(epoch), {"loss": 1.0, "accuracy": 0.5})
    assert home.reserve_path.stat().st_size == RESERVE_BYTES
    engine.dispose()


def test_a_waiting_run_takes_nothing_of_what_deleting_borrows(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = DataRoot(small_disk / "home")
    engine = open_database(home)
    ids = [create_project(engine, OWNER, f"Pets {number}").id for number in range(3)]
    keep_reserve(home)
    monkeypatch.setattr(full_disk, "LOOK_SECONDS", 0.01)
    tries: list[bool] = []

    def write() -> None:
        tries.append(home.reserve_path.exists())
        write_atomically(home.run_dir("run") / "checkpoint.npz", lambda path: path.write_bytes(os.urandom(7_500_000)))

    remove = deletion.remove_unused_pictures

    def remove_slowly(*arguments: Any, **options: Any) -> None:
        looked = len(progress.phases)
        while len(progress.phases) < looked + 5 and not run.done():
            time.sleep(0.01)
        remove(*arguments, **options)

    monkeypatch.setattr(deletion, "remove_unused_pictures", remove_slowly)
    progress = RecordingProgress()
    filler = fill(small_disk)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(DiskWait(home, progress).repeat, write)
        try:
            until = time.monotonic() + 60
            while not progress.phases and not run.done() and time.monotonic() < until:
                time.sleep(0.01)
            for project_id in ids:
                delete_project(engine, project_id, home)
                assert home.reserve_path.stat().st_size > RESERVE_BYTES // 2
            assert tries == [True]
            assert not run.done()
        finally:
            filler.unlink()  # or the run would wait, and the test with it
        run.result(60)
    engine.dispose()


@pytest.mark.slow
def test_all_pages_open_in_a_browser_on_a_really_full_disk(
    small_disk: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = unpack_old_data_root(DataRoot(small_disk / "home"))
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(home.path))
    engine = open_database(home)
    with writing(engine) as connection:
        connection.execute(sa.update(projects).values(owner=PERSON, visited=""))
    found = {project.id: list_runs(engine, project.id) for project in read_projects(engine, PERSON)[0]}
    project_id, run_id = next((key, run.id) for key, runs in found.items() for run in runs if run.has_model)
    engine.dispose()
    read_identities(home)
    keep_reserve(home)
    filler = fill(small_disk)
    server = AppServer(home)
    try:
        server.start()
        context = open_context(browser)
        sign_in(context, server.address, PERSON)
        watch, page = PageWatch(context, server.address), context.new_page()
        shown = dict(walk(page, server.address, {project_id: run_id}))
        assert {where: errors for where, errors in shown.items() if errors} == {}
        assert len(shown) == 1 + len(BESIDE) + len(STEPS)
        watch.check()
        answer = page.request.get(f"{server.address}/download/{run_id}/model.zip")
        assert answer.ok
        assert zipfile.ZipFile(io.BytesIO(answer.body())).testzip() is None
        context.close()
    finally:
        server.clean_up()
        filler.unlink()


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


def test_the_app_starts_where_a_full_disk_keeps_the_backbone_from_being_prepared(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_room(*_arguments: object) -> None:
        raise FullDiskError("The disk is full.")

    monkeypatch.setattr(prepare, "ensure_compiled", no_room)
    assert prepare.main() == 0
    said = capsys.readouterr().err
    assert "The disk is full." in said
    assert "Transfer Lab starts all the same" in said


def test_what_a_library_says_about_a_full_disk_names_it(tmp_path: Path) -> None:
    def close_badly(_path: Path) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise ValueError("Can't close the ZIP file while there is an open writing handle on it.") from error

    def break_otherwise(_path: Path) -> None:
        raise ValueError("something else")

    with pytest.raises(FullDiskError, match="The disk is full"):
        write_atomically(tmp_path / "model.keras", close_badly)
    with pytest.raises(ValueError, match="something else"):
        write_atomically(tmp_path / "model.keras", break_otherwise)
    assert list(tmp_path.iterdir()) == []
