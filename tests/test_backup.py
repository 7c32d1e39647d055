"""A backup holds all that cannot be made again, also of an app that works, and comes back whole or not at all."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
import threading
import zipfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import filelock
import pytest

from pages.components.frame import STEPS
from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.old_data_root import unpack_old_data_root
from tests.page_tests import OWNER, open_app
from tests.queued_run import create_run
from tlcore import backup
from tlcore.backup import main, restore_backup, save_backup
from tlcore.config import RunConfig, TrainingConfig
from tlcore.documents import read_document, write_document
from tlcore.errors import StorageError
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.results.prediction import load_predictor
from tlcore.simple_heads.prediction import load_simple_head_predictor
from tlcore.storage.copies import copy_project
from tlcore.storage.database import SCHEMA_VERSION, open_database, writing
from tlcore.storage.datasets import commit_version, current_dataset
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import claim_job, end_job, get_job
from tlcore.storage.projects import create_project, read_projects
from tlcore.storage.runs import RunPlan, create_runs, list_runs, read_metrics, write_metrics
from tlcore.storage.simple_heads import list_simple_heads, simple_head_dir


@pytest.fixture
def full(home: DataRoot) -> DataRoot:
    engine = open_database(home)
    project = create_project(engine, OWNER, "Pets")
    version = commit_version(engine, project.id, coloured_dataset(home), "made", parent=None, home=home)
    run_id = create_run(engine, project.id, version, RunConfig())
    job = claim_job(engine, "run")
    assert job is not None
    end_job(engine, run_id, job.attempt, "finished")
    home.run_dir(run_id).mkdir(parents=True)
    (home.run_dir(run_id) / "model.keras").write_bytes(b"weights" * 1000)
    home.features_dir.mkdir()
    (home.features_dir / "large").write_bytes(b"x" * 100_000)
    engine.dispose()
    return home


def what_is_kept(home: DataRoot) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in backup._files(home)}


def test_what_was_saved_comes_back(full: DataRoot, tmp_path: Path) -> None:
    kept, file = what_is_kept(full), tmp_path / "saved.zip"
    assert save_backup(file, full, RecordingProgress()) == len(kept) + 1
    other = DataRoot(tmp_path / "other")
    other.path.mkdir()
    assert restore_backup(file, other, RecordingProgress()) is None
    assert what_is_kept(other) == kept
    assert not other.features_dir.exists()
    engine = open_database(other)
    (project,) = read_projects(engine, OWNER)[0]
    assert [run.number for run in list_runs(engine, project.id)] == [1]
    _, dataset = current_dataset(engine, project.id, other)
    assert all(ImageStore(other).read(item.image) for item in dataset.items)


@pytest.fixture
def handed_out(full: DataRoot) -> DataRoot:
    """A data root with a model of 2 MB that ten people have a copy of."""
    engine = open_database(full)
    (project,) = read_projects(engine, OWNER)[0]
    (run,) = list_runs(engine, project.id)
    (full.run_dir(run.id) / "model.keras").write_bytes(random.Random(0).randbytes(2_000_000))
    for number in range(10):
        copy_project(engine, project.id, f"{number}" * 24, full, with_runs=True)
    engine.dispose()
    return full


def inodes(home: DataRoot) -> set[int]:
    return {path.stat().st_ino for path in home.runs_dir.glob("*/model.keras")}


@pytest.mark.parametrize("can_link", [True, False])
def test_what_was_handed_out_is_saved_once_and_comes_back_everywhere(
    handed_out: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_link: bool
) -> None:
    kept, file = what_is_kept(handed_out), tmp_path / "saved.zip"
    assert save_backup(file, handed_out, RecordingProgress()) == len(kept) + 1
    assert file.stat().st_size < 3_000_000
    if not can_link:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(95, "Operation not supported")))
    other = DataRoot(tmp_path / "other")
    restore_backup(file, other, RecordingProgress())
    assert what_is_kept(other) == kept
    assert len(inodes(other)) == (1 if can_link else 11)


def test_where_files_have_one_name_each_the_disk_must_hold_them_all(
    handed_out: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_backup(tmp_path / "saved.zip", handed_out, RecordingProgress())
    monkeypatch.setattr(backup.shutil, "disk_usage", lambda _: SimpleNamespace(free=8_000_000))
    monkeypatch.setattr(backup, "_can_name_twice", lambda _: False)
    with pytest.raises(StorageError, match="Free some space first"):
        restore_backup(tmp_path / "saved.zip", DataRoot(tmp_path / "other"), RecordingProgress())
    monkeypatch.setattr(backup, "_can_name_twice", lambda _: True)
    restore_backup(tmp_path / "saved.zip", DataRoot(tmp_path / "other"), RecordingProgress())


@pytest.mark.parametrize(
    ("place", "same_as"),
    [
        ("runs/../../stolen", None),
        ("/tmp/stolen", None),
        ("runs/C:stolen", None),
        ("users.key", None),
        ("lab.sqlite", None),
        ("runs/stolen", "lab.sqlite"),
        ("runs/stolen", "/etc/passwd"),
        ("runs/stolen", "runs/../../../etc/passwd"),
        ("runs/stolen", "runs/nothing"),
        (None, None),  # a place that is taken
    ],
)
def test_what_a_list_says_to_be_the_same_lies_inside(
    full: DataRoot, tmp_path: Path, place: str | None, same_as: str | None
) -> None:
    file = tmp_path / "saved.zip"
    save_backup(file, full, RecordingProgress())
    with zipfile.ZipFile(file) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
        manifest = read_document(packed.read(backup.MANIFEST), backup.Manifest)
    first, second = manifest.files[1].path, manifest.files[2].path
    same = (backup.SameFile(place or first, same_as or second),)
    contents[backup.MANIFEST] = write_document(replace(manifest, same=same)).encode()
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in contents.items():
            packed.writestr(name, content)
    around = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match="no whole backup"):
        restore_backup(file, DataRoot(tmp_path / "other"), RecordingProgress())
    assert sorted(tmp_path.rglob("*")) == around


def test_a_file_that_goes_away_once_is_tried_again_and_always_is_said(
    full: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, target, missing = backup._pack, tmp_path / "saved.zip", [1]

    def lose(packed: zipfile.ZipFile, name: str, place: Path) -> backup.SavedFile:
        if name.startswith("images/") and missing[0] > 0:
            missing[0] -= 1
            raise FileNotFoundError(name)
        return pack(packed, name, place)

    monkeypatch.setattr(backup, "_pack", lose)
    assert save_backup(target, full, RecordingProgress()) == len(what_is_kept(full)) + 1
    saved, missing[0] = target.read_bytes(), 10_000
    with pytest.raises(StorageError, match="no backup was made"):
        save_backup(target, full, RecordingProgress())
    assert target.read_bytes() == saved


def test_a_backup_of_an_app_that_writes_is_whole(full: DataRoot, tmp_path: Path) -> None:
    engine, stop, written = open_database(full), threading.Event(), [0]
    create_run(engine, read_projects(engine, OWNER)[0][0].id, 1, RunConfig())
    run = claim_job(engine, "run")
    assert run is not None

    def train() -> None:
        while not stop.is_set():
            with writing(engine) as connection:
                write_metrics(connection, run.id, 1, float(written[0]), {"loss": 1.0})
            written[0] += 1

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for number in range(3):
            before = written[0]
            save_backup(tmp_path / f"{number}.zip", full, RecordingProgress())
            other = DataRoot(tmp_path / str(number))
            restore_backup(tmp_path / f"{number}.zip", other, RecordingProgress())
            points = read_metrics(open_database(other), run.id)
            assert [point.epoch for point in points] == [float(epoch) for epoch in range(len(points))]
            assert len(points) >= before
    finally:
        stop.set()
        thread.join()


def test_what_was_there_before_is_moved_aside(full: DataRoot, tmp_path: Path) -> None:
    save_backup(tmp_path / "saved.zip", full, RecordingProgress())
    engine = open_database(full)
    create_project(engine, OWNER, "Later")
    engine.dispose()
    before = restore_backup(tmp_path / "saved.zip", full, RecordingProgress())
    assert before is not None
    assert [project.name for project in read_projects(open_database(full), OWNER)[0]] == ["Pets"]
    assert [project.name for project in read_projects(open_database(DataRoot(before)), OWNER)[0]] == ["Later", "Pets"]


def test_while_a_runner_works_nothing_is_restored(full: DataRoot, tmp_path: Path) -> None:
    save_backup(tmp_path / "saved.zip", full, RecordingProgress())
    with filelock.FileLock(full.runner_lock_path), pytest.raises(StorageError, match="Close it"):
        restore_backup(tmp_path / "saved.zip", full, RecordingProgress())


def test_work_that_is_not_done_is_stopped_in_the_backup_and_goes_on_in_the_app(full: DataRoot, tmp_path: Path) -> None:
    engine = open_database(full)
    (project,) = read_projects(engine, OWNER)[0]
    plans = [RunPlan(1, RunConfig(training=TrainingConfig(seed=seed))) for seed in (1, 2)]
    working, waiting = create_runs(engine, project.id, plans)
    claim_job(engine, "run")
    full.run_dir(working).mkdir()
    (full.run_dir(working) / "model.keras").write_bytes(b"half of a mod")
    save_backup(tmp_path / "saved.zip", full, RecordingProgress())
    other = DataRoot(tmp_path / "other")
    restore_backup(tmp_path / "saved.zip", other, RecordingProgress())
    for run_id in (working, waiting):
        assert get_job(engine, run_id).is_active
        restored = get_job(open_database(other), run_id)
        assert restored.state == "stopped"
        assert "Start it again" in restored.message
    assert not other.run_dir(working).exists()


def test_restored_models_answer_as_before(home: DataRoot, tmp_path: Path) -> None:
    unpack_old_data_root(home)
    for unused in ("1" * 32, "2" * 32):
        (home.compiled_dir / f"{unused}.tflite").write_bytes(b"of no model")
    save_backup(tmp_path / "saved.zip", home, RecordingProgress())
    other = DataRoot(tmp_path / "other")
    restore_backup(tmp_path / "saved.zip", other, RecordingProgress())
    engine = open_database(other)
    project = read_projects(engine, OWNER)[0][-1]
    for run in list_runs(engine, project.id):
        if run.has_model:
            assert load_predictor(other.run_dir(run.id), other).class_names == ("round", "cross", "square")
    heads = list_simple_heads(engine, project.id)
    assert len(heads) == 3
    for head in heads:
        assert load_simple_head_predictor(simple_head_dir(head.job_id, head.result.kind, other), other)
    assert not list(other.compiled_dir.glob("[12]" * 32 + ".tflite"))
    for spec in STEPS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(ENVIRONMENT_VARIABLE, str(other.path))
            assert not open_app(spec.step, project=project.id).error


def test_while_a_server_has_it_open_nothing_is_restored(full: DataRoot, tmp_path: Path) -> None:
    save_backup(tmp_path / "saved.zip", full, RecordingProgress())
    engine = open_database(full)
    assert read_projects(engine, OWNER)[0]
    with pytest.raises(StorageError, match="Close it"):
        restore_backup(tmp_path / "saved.zip", full, RecordingProgress())
    create_project(engine, OWNER, "Later")
    engine.dispose()
    assert restore_backup(tmp_path / "saved.zip", full, RecordingProgress()) is not None


def test_a_backup_of_an_earlier_version_is_restored(home: DataRoot, tmp_path: Path) -> None:
    old = unpack_old_data_root(DataRoot(tmp_path / "old"))
    with zipfile.ZipFile(tmp_path / "saved.zip", "w") as packed:
        files = [("lab.sqlite", old.database_path), *backup._files(old)]
        saved = tuple(backup._pack(packed, name, place) for name, place in files)
        without = write_document(backup.Manifest(1, saved)).replace(',"same":[]', "")  # no version before named any
        packed.writestr(backup.MANIFEST, without)
    restore_backup(tmp_path / "saved.zip", home, RecordingProgress())
    assert [project.name for project in read_projects(open_database(home), OWNER)[0]] == ["Two shapes", "Drawn shapes"]


def test_what_is_no_backup_is_not_overwritten(full: DataRoot, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"a photo")
    with pytest.raises(StorageError, match="is no backup"):
        save_backup(photo, full, RecordingProgress())
    assert photo.read_bytes() == b"a photo"
    save_backup(tmp_path / "saved.zip", full, RecordingProgress())
    save_backup(tmp_path / "saved.zip", full, RecordingProgress())


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


def be_foreign(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("cat/1.jpg", b"picture")


def climb_out(file: Path) -> None:
    rewrite(file, "datasets/", "datasets/../../")


def come_from_the_future(file: Path) -> None:
    rewrite(file, f'"schema_version":{SCHEMA_VERSION}', '"schema_version":99')


def lose_a_file(file: Path) -> None:
    with zipfile.ZipFile(file) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
    lost = next(name for name in contents if name.startswith("images/"))
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in contents.items():
            if name != lost:
                packed.writestr(name, content)


def claim_to_be_huge(file: Path) -> None:
    rewrite(file, '"size_bytes":', '"size_bytes":99999999999')


def have_a_program(file: Path) -> None:
    change_database(file, "CREATE TRIGGER t AFTER INSERT ON jobs BEGIN DELETE FROM projects; END")


def name_a_way_out(file: Path) -> None:
    change_database(file, "UPDATE jobs SET id = '../../x'")


def have_other_tables(file: Path) -> None:
    change_database(file, "DROP TABLE dataset_versions")


def change_database(file: Path, statement: str) -> None:
    """Change the database in a backup, and its size and digest with it."""
    with zipfile.ZipFile(file) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
        manifest = read_document(packed.read(backup.MANIFEST), backup.Manifest)
    database = file.with_name("changed.sqlite")
    database.write_bytes(contents["lab.sqlite"])
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)
    data = contents["lab.sqlite"] = database.read_bytes()
    database.unlink()
    changed = backup.SavedFile("lab.sqlite", len(data), hashlib.sha256(data).hexdigest())
    files = tuple(changed if one.path == "lab.sqlite" else one for one in manifest.files)
    contents[backup.MANIFEST] = write_document(replace(manifest, files=files)).encode()
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in contents.items():
            packed.writestr(name, content)


BAD = (
    *(cut, flip, be_foreign, climb_out, come_from_the_future, Path.unlink, lose_a_file, claim_to_be_huge),
    *(have_a_program, name_a_way_out, have_other_tables),
)


def rewrite(file: Path, old: str, new: str) -> None:
    """Change the list of files, and the names of the files with it."""
    with zipfile.ZipFile(file) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in contents.items():
            if name == backup.MANIFEST:
                content = content.replace(old.encode(), new.encode())
            packed.writestr(name.replace(old, new), content)


@pytest.mark.parametrize("spoil", BAD)
def test_a_bad_file_is_refused_and_leaves_nothing_behind(full: DataRoot, tmp_path: Path, spoil: object) -> None:
    file = tmp_path / "saved.zip"
    save_backup(file, full, RecordingProgress())
    spoil(file)  # type: ignore[operator]
    kept, around = what_is_kept(full), sorted(path.name for path in full.path.parent.iterdir())
    with pytest.raises(StorageError):
        restore_backup(file, full, RecordingProgress())
    assert what_is_kept(full) == kept
    assert sorted(path.name for path in full.path.parent.iterdir()) == around


def test_a_full_disk_leaves_the_earlier_backup(full: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "saved.zip"
    save_backup(file, full, RecordingProgress())
    before = file.read_bytes()

    def no_space(*_arguments: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_pack", no_space)
    with pytest.raises(StorageError, match="disk is full"):
        save_backup(file, full, RecordingProgress())
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".writing")] == []


def test_the_two_commands_say_what_they_did(full: DataRoot, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "saved.zip")
    assert main(["save", file]) == 0
    shutil.rmtree(full.path)
    assert main(["save", file]) == 1
    assert main(["restore", file]) == 0
    said = capsys.readouterr()
    assert "are saved in" in said.out
    assert "is as it was saved" in said.out
    assert "nothing to save" in said.err
