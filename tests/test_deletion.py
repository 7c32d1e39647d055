"""A deleted project: all that it had is gone from the disk, and nothing that others need."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.collecting import collect
from tests.coloured_pictures import COLOURS, coloured_dataset, picture, png
from tests.queued_run import create_run
from tlcore.config import ModelConfig, RunConfig
from tlcore.dataset import Dataset
from tlcore.errors import ConflictError, NotFoundError, StorageError
from tlcore.home import DataRoot
from tlcore.intake.collection import gather
from tlcore.intake.sources import FileSource
from tlcore.jobs import import_task, worker
from tlcore.jobs.import_task import import_pictures
from tlcore.jobs.worker import WorkerContext
from tlcore.progress import StopRequested
from tlcore.storage import datasets, deletion
from tlcore.storage.database import now, open_database
from tlcore.storage.datasets import (
    Version,
    commit_version,
    content_path,
    current_dataset,
    get_version,
    undo_version,
)
from tlcore.storage.deletion import delete_project, remove_versions
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import JobState, claim_job, create_job, get_job, request_stop
from tlcore.storage.projects import create_project, get_project
from tlcore.storage.requests import ImportRequest, SimpleHeadsRequest, StagedFile
from tlcore.storage.simple_heads import simple_head_dir
from tlcore.storage.staging import make_staging_dir

RED, BLUE = ("red", "green"), ("blue", "green")


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


def files_of(home: DataRoot) -> set[str]:
    """All files of the data root but the database's own and the reserve."""
    paths = {str(path.relative_to(home.path)) for path in home.path.rglob("*") if path.is_file()}
    return {path for path in paths if not path.startswith(("lab.sqlite", "reserve"))}


def make_project(engine: sa.Engine, home: DataRoot, dataset: Dataset) -> str:
    project_id = create_project(engine, "ann", "Colours").id
    commit_version(engine, project_id, dataset, "made", parent=None, home=home)
    return project_id


def staged(home: DataRoot, colour: str, amount: int = 4) -> ImportRequest:
    folder = make_staging_dir(home)
    files = []
    for number in range(amount):
        (folder / str(number)).write_bytes(png(picture(colour, number)))
        files.append(StagedFile(str(number), f"{colour}/{number}.png"))
    return ImportRequest(staging=folder.name, files=tuple(files))


def test_everything_of_a_project_goes(engine: sa.Engine, home: DataRoot) -> None:
    project_id = make_project(engine, home, coloured_dataset(home, 2))
    commit_version(engine, project_id, coloured_dataset(home, 3), "more", parent=1, home=home)
    run_id = create_run(engine, project_id, 1, RunConfig())
    job_id = create_job(engine, "simple_heads", project_id, SimpleHeadsRequest(1, ModelConfig()))
    create_job(engine, "import", project_id, staged(home, "red"))
    for folder in (home.run_dir(run_id), simple_head_dir(job_id, "nearest_neighbours", home)):
        folder.mkdir(parents=True)
        (folder / "model.keras").write_bytes(b"weights")
    assert len(files_of(home)) > 20
    delete_project(engine, project_id, home)
    assert files_of(home) == set()
    assert list((home.path / "runs").iterdir()) == list((home.path / "imports").iterdir()) == []


def test_other_projects_keep_what_they_share(engine: sa.Engine, home: DataRoot) -> None:
    reds = coloured_dataset(home, 2, RED)
    mine, same = (make_project(engine, home, reds) for _ in range(2))
    other = coloured_dataset(home, 2, BLUE)
    others = make_project(engine, home, other)
    before = files_of(home)
    delete_project(engine, mine, home)
    assert files_of(home) == before
    assert current_dataset(engine, same, home) == (1, reds)
    delete_project(engine, same, home)
    assert current_dataset(engine, others, home) == (1, other)
    assert {path.split("/")[-1] for path in files_of(home) if path.startswith("images")} == {
        x.image for x in other.items
    }


def test_a_picture_that_an_import_has_just_brought_again_stays(engine: sa.Engine, home: DataRoot) -> None:
    dataset = coloured_dataset(home, 2, RED)
    project_id = make_project(engine, home, dataset)
    create_job(engine, "import", create_project(engine, "bob", "Reds").id, ImportRequest())
    claim_job(engine, "import")
    again = coloured_dataset(home, 1, ("red",)).items[0].image
    delete_project(engine, project_id, home)
    assert ImageStore(home).read(again)
    assert [path for path in files_of(home) if path.startswith("images")] == [f"images/{again[:2]}/{again}"]


def test_a_picture_never_seems_older_than_the_import_that_brings_it(home: DataRoot) -> None:
    images = ImageStore(home)
    for number in [*range(20), *range(20)]:
        began = now()
        key = images.add(b"picture %d" % number, b"\xff\xd8 a thumbnail \xff\xd9")
        images.remove(key, brought_before=began)
        assert images.read(key)
        assert images.thumbnail(key)


def test_the_same_pictures_can_be_brought_again_afterwards(engine: sa.Engine, home: DataRoot) -> None:
    for _ in range(2):
        dataset = coloured_dataset(home, 2)
        project_id = make_project(engine, home, dataset)
        assert all(ImageStore(home).thumbnail(item.image) for item in dataset.items)
        assert current_dataset(engine, project_id, home) == (1, dataset)
        delete_project(engine, project_id, home)


def test_while_another_version_cannot_be_read_its_pictures_stay(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = make_project(engine, home, coloured_dataset(home, 2, RED)), coloured_dataset(home, 2, RED)
    others = make_project(engine, home, other)
    unreadable = content_path(get_version(engine, others, 1).content, home)
    read_bytes = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path == unreadable:
            raise OSError(errno.EMFILE, "Too many open files")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    delete_project(engine, mine, home)
    monkeypatch.undo()
    assert current_dataset(engine, others, home) == (1, other)
    assert all(ImageStore(home).read(item.image) for item in other.items)


def test_a_database_that_cannot_be_written_keeps_all_files(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_id = make_project(engine, home, coloured_dataset(home, 2))
    before = files_of(home)

    def refuse(engine: sa.Engine) -> object:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(deletion, "writing", refuse)
    with pytest.raises(StorageError):
        delete_project(engine, project_id, home)
    assert files_of(home) == before
    assert get_project(engine, project_id, "ann").version == 1


def test_what_a_worker_still_writes_after_the_deletion_goes_with_it(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_id = make_project(engine, home, coloured_dataset(home, 2))
    run_id = create_run(engine, project_id, 1, RunConfig())
    job = claim_job(engine, "run")
    assert job is not None
    worked_on: list[str] = []

    def train(context: WorkerContext) -> tuple[JobState, str]:
        context.progress.phase("training")
        delete_project(engine, project_id, home)
        folder = home.run_dir(context.job_id)
        folder.mkdir(parents=True)
        (folder / "model.keras").write_bytes(b"weights")
        worked_on.append(context.job_id)
        context.progress.phase("testing")
        raise AssertionError("the job is gone")

    monkeypatch.setattr(worker, "lower_priority", lambda: None)
    monkeypatch.setattr(worker, "leave_out_of_keras", lambda: None)
    assert worker.work(run_id, job.attempt, train) == 0
    assert worked_on == [run_id]
    assert files_of(home) == set()
    with pytest.raises(NotFoundError):
        get_job(engine, run_id)


@pytest.mark.parametrize("ending", ["stopped", "deleted"])
def test_an_import_that_does_not_come_in_leaves_no_pictures(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    kept = coloured_dataset(home, 1, ("red",))
    make_project(engine, home, kept)
    before = files_of(home)
    project_id = create_project(engine, "bob", "Reds").id
    job_id = create_job(engine, "import", project_id, staged(home, "red"))
    job = claim_job(engine, "import")
    assert job is not None

    def gather_and_end(*arguments: object, **options: object) -> object:
        gathered = gather(*arguments, **options)  # type: ignore[arg-type]
        assert len(files_of(home)) > len(before)
        if ending == "deleted":
            delete_project(engine, project_id, home)
            return gathered
        request_stop(engine, job_id)
        raise StopRequested

    monkeypatch.setattr(import_task, "gather", gather_and_end)
    monkeypatch.setattr(worker, "lower_priority", lambda: None)
    monkeypatch.setattr(worker, "leave_out_of_keras", lambda: None)
    worker.work(job_id, job.attempt, import_pictures)
    assert files_of(home) == before


def test_a_picture_that_is_there_is_not_written_again(home: DataRoot) -> None:
    files = [("red/1.png", png(picture("red", 1)))]
    key = collect([FileSource(tuple(files))], Dataset(), ImageStore(home)).dataset.items[0].image
    inode = ImageStore(home).path(key).stat().st_ino
    collect([FileSource(tuple(files))], Dataset(), ImageStore(home))
    assert ImageStore(home).path(key).stat().st_ino == inode


def test_edits_made_meanwhile_do_not_make_an_import_look_again(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_id = make_project(engine, home, coloured_dataset(home, 2, BLUE))
    job_id = create_job(engine, "import", project_id, staged(home, "red"))
    job = claim_job(engine, "import")
    assert job is not None
    looked = 0

    def gather_while_others_edit(*arguments: object, **options: object) -> object:
        nonlocal looked
        looked += 1
        gathered = gather(*arguments, **options)  # type: ignore[arg-type]
        commit_version(engine, project_id, coloured_dataset(home, 3, BLUE), "edited", parent=1, home=home)
        return gathered

    monkeypatch.setattr(import_task, "gather", gather_while_others_edit)
    monkeypatch.setattr(worker, "lower_priority", lambda: None)
    monkeypatch.setattr(worker, "leave_out_of_keras", lambda: None)
    assert worker.work(job_id, job.attempt, import_pictures) == 0
    number, dataset = current_dataset(engine, project_id, home)
    assert (looked, number, len(dataset.items)) == (1, 3, 10)
    assert sorted(dataset.class_names) == ["blue", "green", "red"]


def test_an_undo_while_another_tab_makes_room_leaves_a_project_that_opens(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_database(home)
    project_id = create_project(engine, "ann", "P").id
    for number, colour in enumerate(COLOURS):
        dataset = coloured_dataset(home, 1, (colour,))
        commit_version(engine, project_id, dataset, "edit", parent=number or None, home=home)

    def make_room(*arguments: Any) -> Version:
        version = get_version(*arguments)
        remove_versions(engine, project_id, home, undo_steps=0)
        return version

    monkeypatch.setattr(datasets, "get_version", make_room)
    with pytest.raises(ConflictError, match="removed to make room"):
        undo_version(engine, project_id, current=len(COLOURS))
    monkeypatch.undo()
    assert current_dataset(engine, project_id, home) == (len(COLOURS), dataset)
    assert create_run(engine, project_id, len(COLOURS), RunConfig())
    with pytest.raises(ConflictError, match="removed to make room"):
        create_run(engine, project_id, 1, RunConfig())
