"""What is kept: projects, versions, pictures, jobs and runs; also when processes are killed or the disk is full."""

import errno
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from pathlib import Path

import filelock
import pytest
import sqlalchemy as sa

from tests.queued_run import create_run
from tlcore.config import RunConfig, TrainingConfig
from tlcore.dataset import Dataset, Item, with_class
from tlcore.errors import ConflictError, ImageError, NotFoundError, StorageError
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot, write_atomically
from tlcore.intake.archives.archive import Refusal
from tlcore.jobs.processes import ROOT_DIR
from tlcore.storage import database
from tlcore.storage.database import open_database, writing
from tlcore.storage.datasets import commit_version, get_version, load_dataset, undo_version
from tlcore.storage.deletion import delete_project
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import (
    LostJobError,
    claim_job,
    create_job,
    end_job,
    get_job,
    insert_job,
    list_jobs,
    queue_position,
    read_request,
    read_result,
    request_stop,
    requeue_job,
    write_job,
    write_result,
)
from tlcore.storage.projects import (
    Project,
    create_project,
    get_project,
    mark_visited,
    read_projects,
    update_config,
)
from tlcore.storage.requests import ImportRequest, ImportSummary, StagedFile
from tlcore.storage.runs import (
    MetricPoint,
    RunSummary,
    get_run,
    list_runs,
    read_metrics,
    write_metrics,
    write_summary,
)
from tlcore.storage.staging import make_staging_dir, remove_staging_dir

SUMMARY = RunSummary(2, 5, 0.9, 55, 58, 2562, 3_371_000, 12.5)


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


@pytest.fixture
def project(engine: sa.Engine) -> Project:
    return create_project(engine, "ann", "Cats")


def start_program(module: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT_DIR, stdout=subprocess.PIPE, text=True)


# The data root


def test_the_data_root_is_the_configured_one(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    assert DataRoot.configured() == home
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)
    assert DataRoot.configured() == DataRoot(Path.home() / ".transfer-lab")


def test_a_relative_data_root_means_the_same_folder_for_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "lab")
    assert DataRoot.configured() == DataRoot(tmp_path / "lab")


def test_a_full_disk_leaves_the_old_file_and_no_rest(home: DataRoot) -> None:
    path = home.path / "file.bin"
    write_atomically(path, lambda temporary: temporary.write_bytes(b"old"))

    def write_until_full(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"The disk is full. Free some space"):
        write_atomically(path, write_until_full)
    assert path.read_bytes() == b"old"
    assert list(home.path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_file_that_the_system_does_not_let_grow_leaves_the_old_one(home: DataRoot) -> None:
    path = home.path / "file.bin"
    write_atomically(path, lambda temporary: temporary.write_bytes(b"old"))
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from tlcore.errors import StorageError; from tlcore.home import write_atomically\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_atomically(Path(sys.argv[1]), lambda t: t.write_bytes(b'x' * 5000))\n"
        "except StorageError as error: print(error)\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT_DIR, capture_output=True, text=True, check=True
    )
    assert "could not be written" in shown.stdout
    assert path.read_bytes() == b"old"
    assert list(home.path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_data_root_without_rights_is_put_into_words(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="cannot be written"):
        open_database(DataRoot(tmp_path / "home"))


# The database


def test_a_newer_database_is_refused_and_left_alone(home: DataRoot, engine: sa.Engine) -> None:
    with writing(engine) as connection:
        connection.execute(sa.update(database.schema_version).values(version=database.SCHEMA_VERSION + 1))
        connection.exec_driver_sql("DROP TABLE metrics")
    with pytest.raises(StorageError, match=r"newer Transfer Lab .*Update Transfer Lab"):
        open_database(home)
    assert "metrics" not in sa.inspect(engine).get_table_names()


def test_a_file_that_is_no_database_is_put_into_words(home: DataRoot) -> None:
    home.path.mkdir()
    (home.path / "lab.sqlite").write_bytes(b"this is no database " * 100)
    with pytest.raises(StorageError, match="cannot be opened"):
        open_database(home)


def test_a_data_root_may_have_any_name(tmp_path: Path) -> None:
    home = DataRoot(tmp_path / "50 % of #1 & Ünï")
    create_project(open_database(home), "ann", "Cats")
    assert (home.path / "lab.sqlite").is_file()
    assert [project.name for project in read_projects(open_database(home), "ann")[0]] == ["Cats"]


def test_a_new_database_can_be_opened_by_many_at_once(home: DataRoot) -> None:
    with ThreadPoolExecutor(12) as pool:
        engines = list(pool.map(open_database, [home] * 12))
    with engines[0].begin() as connection:
        found = connection.execute(sa.select(database.schema_version.c.version)).scalars().all()
        assert found == [database.SCHEMA_VERSION]


def test_a_new_database_is_prepared_by_one_at_a_time(home: DataRoot) -> None:
    with ThreadPoolExecutor(1) as pool:
        with filelock.FileLock(home.path / "lab.sqlite.lock"):
            opening = pool.submit(open_database, home)
            with pytest.raises(FutureTimeoutError):
                opening.result(0.3)
            assert not (home.path / "lab.sqlite").exists()
        with opening.result(10).connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


def test_a_write_on_a_full_disk_is_put_into_words_and_reading_goes_on(engine: sa.Engine, project: Project) -> None:
    with engine.connect() as connection:
        pages = int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())

    @sa.event.listens_for(engine, "begin")
    def fill_the_disk(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    def create_many_projects() -> None:
        for _ in range(1000):
            create_project(engine, "ann", "x" * 80)

    with pytest.raises(StorageError, match=r"Nothing was saved: .*disk is full.*Free some space"):
        create_many_projects()
    assert get_project(engine, project.id, "ann") == project


def test_killed_writers_lose_no_acknowledged_row(engine: sa.Engine, project: Project) -> None:
    run_id = create_run(engine, project.id, 1, RunConfig())
    claim_job(engine, "run")
    acknowledged = 0
    for enough in (1, 40, 160):
        with start_program("tests.workers.writer", run_id) as writer:
            lines = []
            assert writer.stdout is not None
            for line in writer.stdout:
                lines.append(line)
                if len(lines) == enough:
                    writer.kill()
        acknowledged += len([line for line in lines if line.endswith("\n")])
        stored = read_metrics(engine, run_id)
        # The row that was stored but not yet acknowledged may be there, once per kill.
        assert acknowledged <= len(stored) <= acknowledged + 1
        acknowledged = len(stored)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


# Projects


def test_a_project_is_there_for_its_owner_only(engine: sa.Engine, project: Project) -> None:
    assert get_project(engine, project.id, "ann") == project
    assert read_projects(engine, "bob")[0] == []
    with pytest.raises(NotFoundError) as someone_elses:
        get_project(engine, project.id, "bob")
    with pytest.raises(NotFoundError) as missing:
        get_project(engine, "missing", "ann")
    assert str(someone_elses.value) == str(missing.value)


def test_projects_are_listed_newest_first(engine: sa.Engine) -> None:
    for name in ("first", "second", "third"):
        create_project(engine, "ann", name)
    assert [project.name for project in read_projects(engine, "ann")[0]] == ["third", "second", "first"]


@pytest.mark.parametrize(
    ("typed", "kept"), [("", "My project"), (" a\n b ", "a b"), ("\x00", "My project"), ("x" * 200, "x" * 80)]
)
def test_a_project_always_has_a_printable_name(engine: sa.Engine, typed: str, kept: str) -> None:
    project = create_project(engine, "ann", typed)
    assert project.name == kept


def test_two_tabs_keep_each_others_settings(engine: sa.Engine, project: Project) -> None:
    def change(epochs: int) -> None:
        def add(config: RunConfig) -> RunConfig:
            training = config.training
            return replace(config, training=replace(training, epochs=training.epochs + 1))

        update_config(engine, project.id, add)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(40)))
    assert get_project(engine, project.id, "ann").config.training.epochs == RunConfig().training.epochs + 40


def test_settings_of_a_deleted_project_cannot_be_changed(engine: sa.Engine, project: Project) -> None:
    delete_project(engine, project.id, DataRoot.configured())
    with pytest.raises(NotFoundError, match="deleted"):
        update_config(engine, project.id, lambda config: config)


def test_visited_steps_are_remembered_once(engine: sa.Engine, project: Project) -> None:
    for step in ("data", "model", "data"):
        mark_visited(engine, get_project(engine, project.id, "ann"), step)
    mark_visited(engine, project, "train")  # a tab with an old snapshot
    mark_visited(engine, project, "data")
    assert get_project(engine, project.id, "ann").visited == ("data", "model", "train")


def test_deleting_a_project_removes_all_its_rows(engine: sa.Engine, project: Project) -> None:
    commit_version(engine, project.id, Dataset(), "new", parent=None, home=DataRoot.configured())
    run_id = create_run(engine, project.id, 1, RunConfig())
    create_job(engine, "import", project.id, ImportRequest(sample="digits"))
    claim_job(engine, "run")
    with writing(engine) as connection:
        write_metrics(connection, run_id, 1, 1.0, {"loss": 1.0})
    delete_project(engine, project.id, DataRoot.configured())
    with engine.connect() as connection:
        for table in database.metadata.sorted_tables:
            # Turns belong to the person: whoever deletes a project does not go first again.
            if table.name not in ("schema_version", "turns"):
                assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 0, table.name
    with writing(engine) as connection, pytest.raises(LostJobError):
        write_job(connection, run_id, 1)


# Versions of the data set


def test_versions_are_numbered_and_immutable(engine: sa.Engine, project: Project) -> None:
    one, cat = with_class(Dataset(), "cat")
    two = replace(one, items=(Item("1", cat.id, "train", "1.jpg"),))
    assert commit_version(engine, project.id, one, "class cat", parent=None, home=DataRoot.configured()) == 1
    assert commit_version(engine, project.id, two, "1 picture", parent=1, home=DataRoot.configured()) == 2
    assert get_project(engine, project.id, "ann").version == 2
    assert load_dataset(get_version(engine, project.id, 1).content, DataRoot.configured()) == one
    assert load_dataset(get_version(engine, project.id, 2).content, DataRoot.configured()) == two
    assert get_version(engine, project.id, 2).note == "1 picture"


def test_undo_goes_back_and_the_next_edit_gets_a_new_number(engine: sa.Engine, project: Project) -> None:
    cats, _ = with_class(Dataset(), "cat")
    dogs, _ = with_class(cats, "dog")
    birds, _ = with_class(cats, "bird")
    commit_version(engine, project.id, cats, "cat", parent=None, home=DataRoot.configured())
    commit_version(engine, project.id, dogs, "dog", parent=1, home=DataRoot.configured())
    assert undo_version(engine, project.id, current=2) == 1
    assert commit_version(engine, project.id, birds, "bird", parent=1, home=DataRoot.configured()) == 3
    assert get_version(engine, project.id, 3).parent == 1
    assert load_dataset(get_version(engine, project.id, 2).content, DataRoot.configured()) == dogs
    assert undo_version(engine, project.id, current=3) == 1
    assert undo_version(engine, project.id, current=1) is None
    assert get_project(engine, project.id, "ann").version is None


def test_of_two_tabs_that_edit_the_same_version_the_second_is_told(engine: sa.Engine, project: Project) -> None:
    commit_version(engine, project.id, Dataset(), "new", parent=None, home=DataRoot.configured())
    commit_version(
        engine, project.id, with_class(Dataset(), "cat")[0], "first tab", parent=1, home=DataRoot.configured()
    )
    with pytest.raises(ConflictError, match="another tab"):
        commit_version(
            engine, project.id, with_class(Dataset(), "dog")[0], "second tab", parent=1, home=DataRoot.configured()
        )
    with pytest.raises(ConflictError, match="another tab"):
        undo_version(engine, project.id, current=1)
    assert get_project(engine, project.id, "ann").version == 2


def test_of_many_tabs_that_edit_at_once_one_wins(engine: sa.Engine, project: Project) -> None:
    def edit(number: int) -> bool:
        try:
            commit_version(
                engine,
                project.id,
                with_class(Dataset(), str(number))[0],
                "edit",
                parent=None,
                home=DataRoot.configured(),
            )
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(edit, range(8))) == 1


def test_a_damaged_version_is_noticed(home: DataRoot, engine: sa.Engine, project: Project) -> None:
    commit_version(engine, project.id, with_class(Dataset(), "cat")[0], "cat", parent=None, home=home)
    content = get_version(engine, project.id, 1).content
    path = home.path / "datasets" / f"{content}.json"
    path.write_bytes(path.read_bytes().replace(b"cat", b"dog"))
    with pytest.raises(StorageError, match=r"damaged. Undo"):
        load_dataset(content, home)
    path.unlink()
    with pytest.raises(StorageError, match="missing"):
        load_dataset(content, home)


def test_a_version_of_another_project_is_not_found(engine: sa.Engine, project: Project) -> None:
    commit_version(engine, project.id, Dataset(), "new", parent=None, home=DataRoot.configured())
    other = create_project(engine, "ann", "Other")
    with pytest.raises(NotFoundError):
        get_version(engine, other.id, 1)


# Pictures


def test_the_same_picture_is_kept_once(home: DataRoot) -> None:
    store = ImageStore(home)
    thumbnail = b"\xff\xd8 a thumbnail \xff\xd9"
    key = store.add(b"picture", thumbnail)
    assert store.add(b"picture", b"another thumbnail") == key
    assert store.add(b"other", thumbnail) != key
    assert store.read(key) == b"picture"
    assert store.thumbnail(key) == thumbnail
    assert len([path for path in (home.path / "images").rglob("*") if path.is_file()]) == 2


def test_a_picture_that_could_not_be_written_leaves_no_part(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ImageStore(home)
    write_bytes = Path.write_bytes

    def fill_the_disk(path: Path, data: bytes) -> int:
        write_bytes(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(StorageError, match="disk is full"):
        store.add(b"picture", b"thumbnail")
    assert [path for path in home.path.rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    assert store.read(store.add(b"picture", b"thumbnail")) == b"picture"


def test_many_threads_may_bring_the_same_picture(home: DataRoot) -> None:
    store = ImageStore(home)
    data = b"picture" * 10_000
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: store.add(data, b"thumbnail"), range(40)))
    assert store.read(keys.pop()) == data
    assert not keys


def test_a_missing_picture_is_put_into_words(home: DataRoot) -> None:
    with pytest.raises(ImageError, match="A stored picture is missing"):
        ImageStore(home).read("0" * 64)


# Jobs


def test_jobs_of_one_person_are_claimed_oldest_first_and_by_kind(engine: sa.Engine) -> None:
    names = [create_project(engine, "ann", str(number)).id for number in range(3)]
    runs = [create_run(engine, project_id, 1, RunConfig()) for project_id in names]
    an_import = create_job(engine, "import", names[0], ImportRequest(sample="digits"))
    claimed = [claim_job(engine, "run") for _ in range(4)]
    assert [job.id if job else None for job in claimed] == [*runs, None]
    assert {job.state for job in claimed if job} == {"starting"}
    job = claim_job(engine, "import")
    assert job is not None
    assert (job.id, job.attempt) == (an_import, 1)


def test_many_processes_claim_each_job_once(engine: sa.Engine, project: Project) -> None:
    with writing(engine) as connection:
        waiting = {insert_job(connection, "run", project.id) for _ in range(120)}
    claimers = [start_program("tests.workers.claimer") for _ in range(4)]
    claimed = [line.strip() for claimer in claimers for line in claimer.communicate(timeout=60)[0].splitlines()]
    assert sorted(claimed) == sorted(waiting)


def test_the_place_in_line_counts_those_who_came_before(engine: sa.Engine, project: Project) -> None:
    with writing(engine) as connection:
        ids = [insert_job(connection, "run", project.id) for _ in range(4)]
        insert_job(connection, "import", project.id)
        # As by a coarse clock.
        connection.execute(sa.update(database.jobs).values(created=1.0))
    in_line = [job.id for job in list_jobs(engine, states=("queued",)) if job.kind == "run"]
    assert sorted(in_line) == sorted(ids)
    assert [queue_position(engine, get_job(engine, job_id)) for job_id in in_line] == [0, 1, 2, 3]
    first = claim_job(engine, "run")
    assert first is not None
    assert first.id == in_line[0]
    assert [queue_position(engine, get_job(engine, job_id)) for job_id in in_line[1:]] == [1, 2, 3]
    end_job(engine, first.id, 1, "finished")
    assert queue_position(engine, get_job(engine, in_line[1])) == 0


def test_a_worker_of_an_older_attempt_may_not_write(engine: sa.Engine, project: Project) -> None:
    run_id = create_run(engine, project.id, 1, RunConfig())
    claim_job(engine, "run")
    assert requeue_job(engine, run_id, 1)
    with writing(engine) as connection, pytest.raises(LostJobError):
        write_job(connection, run_id, 1)
    again = claim_job(engine, "run")
    assert again is not None
    assert again.attempt == 2
    for write in (
        lambda connection: write_job(connection, run_id, 1, phase="training"),
        lambda connection: write_metrics(connection, run_id, 1, 1.0, {"loss": 1.0}),
        lambda connection: write_summary(connection, run_id, 1, SUMMARY),
    ):
        with pytest.raises(LostJobError), writing(engine) as connection:
            write(connection)
    assert not end_job(engine, run_id, 1, "finished")
    assert not requeue_job(engine, run_id, 1)
    run = get_run(engine, run_id)
    assert (run.job.state, run.job.phase, run.summary, read_metrics(engine, run_id)) == ("starting", "", None, [])


def test_an_ended_job_stays_ended(engine: sa.Engine, project: Project) -> None:
    run_id = create_run(engine, project.id, 1, RunConfig())
    claim_job(engine, "run")
    assert end_job(engine, run_id, 1, "failed", "Why")
    assert not end_job(engine, run_id, 1, "finished")
    with pytest.raises(LostJobError), writing(engine) as connection:
        write_job(connection, run_id, 1, state="running")
    request_stop(engine, run_id)
    job = get_job(engine, run_id)
    assert (job.state, job.message, job.stop_requested, job.is_active) == ("failed", "Why", None, False)


def test_a_waiting_job_stops_at_once_and_a_working_one_is_asked(engine: sa.Engine, project: Project) -> None:
    run_id = create_run(engine, project.id, 1, RunConfig())
    request_stop(engine, run_id)
    assert get_job(engine, run_id).state == "stopped"
    second = create_run(engine, project.id, 1, RunConfig())
    claim_job(engine, "run")
    request_stop(engine, second)
    asked = get_job(engine, second).stop_requested
    request_stop(engine, second)
    assert get_job(engine, second).stop_requested == asked is not None
    assert get_job(engine, second).state == "starting"


# Runs


def test_a_double_click_starts_one_run(engine: sa.Engine, project: Project) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: create_run(engine, project.id, 1, RunConfig()), range(16)))
    assert len(ids) == 1
    run_id = ids.pop()
    claim_job(engine, "run")
    assert create_run(engine, project.id, 1, RunConfig()) == run_id
    end_job(engine, run_id, 1, "finished")
    assert create_run(engine, project.id, 1, RunConfig()) != run_id


def test_an_import_does_not_keep_a_run_from_waiting_and_projects_do_not_share_runs(
    engine: sa.Engine, project: Project
) -> None:
    create_job(engine, "import", project.id, ImportRequest(sample="digits"))
    other = create_project(engine, "bob", "Other")
    first, second = (create_run(engine, each.id, 1, RunConfig()) for each in (project, other))
    assert first != second
    assert [run.number for run in list_runs(engine, project.id) + list_runs(engine, other.id)] == [1, 1]


def test_a_run_of_a_deleted_project_cannot_start(engine: sa.Engine, project: Project) -> None:
    delete_project(engine, project.id, DataRoot.configured())
    with pytest.raises(NotFoundError, match="deleted"):
        create_run(engine, project.id, 1, RunConfig())
    with pytest.raises(NotFoundError, match="deleted"):
        create_job(engine, "import", project.id, ImportRequest(sample="digits"))


def test_a_run_keeps_its_configuration_curves_and_summary(engine: sa.Engine, project: Project) -> None:
    config = RunConfig(training=TrainingConfig(epochs=3))
    run_id = create_run(engine, project.id, 7, config)
    assert not get_run(engine, run_id).has_model
    claim_job(engine, "run")
    with writing(engine) as connection:
        write_metrics(connection, run_id, 1, 0.5, {"loss": 2.0})
        write_metrics(connection, run_id, 1, 1.0, {"loss": 1.0, "val_loss": math.inf, "accuracy": math.nan})
        write_metrics(connection, run_id, 1, 2.0, {"loss": math.nan})
        write_summary(connection, run_id, 1, SUMMARY)
    run = get_run(engine, run_id)
    assert (run.id, run.number, run.version, run.config, run.summary) == (run_id, 1, 7, config, SUMMARY)
    assert run.has_model
    assert read_metrics(engine, run_id) == [MetricPoint(0.5, "loss", 2.0), MetricPoint(1.0, "loss", 1.0)]


def test_runs_are_numbered_and_listed_newest_first(engine: sa.Engine, project: Project) -> None:
    for _ in range(3):
        end_job(engine, create_run(engine, project.id, 1, RunConfig()), 0, "finished")
        request_stop(engine, list_runs(engine, project.id)[0].id)
    assert [run.number for run in list_runs(engine, project.id)] == [3, 2, 1]


def test_a_missing_run_is_put_into_words(engine: sa.Engine) -> None:
    with pytest.raises(NotFoundError, match="This run is not here"):
        get_run(engine, "missing")


# Imports


def test_an_import_keeps_what_was_asked_and_what_became_of_it(engine: sa.Engine, project: Project) -> None:
    request = ImportRequest(staging="import-1", files=(StagedFile("0", "cat/1.jpg"),), class_name="cat")
    job_id = create_job(engine, "import", project.id, request)
    assert read_request(engine, job_id, ImportRequest) == request
    assert read_result(engine, job_id, ImportSummary) is None
    claim_job(engine, "import")
    summary = ImportSummary(1, 2, (Refusal("x.txt", "Not a picture."),), ("A note.",))
    with writing(engine) as connection:
        write_result(connection, job_id, 1, summary)
    assert read_result(engine, job_id, ImportSummary) == summary


def test_a_staging_folder_is_removed_with_its_files(home: DataRoot) -> None:
    folder = make_staging_dir(home)
    (folder / "0").write_bytes(b"x")
    assert folder.parent == home.imports_dir
    remove_staging_dir(folder.name, home)
    assert not folder.exists()
