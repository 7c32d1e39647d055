"""Leftovers of killed programs and ended work: each kind goes when it may, and nothing else does."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.coloured_pictures import COLOURS, RecordingProgress, coloured_dataset
from tests.queued_run import create_run
from tests.test_deletion import files_of, staged
from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.status import published_weights
from tlcore.config import ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import Dataset
from tlcore.home import DataRoot
from tlcore.intake.brought import Brought, Picture
from tlcore.intake.meaning.tree import read_tree
from tlcore.jobs.import_task import import_pictures
from tlcore.jobs.tasks import _take_over
from tlcore.jobs.worker import WorkerContext
from tlcore.ready_sets.registry import READY_SETS
from tlcore.storage import deletion, leftovers
from tlcore.storage.brought import save_brought
from tlcore.storage.database import jobs, open_database, server_days, writing
from tlcore.storage.datasets import commit_version, current_dataset, get_version, load_dataset, undo_version
from tlcore.storage.ensembles import EnsembleConfig, create_ensemble
from tlcore.storage.exams import open_exam
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import claim_job, create_job, end_job
from tlcore.storage.leftovers import KEPT_SECONDS, UNDO_STEPS, remove_leftovers
from tlcore.storage.projects import create_project
from tlcore.storage.requests import DoctorRequest, MapRequest, SettingsRequest, SimpleHeadsRequest
from tlcore.storage.runs import RunSummary, get_run, write_summary
from tlcore.storage.server_days import DAY_SECONDS, note_day, today
from tlcore.storage.staging import ABANDONED_SECONDS
from tlcore.storage.uploads import Announced, PieceWriter, begin_upload
from tlcore.training.checkpoint import CHECKPOINT_FILE

DAY_OLD, WEEK_OLD = (seconds + DAY_SECONDS + 60 for seconds in (ABANDONED_SECONDS, KEPT_SECONDS))
"""So old is what counts as left behind: the first of the days may have been one of a wrong clock."""

SUMMARY = RunSummary(1, 1, 0.9, 9, 10, 100, 1000, 1.0)


@pytest.fixture
def engine(home: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sa.Engine:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    engine = open_database(home)
    run_days(engine)
    return engine


def run_days(engine: sa.Engine, number: int = 20) -> None:
    """Let the server have run today and on the days before."""
    with writing(engine) as connection:
        connection.execute(sa.insert(server_days), [{"number": today() - ago} for ago in range(number)])


def made(path: Path, *, age: float = 0.0) -> Path:
    """Write a file into which nothing has come for some seconds, and its folder is as old."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    then = time.time() - age
    for one in (path, path.parent):
        os.utime(one, (then, then))
    return path


def grow_old(home: DataRoot, seconds: float = WEEK_OLD) -> None:
    """Let all pictures be brought before some time."""
    then = time.time() - seconds
    for folder in (home.images_dir, home.thumbnails_dir):
        for path in folder.glob("*/*"):
            os.utime(path, (then, then))


def end_run(engine: sa.Engine, run_id: str, state: str, summary: RunSummary | None = None) -> None:
    job = claim_job(engine, "run")
    assert job is not None
    assert job.id == run_id
    if summary is not None:
        with writing(engine) as connection:
            write_summary(connection, run_id, job.attempt, summary)
    end_job(engine, run_id, job.attempt, state)  # type: ignore[arg-type]


def ended_before(engine: sa.Engine, job_id: str, seconds: float) -> None:
    with writing(engine) as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(ended=time.time() - seconds))


def numbers(engine: sa.Engine, project_id: str) -> list[int]:
    query = sa.text("SELECT number FROM dataset_versions WHERE project_id = :id ORDER BY number")
    with engine.begin() as connection:
        return list(connection.execute(query, {"id": project_id}).scalars())


def edit(engine: sa.Engine, home: DataRoot, project_id: str, versions: int, dataset: Dataset) -> None:
    """Store so many versions, each with a list of its own."""
    number, _ = current_dataset(engine, project_id, home)
    for count in range(versions):
        classes = tuple(replace(one, name=f"{one.name} {number} {count}") for one in dataset.classes)
        renamed = replace(dataset, classes=classes)
        number = commit_version(engine, project_id, renamed, "renamed", parent=number, home=home)


def test_files_that_nobody_finished_go_after_a_day(engine: sa.Engine, home: DataRoot) -> None:
    old = DAY_OLD
    create_run(engine, create_project(engine, "ann", "P").id, 1, RunConfig())
    gone = [
        made(home.runs_dir / ".writing-ab.keras", age=old),
        made(home.images_dir / "ab" / ".writing-cd", age=old),
        made(home.path / ".given-up-1" / "x"),
    ]
    stays = [
        made(home.compiled_dir / ".writing-now.keras"),
        made(home.compiled_dir / "model.keras", age=old),
        made(home.images_dir / "ab" / "abcd", age=old),
        made(home.compiled_dir / "writing-.txt", age=old),
    ]
    remove_leftovers(engine, home)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in stays)


def test_every_kind_of_leftover_goes_and_what_is_needed_stays(
    engine: sa.Engine, home: DataRoot, tmp_path: Path
) -> None:
    week, day = WEEK_OLD, DAY_OLD
    ready_file, now_coming = (file for spec in READY_SETS for file in spec.files[:1] if spec.name.startswith("cifar"))
    weights = published_weights(get_backbone("mobilenet"))
    project_id = create_project(engine, "ann", "P").id
    dataset = coloured_dataset(home, 2)
    commit_version(engine, project_id, dataset, "made", parent=None, home=home)
    stray = coloured_dataset(home, 1, ("blue",)), coloured_dataset(home, 3, ("red",))
    stray_keys = {item.image for one in stray for item in one.items} - {item.image for item in dataset.items}
    assert stray_keys
    grow_old(home)
    fresh = ImageStore(home).add(b"brought yesterday", b"\xff\xd8 small \xff\xd9")

    def run(name: str, epochs: int) -> Path:
        run_id = create_run(engine, project_id, 1, RunConfig(training=TrainingConfig(epochs=epochs)))
        return home.run_dir(run_id) / name

    finished, failed, old, stopped, waiting = (run(CHECKPOINT_FILE, epochs) for epochs in range(1, 6))
    for path in (finished, failed, old, stopped, waiting):
        made(path)
        made(path.with_name("model.keras"))
        made(path.with_name("worker.log"))
    end_run(engine, finished.parent.name, "finished", SUMMARY)
    end_run(engine, failed.parent.name, "failed")
    end_run(engine, old.parent.name, "failed")
    ended_before(engine, old.parent.name, week)
    end_run(engine, stopped.parent.name, "stopped")
    heads = [create_job(engine, "simple_heads", project_id, SimpleHeadsRequest(1, ModelConfig())) for _ in range(2)]
    predictions = [create_job(engine, "prediction", project_id) for _ in range(2)]
    exports = [create_job(engine, "export", project_id) for _ in range(2)]
    for kind in ("simple_heads", "prediction", "export"):
        job = claim_job(engine, kind)  # type: ignore[arg-type]
        assert job is not None
        end_job(engine, job.id, job.attempt, "failed")
    gone = {
        finished,
        old,
        old.with_name("model.keras"),
        stopped,
        stopped.with_name("model.keras"),
        made(home.simple_heads_dir / heads[0] / "linear_svm" / "x"),
        made(home.predictions_dir / predictions[0] / "answers.sqlite"),
        made(home.exports_dir / exports[0] / "saved_model" / "saved_model.pb"),
        made(home.runs_dir / "of-nobody" / "model.keras", age=day),
        made(home.simple_heads_dir / "of-nobody" / "x", age=day),
        made(home.predictions_dir / "of-nobody" / "answers.sqlite", age=day),
        made(home.exports_dir / "of-nobody" / "model.tflite", age=day),
        made(home.versions_dir / f"{'0' * 64}.json"),
        made(home.thumbnails_dir / "ee" / ("e" * 64), age=day),
        made(ready_file.partial_path, age=week),
        made(weights.partial_path, age=week),
        made(home.imports_dir / "import-left" / "0", age=day),
        *(ImageStore(home).path(key) for key in stray_keys),
    }
    stays = {
        finished.with_name("model.keras"),
        failed,
        failed.with_name("model.keras"),
        old.with_name("worker.log"),
        waiting,
        waiting.with_name("model.keras"),
        made(home.simple_heads_dir / heads[1] / "linear_svm" / "x", age=week),
        made(home.predictions_dir / predictions[1] / "answers.sqlite", age=week),
        made(home.exports_dir / exports[1] / "model.tflite", age=week),
        made(home.runs_dir / "new" / "model.keras"),
        made(home.thumbnails_dir / "dd" / ("d" * 64)),
        made(now_coming.partial_path),
        made(tmp_path / "keras" / "datasets" / "mine" / "film.zip.part", age=week),
        made(tmp_path / "keras" / "models" / "of-another-program.h5.part", age=week),
        made(ready_file.own_path.with_name("of-another-program.part"), age=week),
        made(tmp_path / "keras" / "datasets" / "whole.zip", age=week),
        made(home.imports_dir / "import-now" / "0"),
        made(home.compiled_dir / "a.tflite", age=week),
        *(ImageStore(home).path(item.image) for item in dataset.items),
        ImageStore(home).path(fresh),
    }
    assert all(path.exists() for path in gone | stays)
    remove_leftovers(engine, home)
    assert {str(path) for path in gone if path.exists()} == set()
    assert {str(path) for path in stays if not path.exists()} == set()
    assert current_dataset(engine, project_id, home)[1] == dataset
    before = files_of(home)
    remove_leftovers(engine, home)
    assert files_of(home) == before


def test_a_checkpoint_is_there_for_whoever_tries_again_within_a_week(engine: sa.Engine, home: DataRoot) -> None:
    project_id = create_project(engine, "ann", "P").id
    failed = create_run(engine, project_id, 1, RunConfig())
    made(home.run_dir(failed) / CHECKPOINT_FILE)
    end_run(engine, failed, "failed")
    ended_before(engine, failed, KEPT_SECONDS - 3600)
    remove_leftovers(engine, home)
    again = create_run(engine, project_id, 1, RunConfig())
    _take_over(WorkerContext(engine, home, again, 1, RecordingProgress()), get_run(engine, again))
    assert (home.run_dir(again) / CHECKPOINT_FILE).exists()


@pytest.mark.parametrize("days", [2, 30, 3660])
def test_a_clock_that_is_set_forward_takes_nothing_new(
    days: int, engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = create_run(engine, create_project(engine, "ann", "P").id, 1, RunConfig())
    end_run(engine, failed, "failed")
    key = ImageStore(home).add(b"that a program has read", b"\xff\xd8 small \xff\xd9")
    name, _ = begin_upload([Announced("1.jpg", 2)], home)
    stays = (
        made(home.run_dir(failed) / CHECKPOINT_FILE),
        made(home.runs_dir / ".writing-now.keras"),
        made(home.runs_dir / "begun" / "model.keras"),
        made(home.thumbnails_dir / "ee" / ("e" * 64)),
        ImageStore(home).path(key),
        home.imports_dir / name,
    )
    right = time.time
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: right() + days * DAY_SECONDS)
        note_day(engine, home)
        remove_leftovers(engine, home)
    assert [path for path in stays if not path.exists()] == []
    remove_leftovers(engine, home)
    assert [path for path in stays if not path.exists()] == []


def test_an_upload_that_comes_in_stays_whatever_the_clock_shows(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _ = begin_upload([Announced("1.jpg", 2)], home)
    folder = home.imports_dir / name
    with PieceWriter(name, home):
        pass
    then = time.time() - WEEK_OLD
    os.utime(folder, (then, then))
    remove_leftovers(engine, home)
    assert folder.exists()
    later = time.monotonic() + ABANDONED_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    remove_leftovers(engine, home)
    assert not folder.exists()


def test_what_a_python_program_has_read_stays_for_a_week_when_versions_go(engine: sa.Engine, home: DataRoot) -> None:
    project_id = create_project(engine, "ann", "P").id
    dataset = coloured_dataset(home, 2)
    edit(engine, home, project_id, 1, dataset)
    edit(engine, home, project_id, UNDO_STEPS + 1, Dataset(classes=dataset.classes))
    grow_old(home, KEPT_SECONDS - 60)
    remove_leftovers(engine, home)
    assert len(numbers(engine, project_id)) == UNDO_STEPS + 1
    assert all(ImageStore(home).read(item.image) for item in dataset.items)
    grow_old(home)
    ImageStore(home).keep([dataset.items[0].image])
    remove_leftovers(engine, home)
    kept = [item.image for item in dataset.items if ImageStore(home).path(item.image).exists()]
    assert kept == [dataset.items[0].image]


def test_versions_go_that_nothing_needs(engine: sa.Engine, home: DataRoot) -> None:
    project_id, other = create_project(engine, "ann", "P").id, create_project(engine, "bob", "Q").id
    dataset = coloured_dataset(home, 1)
    edit(engine, home, project_id, 60, dataset)
    edit(engine, home, other, 3, dataset)
    create_run(engine, project_id, 2, RunConfig())
    ids = [create_run(engine, project_id, 3, RunConfig(training=TrainingConfig(epochs=n))) for n in (1, 2)]
    create_ensemble(
        engine, project_id, "G", 5, EnsembleConfig((ids[0], ids[1]), (0.5, 0.5)), test_correct=1, test_total=1
    )
    open_exam(engine, project_id, "x", 7)
    requests: Mapping[str, object] = {
        "doctor": DoctorRequest(9, ModelConfig()),
        "map": MapRequest(11, ModelConfig()),
        "simple_heads": SimpleHeadsRequest(13, ModelConfig()),
        "search": SettingsRequest(15, RunConfig()),
        "measure": SettingsRequest(17, RunConfig()),
    }
    shown = {"doctor": 10, "search": 16}
    for kind, request in requests.items():
        create_job(engine, kind, project_id, request)  # type: ignore[arg-type]
        job = claim_job(engine, kind)  # type: ignore[arg-type]
        assert job is not None
        end_job(engine, job.id, job.attempt, "finished")
        if kind in shown:  # of these the newest one is shown
            create_job(engine, kind, project_id, replace(request, version=shown[kind]))  # type: ignore[arg-type]
    create_job(engine, "measure", project_id, SettingsRequest(19, RunConfig()))  # which waits
    remove_leftovers(engine, home)
    needed = {2, 3, 5, 7, 10, 11, 13, 16, 19}
    assert numbers(engine, project_id) == sorted(needed | set(range(60 - UNDO_STEPS, 61)))
    assert numbers(engine, other) == [1, 2, 3]
    contents = {
        get_version(engine, one, number).content for one in (project_id, other) for number in numbers(engine, one)
    }
    assert {path.stem for path in home.versions_dir.glob("*.json")} == contents
    number: int | None = 60
    for _ in range(UNDO_STEPS):
        assert number is not None
        number = undo_version(engine, project_id, current=number)
        assert len(current_dataset(engine, project_id, home)[1].items) == 3
    # The highest number is never given twice, whatever was undone: browsers keep thumbnails by it.
    assert commit_version(engine, project_id, dataset, "again", parent=number, home=home) == 61
    remove_leftovers(engine, home)
    assert 61 in numbers(engine, project_id)
    assert 45 not in numbers(engine, project_id)


def test_pictures_that_can_be_read_in_another_way_stay(engine: sa.Engine, home: DataRoot) -> None:
    project_id = create_project(engine, "ann", "P").id
    import_id = create_job(engine, "import", project_id)
    key = coloured_dataset(home, 1, ("red",)).items[0].image
    grow_old(home)
    save_brought(engine, import_id, Brought((Picture(key, "red/1.png"),), read_tree([("", "red", "1.png")])))
    job = claim_job(engine, "import")
    assert job is not None
    end_job(engine, import_id, job.attempt, "finished")
    remove_leftovers(engine, home)
    assert ImageStore(home).read(key)


def test_a_sweep_during_imports_loses_nothing(engine: sa.Engine, home: DataRoot) -> None:
    """Sweeps go on all the time while pictures come in that lie there as old strays, ready to be removed."""
    projects = [create_project(engine, "ann", "P").id for _ in COLOURS]
    coloured_dataset(home, 20)
    grow_old(home)
    done = threading.Event()
    sweeps = 0

    def sweep() -> None:
        nonlocal sweeps
        while not done.is_set():
            remove_leftovers(engine, home)
            sweeps += 1

    sweeper = threading.Thread(target=sweep)
    try:
        for project_id, colour in zip(projects, COLOURS, strict=True):
            create_job(engine, "import", project_id, staged(home, colour, 20))
            job = claim_job(engine, "import")
            assert job is not None
            if not sweeper.is_alive():
                sweeper.start()
            import_pictures(WorkerContext(engine, home, job.id, job.attempt, RecordingProgress()))
            end_job(engine, job.id, job.attempt, "finished")
    finally:
        done.set()
        sweeper.join()
    print(f"{sweeps} sweeps")
    assert sweeps > 0
    for project_id in projects:
        _, dataset = current_dataset(engine, project_id, home)
        assert len(dataset.items) == 20
        for item in dataset.items:
            assert ImageStore(home).read(item.image)
            assert (home.thumbnails_dir / item.image[:2] / item.image).exists()


def test_one_part_that_fails_hinders_no_other(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(home.runs_dir / "of-nobody" / "model.keras", age=DAY_OLD)

    def refuse(*_: object) -> None:
        raise TypeError("which nobody foresaw")

    monkeypatch.setattr(leftovers, "remove_lists", refuse)
    made(home.versions_dir / f"{'0' * 64}.json")
    remove_leftovers(engine, home)
    assert not path.exists()


def test_a_sweep_that_was_killed_goes_on_the_next_day(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_id = create_project(engine, "ann", "P").id
    edit(engine, home, project_id, 1, coloured_dataset(home, 3))
    edit(engine, home, project_id, UNDO_STEPS + 1, coloured_dataset(home, 1))
    grow_old(home)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(deletion, "remove_lists", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_leftovers(engine, home)
    assert len(numbers(engine, project_id)) == UNDO_STEPS + 1
    assert len(list(home.versions_dir.glob("*.json"))) == UNDO_STEPS + 2
    remove_leftovers(engine, home)
    assert len(list(home.versions_dir.glob("*.json"))) == UNDO_STEPS + 1
    assert len([path for path in home.images_dir.glob("*/*") if path.is_file()]) == 3
    for path in home.versions_dir.glob("*.json"):
        assert load_dataset(path.stem, home)
