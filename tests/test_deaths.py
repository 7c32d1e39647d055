"""Why the program of a job ended: told by the evidence, put into words, and what becomes of the job then."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.stepped_runner import end_and_wait_for_the_next, end_at_once, new_measure, running, step_until, wait_until
from tlcore.errors import StorageError
from tlcore.home import DataRoot
from tlcore.jobs import deaths, runner
from tlcore.jobs.control import stop_job
from tlcore.jobs.deaths import MemoryWatch, account, cause_of, death_notice
from tlcore.jobs.processes import identity_of, is_alive, this_boot
from tlcore.jobs.runner import Runner
from tlcore.jobs.specs import JOBS
from tlcore.storage.database import open_database, writing
from tlcore.storage.jobs import JobKind, claim_job, create_job, get_job, request_stop, requeue_job, write_job
from tlcore.storage.projects import create_project
from tlcore.storage.requests import ImportRequest
from tlcore.storage.staging import make_staging_dir

pytestmark = pytest.mark.usefixtures("sleepers")


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


def test_a_killed_run_goes_on_twice_and_is_rescued_then(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]
) -> None:
    run_id = new_run()
    working = Runner(engine, home)
    first = running(working, engine, run_id)
    second = end_and_wait_for_the_next(working, engine, run_id)
    assert (second.state, second.attempt, second.deaths, second.rescue) == ("running", 2, "killed", False)
    assert second.pid != first.pid
    third = end_and_wait_for_the_next(working, engine, run_id)
    assert (third.attempt, third.causes) == (3, ("killed", "killed"))
    assert third.message == "The training program was ended from outside. It was tried 2 times."
    last = end_and_wait_for_the_next(working, engine, run_id)
    step_until(working, lambda: not get_job(engine, run_id).is_active)
    last = get_job(engine, run_id)
    assert (last.state, last.attempt, last.rescue, last.message) == ("stopped", 4, True, "Rescued.")
    assert last.causes == ("killed", "killed", "killed")


def test_a_killed_import_begins_again_and_is_put_into_words_when_it_is_given_up(
    engine: sa.Engine, home: DataRoot
) -> None:
    project_id = create_project(engine, "ann", "Cats").id
    job_id = create_job(engine, "import", project_id, ImportRequest(sample="digits"))
    working = Runner(engine, home)
    running(working, engine, job_id)
    for _ in range(3):
        job = end_and_wait_for_the_next(working, engine, job_id)
    assert (job.state, job.attempt) == ("failed", 3)
    assert job.message == (
        "The import program was ended from outside. It was tried 3 times. You can start again; if it happens again, "
        "tell your teacher."
    )


def test_a_killed_measurement_is_not_begun_again(engine: sa.Engine, home: DataRoot) -> None:
    measure_id = new_measure(engine)
    working = Runner(engine, home)
    running(working, engine, measure_id)
    job = end_and_wait_for_the_next(working, engine, measure_id)
    assert (job.state, job.attempt) == ("failed", 1)
    assert job.message.startswith("The measuring program was ended from outside. You can start again")


def test_memory_is_blamed_when_the_system_counted_it(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = iter([7, 8, 8])
    monkeypatch.setattr(runner, "MemoryWatch", lambda: MemoryWatch(lambda: next(counted)))
    measure_id = new_measure(engine)
    working = Runner(engine, home)
    running(working, engine, measure_id)
    message = end_and_wait_for_the_next(working, engine, measure_id).message
    assert message == (
        "The computer's memory ran out, so the system ended the measuring program. Close other programs or choose a "
        "smaller batch or backbone, then start again."
    )


def test_a_worker_that_ends_with_an_error_is_put_into_words(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPER", "crash")
    run_id = new_run()
    import_id = create_job(engine, "import", get_job(engine, run_id).project_id, ImportRequest(sample="digits"))
    working = Runner(engine, home)
    step_until(working, lambda: not any(get_job(engine, each).is_active for each in (run_id, import_id)))
    assert get_job(engine, run_id).causes == ("error", "error", "error")
    assert get_job(engine, import_id).message == (
        "The import program ended with an error. It was tried 3 times. You can start again; if it fails again, tell "
        "your teacher."
    )


def test_a_run_that_does_not_answer_is_ended_by_force_and_its_best_epoch_is_kept(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPER", "deaf")
    monkeypatch.setattr(runner, "STOP_GRACE_SECONDS", 0.5)
    run_id = new_run()
    working = Runner(engine, home)
    job = running(working, engine, run_id)
    request_stop(engine, run_id)
    working.step()
    assert get_job(engine, run_id).pid == job.pid
    step_until(working, lambda: get_job(engine, run_id).state == "stopped")
    assert not is_alive(job.pid, job.process)
    ended = get_job(engine, run_id)
    assert (ended.attempt, ended.rescue, ended.causes, ended.message) == (2, True, ("forced",), "Rescued.")


def test_an_import_that_does_not_answer_is_ended_by_force(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPER", "deaf")
    monkeypatch.setattr(runner, "STOP_GRACE_SECONDS", 0.0)
    job_id = create_job(engine, "import", create_project(engine, "ann", "Cats").id, ImportRequest(sample="digits"))
    working = Runner(engine, home)
    running(working, engine, job_id)
    request_stop(engine, job_id)
    step_until(working, lambda: not get_job(engine, job_id).is_active)
    job = get_job(engine, job_id)
    assert (job.state, job.message) == ("stopped", "Stopped by force; it did not answer in time.")


@pytest.mark.skipif(sys.platform != "linux", reason="the only system that names its starts")
def test_a_run_goes_on_after_the_computer_was_started_anew(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]
) -> None:
    """Its process id belongs to another process by now, which is left alone."""
    run_id = new_run()
    claim_job(engine, "run")
    _, _, ticks = (identity_of(os.getpid()) or "").partition(":")
    with writing(engine) as connection:
        write_job(connection, run_id, 1, state="running", pid=os.getpid(), process=f"another-boot:{ticks}")
    working = Runner(engine, home)
    job = running(working, engine, run_id)
    assert (job.attempt, job.causes) == (2, ("restart",))
    assert job.message == "The computer was started anew while the training program worked."


def test_a_run_that_an_earlier_version_began_goes_on(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]
) -> None:
    run_id = new_run()
    claim_job(engine, "run")
    with writing(engine) as connection:
        write_job(connection, run_id, 1, state="running", pid=os.getpid())
    working = Runner(engine, home)
    assert running(working, engine, run_id).attempt == 2


def test_a_stop_while_a_killed_run_waits_to_go_on_keeps_its_best_epoch(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]
) -> None:
    run_id = new_run()
    import_id = create_job(engine, "import", get_job(engine, run_id).project_id, ImportRequest(sample="digits"))
    kinds: tuple[JobKind, ...] = ("run", "import")
    for kind in kinds:
        claimed = claim_job(engine, kind)
        assert claimed is not None
        assert requeue_job(engine, claimed.id, 1, "killed", "The training program was ended from outside.")
        request_stop(engine, claimed.id)
    assert get_job(engine, import_id).state == "stopped"
    job = get_job(engine, run_id)
    assert job.state == "queued"
    assert job.stop_requested is not None


def test_the_reason_of_a_death_outlasts_a_full_disk(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPER", "crash")
    failures = iter(range(3))

    def full_at_first(*arguments: object) -> bool:
        if next(failures, None) is not None:
            raise StorageError("Nothing was saved: the disk is full.")
        return requeue_job(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "requeue_job", full_at_first)
    run_id = new_run()
    working = Runner(engine, home)

    def has_cause() -> object:
        with suppress(StorageError):
            working.step()
        return get_job(engine, run_id).causes

    wait_until(has_cause)
    assert set(get_job(engine, run_id).causes) == {"error"}
    assert next(failures, None) is None


@pytest.mark.parametrize(
    ("identity", "exit_code", "memory_ran_out", "cause"),
    [
        (f"{this_boot()}:1", -9, False, "killed"),
        (f"{this_boot()}:1", -9, True, "memory"),
        (f"{this_boot()}:1", None, True, "memory"),
        (f"{this_boot()}:1", None, False, "killed"),
        (f"{this_boot()}:1", -15, True, "killed"),
        (f"{this_boot()}:1", -11, True, "error"),
        (f"{this_boot()}:1", 1, True, "error"),
        (f"{this_boot()}:1", 74, False, "disk"),
        (None, None, False, "killed"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_the_cause_of_a_death_is_told_by_the_evidence(
    identity: str | None, exit_code: int | None, memory_ran_out: bool, cause: str
) -> None:
    assert cause_of(identity, exit_code, memory_ran_out=memory_ran_out) == cause


def test_each_cause_has_words_of_its_own() -> None:
    causes = ("killed", "memory", "disk", "restart", "error", "forced", "unstarted")
    assert len({death_notice([cause], JOBS["run"]) for cause in causes}) == len(causes)
    assert account(["killed", "restart", "killed"], JOBS["run"]) == (
        "The training program was ended from outside. The computer was started anew while the training program worked. "
        "It was tried 3 times."
    )
    # Written by a newer version.
    assert "ended from outside" in death_notice(["swallowed"], JOBS["run"])


def test_the_system_is_asked_how_often_memory_ran_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.events").write_text("low 0\noom 4\noom_kill 3\noom_group_kill 0\n")
    (tmp_path / "vmstat").write_text("nr_free_pages 1\noom_kill 12\n")
    counters = [tmp_path / "not-here", tmp_path / "memory.events", tmp_path / "vmstat"]
    monkeypatch.setattr(deaths, "_counters", lambda: counters)
    assert deaths.out_of_memory_kills() == 3
    monkeypatch.setattr(deaths, "_counters", lambda: counters[::2])
    assert deaths.out_of_memory_kills() == 12
    monkeypatch.setattr(deaths, "_counters", lambda: counters[:1])
    assert deaths.out_of_memory_kills() is None


def test_memory_that_ran_out_long_ago_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0
    watch = MemoryWatch(lambda: counted)
    counted = 1
    watch.look()
    assert watch.ran_out()
    monkeypatch.setattr(deaths, "EVIDENCE_SECONDS", 0.0)
    watch.look()
    assert watch.ran_out()
    watch.look()
    assert not watch.ran_out()


@pytest.mark.parametrize("ending", ["stopped in line", "killed"])
def test_what_an_import_waited_with_goes_when_it_cannot_come_in(engine: sa.Engine, home: DataRoot, ending: str) -> None:
    project_id = create_project(engine, "ann", "Cats").id
    (make_staging_dir(home) / "000000").write_bytes(b"a large archive")
    (staging,) = home.imports_dir.iterdir()
    job_id = create_job(engine, "import", project_id, ImportRequest(staging=staging.name))
    working = Runner(engine, home)
    if ending == "killed":
        step_until(working, lambda: get_job(engine, job_id).state == "running")
        for attempt in range(1, 4):
            step_until(working, lambda number=attempt: get_job(engine, job_id).attempt == number)  # type: ignore[misc]
            running(working, engine, job_id)
            assert staging.exists()
            end_at_once(get_job(engine, job_id))
        step_until(working, lambda: get_job(engine, job_id).state == "failed")
    else:
        stop_job(engine, get_job(engine, job_id), home)
    assert not staging.exists()
