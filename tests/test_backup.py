"""A backup holds all that cannot be made again, also of an app that works, and comes back whole or not at all."""

from __future__ import annotations

import shutil
import threading
import zipfile
from pathlib import Path

import filelock
import pytest

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.page_tests import OWNER
from tlcore.config import RunConfig
from tlcore.errors import StorageError
from tlcore.home import DataRoot
from tlcore.storage import backup
from tlcore.storage.backup import main, restore_backup, save_backup
from tlcore.storage.database import open_database, writing
from tlcore.storage.datasets import commit_version, current_dataset
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import claim_job
from tlcore.storage.projects import create_project, list_projects
from tlcore.storage.runs import create_run, list_runs, read_metrics, write_metrics


@pytest.fixture
def full(home: DataRoot) -> DataRoot:
    engine = open_database(home)
    project = create_project(engine, OWNER, "Pets")
    version = commit_version(engine, project.id, coloured_dataset(home), "made", parent=None, home=home)
    run_id = create_run(engine, project.id, version, RunConfig())
    home.run_dir(run_id).mkdir(parents=True)
    (home.run_dir(run_id) / "model.keras").write_bytes(b"weights" * 1000)
    home.features_dir.mkdir()
    (home.features_dir / "large").write_bytes(b"x" * 100_000)
    return home


def what_is_kept(home: DataRoot) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in backup._files(home)}


def test_what_was_saved_comes_back(full: DataRoot, tmp_path: Path) -> None:
    kept, file = what_is_kept(full), tmp_path / "saved.zip"
    assert save_backup(file, full, RecordingProgress()) == len(kept) + 1
    other = DataRoot(tmp_path / "other")
    assert restore_backup(file, other, RecordingProgress()) is None
    assert what_is_kept(other) == kept
    assert not other.features_dir.exists()
    engine = open_database(other)
    (project,) = list_projects(engine, OWNER)
    assert [run.number for run in list_runs(engine, project.id)] == [1]
    _, dataset = current_dataset(engine, project.id, other)
    assert all(ImageStore(other).read(item.image) for item in dataset.items)


def test_a_backup_of_an_app_that_writes_is_whole(full: DataRoot, tmp_path: Path) -> None:
    engine, stop, written = open_database(full), threading.Event(), [0]
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
    create_project(open_database(full), OWNER, "Later")
    before = restore_backup(tmp_path / "saved.zip", full, RecordingProgress())
    assert before is not None
    assert [project.name for project in list_projects(open_database(full), OWNER)] == ["Pets"]
    assert [project.name for project in list_projects(open_database(DataRoot(before)), OWNER)] == ["Later", "Pets"]


def test_while_a_runner_works_nothing_is_restored(full: DataRoot, tmp_path: Path) -> None:
    save_backup(tmp_path / "saved.zip", full, RecordingProgress())
    with filelock.FileLock(full.runner_lock_path), pytest.raises(StorageError, match="Close it"):
        restore_backup(tmp_path / "saved.zip", full, RecordingProgress())


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
    rewrite(file, '"schema_version":2', '"schema_version":99')


def rewrite(file: Path, old: str, new: str) -> None:
    """Change the list of files, and the names of the files with it."""
    with zipfile.ZipFile(file) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in contents.items():
            if name == backup.MANIFEST:
                content = content.replace(old.encode(), new.encode())
            packed.writestr(name.replace(old, new), content)


@pytest.mark.parametrize("spoil", [cut, flip, be_foreign, climb_out, come_from_the_future, Path.unlink])
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
