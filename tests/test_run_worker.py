"""Imports and runs by real worker processes: what they write while they work, and how they end."""

import io
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace

import psutil
import pytest
import sqlalchemy as sa

from tests.coloured_pictures import COLOURS, picture, png
from tests.queued_run import create_run
from tests.ready_projects import start_run
from tlcore.config import HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import Dataset
from tlcore.errors import FullDiskError, StorageError
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.jobs import control, reporting, tasks, worker
from tlcore.jobs.control import start_job, stop_job
from tlcore.jobs.deaths import UNWRITTEN_EXIT_CODE
from tlcore.jobs.processes import ROOT_DIR, identity_of
from tlcore.jobs.reporting import JobProgress
from tlcore.results.prediction import load_predictor
from tlcore.storage.database import jobs, open_database, writing
from tlcore.storage.datasets import commit_version, current_dataset
from tlcore.storage.jobs import (
    JobStatus,
    claim_job,
    create_job,
    end_job,
    get_job,
    read_result,
    request_stop,
    requeue_job,
    retake_job,
    write_result,
)
from tlcore.storage.projects import create_project
from tlcore.storage.requests import ImportRequest, ImportSummary, StagedFile
from tlcore.storage.runs import RunSummary, get_run, read_metrics
from tlcore.storage.staging import make_staging_dir
from tlcore.training.run import RunResult

CONFIG = RunConfig(
    model=ModelConfig(image_size=64, head=HeadConfig(dropout=0.0)),
    training=TrainingConfig(epochs=3, batch_size=8, learning_rate=0.01, patience=None),
)
ENDLESS = replace(CONFIG, training=replace(CONFIG.training, epochs=1000, learning_rate=1e-4))


@dataclass(frozen=True)
class Lab:
    """A data root with a project, and the job that brought its pictures."""

    home: DataRoot
    engine: sa.Engine
    project_id: str
    import_id: str
    staging: str

    def start(self, config: RunConfig) -> str:
        version, _ = current_dataset(self.engine, self.project_id, self.home)
        assert version is not None
        return start_run(self.engine, self.project_id, version, config, self.home)


def wait_for(
    engine: sa.Engine, job_id: str, condition: Callable[[JobStatus], object], seconds: float = 90
) -> JobStatus:
    deadline = time.monotonic() + seconds
    while not condition(job := get_job(engine, job_id)):
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job


def wait_for_end(engine: sa.Engine, job_id: str, seconds: float = 90) -> JobStatus:
    return wait_for(engine, job_id, lambda job: not job.is_active, seconds)


def coloured_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for colour in COLOURS:
            for number in range(8):
                archive.writestr(f"pictures/{colour}/{number}.png", png(picture(colour, number)))
        archive.writestr("pictures/red/broken.jpg", b"this is no picture")
    return buffer.getvalue()


def staged_zip(home: DataRoot) -> ImportRequest:
    staging = make_staging_dir(home)
    (staging / "0").write_bytes(coloured_zip())
    return ImportRequest(staging=staging.name, archives=(StagedFile("0", "colours.zip"),))


@pytest.fixture(scope="module")
def lab(prepared_home: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The pictures of a ZIP file, brought by a real import; whatever process is left is ended."""
    home = DataRoot(tmp_path_factory.mktemp("worker") / "home")
    shutil.copytree(prepared_home.path, home.path)
    before = set(psutil.Process().children(recursive=True))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(ENVIRONMENT_VARIABLE, str(home.path))
        patched.setattr(control, "RUNNER_MODULE", "tests.workers.quick_runner")
        engine = open_database(home)
        project_id = create_project(engine, "ann", "Colours").id
        request = staged_zip(home)
        import_id = start_job(engine, home, "import", project_id, request)
        wait_for_end(engine, import_id)
        yield Lab(home, engine, project_id, import_id, request.staging or "")
    for process in set(psutil.Process().children(recursive=True)) - before:
        with suppress(psutil.Error):
            process.kill()
            process.wait(5)


@pytest.fixture(scope="module")
def finished(lab: Lab) -> str:
    """A run that trained to its end."""
    run_id = lab.start(CONFIG)
    wait_for_end(lab.engine, run_id)
    return run_id


def test_an_import_commits_a_version_and_lists_what_was_refused(lab: Lab) -> None:
    job = get_job(lab.engine, lab.import_id)
    assert (job.state, job.message) == ("finished", "")
    number, dataset = current_dataset(lab.engine, lab.project_id, lab.home)
    assert (number, len(dataset.items), set(dataset.class_names)) == (1, 24, set(COLOURS))
    summary = read_result(lab.engine, lab.import_id, ImportSummary)
    assert summary is not None
    assert summary.added == 24
    (refused,) = summary.refused
    assert refused.name.endswith("red/broken.jpg")
    assert refused.reason
    assert not (lab.home.path / "imports" / lab.staging).exists()


def test_a_run_trains_to_its_end_and_leaves_a_model(lab: Lab, finished: str) -> None:
    run = get_run(lab.engine, finished)
    assert (run.job.state, run.job.message) == ("finished", "")
    assert run.summary is not None
    assert run.summary.epochs == 3
    assert run.summary.test_total > 0
    points = read_metrics(lab.engine, finished)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert [point.epoch for point in points if point.name == name and point.epoch == int(point.epoch)] == [1, 2, 3]
    predictor = load_predictor(lab.home.run_dir(finished), lab.home)
    answers = predictor.predict([picture(colour, 500) for colour in COLOURS]).argmax(axis=1)
    assert [predictor.class_names[answer] for answer in answers] == list(COLOURS)


def test_a_run_with_another_learning_rate_computes_no_features_and_is_stopped_with_its_best_epoch(
    lab: Lab, finished: str
) -> None:
    before = sorted((lab.home.path / "features").rglob("*.features"))
    assert before
    run_id = lab.start(ENDLESS)
    phases = set()

    def in_third_epoch(job: JobStatus) -> bool:
        phases.add(job.phase)
        assert job.is_active, job
        return any(point.epoch >= 3 for point in read_metrics(lab.engine, run_id))

    working = wait_for(lab.engine, run_id, in_third_epoch)
    assert (working.state, working.phase, working.total) == ("running", "training", 1000)
    assert working.heartbeat is not None
    assert time.time() - working.heartbeat < 5
    assert not [phase for phase in phases if phase.endswith("features")]
    stop_job(lab.engine, working, lab.home)
    run = get_run(lab.engine, wait_for_end(lab.engine, run_id).id)
    assert run.job.state == "stopped"
    assert run.summary is not None
    assert f"the one of epoch {run.summary.best_epoch}, the best so far" in run.job.message
    assert run.has_model
    assert sorted((lab.home.path / "features").rglob("*.features")) == before


def test_a_killed_worker_is_noticed_within_ten_seconds_and_its_run_goes_on(lab: Lab) -> None:
    run_id = lab.start(ENDLESS)
    job = wait_for(lab.engine, run_id, lambda job: job.state == "running")
    assert job.pid is not None
    psutil.Process(job.pid).kill()
    job = wait_for(lab.engine, run_id, lambda job: job.causes, seconds=10)
    assert "ended from outside" in job.message
    wait_for(lab.engine, run_id, lambda job: job.state == "running" and job.attempt == 2)
    stop_job(lab.engine, job, lab.home)
    assert wait_for_end(lab.engine, run_id).state == "stopped"


def test_a_killed_import_goes_on_and_brings_all_its_pictures(lab: Lab) -> None:
    project_id = create_project(lab.engine, "ann", "Again").id
    job_id = start_job(lab.engine, lab.home, "import", project_id, staged_zip(lab.home))
    job = wait_for(lab.engine, job_id, lambda job: job.state == "running")
    assert job.pid is not None
    psutil.Process(job.pid).kill()
    ended = wait_for_end(lab.engine, job_id)
    assert (ended.state, ended.attempt, ended.causes) == ("finished", 2, ("killed",))
    number, dataset = current_dataset(lab.engine, project_id, lab.home)
    assert (number, len(dataset.items)) == (1, 24)


def test_a_data_set_that_allows_no_training_fails_with_what_to_do(lab: Lab) -> None:
    project_id = create_project(lab.engine, "bob", "One class").id
    _, dataset = current_dataset(lab.engine, lab.project_id, lab.home)
    one = replace(dataset, classes=dataset.classes[:1], items=dataset.of_class(dataset.classes[0].id))
    version = commit_version(lab.engine, project_id, one, "one", parent=None, home=lab.home)
    job = wait_for_end(lab.engine, start_run(lab.engine, project_id, version, CONFIG, lab.home))
    assert (job.state, job.message[:35]) == ("failed", "Training needs at least two classes")


# --- around the work, without a runner


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


@pytest.fixture
def claimed(engine: sa.Engine) -> JobStatus:
    """A run that was claimed and has no worker yet."""
    create_run(engine, create_project(engine, "ann", "Colours").id, 1, CONFIG)
    job = claim_job(engine, "run")
    assert job is not None
    return job


def test_a_worker_says_itself_which_process_it_is(home: DataRoot, engine: sa.Engine) -> None:
    project_id = create_project(engine, "ann", "Colours").id
    create_job(engine, "import", project_id, staged_zip(home))
    job = claim_job(engine, "import")
    assert job is not None
    command = [sys.executable, "-m", "tlcore.jobs.worker", job.id, str(job.attempt)]
    process = subprocess.Popen(command, cwd=ROOT_DIR)
    started = identity_of(process.pid)
    assert process.wait(30) == 0
    ended = get_job(engine, job.id)
    assert (ended.state, ended.pid, ended.process) == ("finished", process.pid, started)


def test_the_heart_goes_on_beating_after_a_full_disk(
    engine: sa.Engine, claimed: JobStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "HEARTBEAT_SECONDS", 0.02)
    progress = JobProgress(engine, claimed.id, claimed.attempt)
    failures = iter(range(3))

    def full_at_first(engine: sa.Engine) -> object:
        if next(failures, None) is not None:
            raise StorageError("The disk is full.")
        return writing(engine)

    monkeypatch.setattr(reporting, "writing", full_at_first)
    with writing(engine) as connection:
        connection.execute(sa.update(jobs).values(heartbeat=0.0))
    wait_for(engine, claimed.id, lambda job: (job.heartbeat or 0) > 0, seconds=5)
    assert next(failures, None) is None
    end_job(engine, progress._job_id, claimed.attempt, "finished")


@pytest.mark.parametrize(("failures", "code", "state"), [(2, 0, "failed"), (99, UNWRITTEN_EXIT_CODE, "running")])
def test_the_last_words_wait_for_space_on_the_disk(
    engine: sa.Engine,
    claimed: JobStatus,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
    code: int,
    state: str,
) -> None:
    left = iter(range(failures))

    def end_later(*arguments: object) -> object:
        if next(left, None) is not None:
            raise StorageError("The disk is full.")
        return end_job(*arguments)  # type: ignore[arg-type]

    def task(_context: worker.WorkerContext) -> tuple[str, str]:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(worker, "end_job", end_later)
    monkeypatch.setattr(worker, "END_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(worker, "lower_priority", lambda: None)
    assert worker.work(claimed.id, claimed.attempt, task) == code  # type: ignore[arg-type]
    job = get_job(engine, claimed.id)
    assert job.state == state
    assert job.message == ("The disk is full." if code == 0 else "")


def test_simple_heads_that_meet_a_full_disk_leave_nothing(
    engine: sa.Engine, home: DataRoot, claimed: JobStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = create_job(engine, "simple_heads", claimed.project_id)
    job = claim_job(engine, "simple_heads")
    assert job is not None
    folder = home.simple_heads_dir / job_id

    def task(_context: worker.WorkerContext) -> None:
        (folder / "knn").mkdir(parents=True)
        (folder / "knn" / "head.npz").write_bytes(b"one of three")
        raise FullDiskError("The disk is full.")

    monkeypatch.setattr(worker, "lower_priority", lambda: None)
    assert worker.work(job_id, job.attempt, task) == 0
    ended = get_job(engine, job_id)
    assert (ended.state, ended.message) == ("failed", "The disk is full.")
    assert not folder.exists()


def test_the_last_words_of_a_job_wait_as_long_as_the_disk_is_full(
    engine: sa.Engine, claimed: JobStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(range(3 * worker.END_TRIES))

    def end_later(*arguments: object) -> object:
        if next(left, None) is not None:
            raise FullDiskError("Nothing was saved: the disk is full.")
        return end_job(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "end_job", end_later)
    monkeypatch.setattr(worker, "END_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(worker, "lower_priority", lambda: None)
    assert worker.work(claimed.id, claimed.attempt, lambda _context: None) == 0
    assert get_job(engine, claimed.id).state == "finished"


@pytest.mark.parametrize("asked", ["before it went on", "while it worked"])
def test_a_rescue_cannot_be_stopped_and_knows_why_it_is_one(
    engine: sa.Engine, claimed: JobStatus, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    reason = "The training program did not answer in time, so it was ended by force."
    request_stop(engine, claimed.id)
    if asked == "while it worked":
        assert retake_job(engine, claimed.id, 1, "forced", reason) is not None
    else:
        assert requeue_job(engine, claimed.id, 1, "forced", reason)
        assert claim_job(engine, "run") is not None
    contexts: list[worker.WorkerContext] = []

    def task(context: worker.WorkerContext) -> tuple[str, str]:
        contexts.append(context)
        monkeypatch.setattr(reporting, "WRITE_SECONDS", 0.0)
        context.progress.phase("testing")
        context.progress.check()
        assert get_job(engine, claimed.id).rescue
        return "stopped", f"{context.reason} Kept."

    monkeypatch.setattr(worker, "lower_priority", lambda: None)
    assert worker.work(claimed.id, 2, task) == 0  # type: ignore[arg-type]
    (context,) = contexts
    assert (context.is_rescue, context.was_stopped, context.attempt) == (True, True, 2)
    job = get_job(engine, claimed.id)
    assert (job.state, job.message) == ("stopped", f"{reason} Kept.")


def test_an_import_that_died_after_its_work_is_not_done_twice(home: DataRoot, engine: sa.Engine) -> None:
    project_id = create_project(engine, "ann", "Colours").id
    request = staged_zip(home)
    job_id = create_job(engine, "import", project_id, request)
    job = claim_job(engine, "import")
    assert job is not None
    summary = ImportSummary(24, 0, (), ())
    with writing(engine) as connection:
        write_result(connection, job_id, 1, summary)
    assert subprocess.run([sys.executable, "-m", "tlcore.jobs.worker", job_id, "1"], cwd=ROOT_DIR).returncode == 0
    assert get_job(engine, job_id).state == "finished"
    assert read_result(engine, job_id, ImportSummary) == summary
    assert not (home.imports_dir / (request.staging or "")).exists()
    assert current_dataset(engine, project_id, home)[0] is None


def test_something_unexpected_ends_with_words(
    engine: sa.Engine, claimed: JobStatus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def task(_context: worker.WorkerContext) -> tuple[str, str]:
        raise ZeroDivisionError

    monkeypatch.setattr(worker, "lower_priority", lambda: None)
    assert worker.work(claimed.id, claimed.attempt, task) == 0  # type: ignore[arg-type]
    assert "worker.log" in get_job(engine, claimed.id).message
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("result", "state", "words"),
    [
        (RunResult(None, stopped=True), "stopped", "before the first epoch"),
        (RunResult(RunSummary(4, 6, 0.9, 1, 1, 1, 1, 1.0), stopped=True), "stopped", "epoch 4"),
        (RunResult(RunSummary(4, 6, 0.9, 1, 1, 1, 1, 1.0), False, diverged=True), "finished", "smaller learning"),
        (RunResult(RunSummary(4, 6, 0.9, 1, 1, 1, 1, 1.0), stopped=False), "finished", ""),
    ],
)
def test_a_run_ends_with_words_for_the_way_it_ended(
    home: DataRoot,
    engine: sa.Engine,
    claimed: JobStatus,
    monkeypatch: pytest.MonkeyPatch,
    result: RunResult,
    state: str,
    words: str,
) -> None:
    monkeypatch.setattr(tasks, "get_version", lambda *_: SimpleNamespace(content=""))
    monkeypatch.setattr(tasks, "load_dataset", lambda *_: Dataset())
    monkeypatch.setattr(tasks, "train_classifier", lambda *_, **_options: result)
    progress = JobProgress(engine, claimed.id, claimed.attempt)
    ended, message = tasks.train(worker.WorkerContext(engine, home, claimed.id, claimed.attempt, progress))
    assert ended == state
    assert words in message
    assert get_run(engine, claimed.id).summary == result.summary
