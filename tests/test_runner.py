"""Jobs as real processes: started, watched, stopped, adopted; also when the runner or a worker is killed."""

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import sqlalchemy as sa

from pages.components import job_words
from pages.components.job_words import hindrance, trouble_words
from pages.server import keeper
from tests.queued_run import create_run
from tests.ready_projects import start_run
from tlcore.config import RunConfig
from tlcore.errors import StorageError
from tlcore.home import DataRoot
from tlcore.jobs import beat, control, deaths, reporting, runner, slots
from tlcore.jobs.beat import Beat, silent_runner
from tlcore.jobs.control import ensure_runner, runner_lock, stop_job
from tlcore.jobs.deaths import MemoryWatch, account, cause_of, death_notice
from tlcore.jobs.processes import ROOT_DIR, identity_of, is_alive, kill, this_boot
from tlcore.jobs.runner import Runner
from tlcore.jobs.specs import JOBS
from tlcore.storage.database import jobs, open_database, writing
from tlcore.storage.deletion import delete_project
from tlcore.storage.jobs import (
    JobKind,
    JobStatus,
    claim_job,
    create_job,
    get_job,
    insert_job,
    queue_position,
    request_stop,
    requeue_job,
    write_job,
)
from tlcore.storage.projects import create_project
from tlcore.storage.requests import ImportRequest, SettingsRequest
from tlcore.storage.staging import make_staging_dir


@pytest.fixture(autouse=True)
def sleepers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers that sleep; whatever process a test leaves is ended."""
    before = set(psutil.Process().children(recursive=True))
    monkeypatch.setattr(runner, "WORKER_MODULE", "tests.workers.sleeper")
    monkeypatch.setattr(control, "RUNNER_MODULE", "tests.workers.short_runner")
    yield
    for process in set(psutil.Process().children(recursive=True)) - before:
        with suppress(psutil.Error):
            process.kill()
            process.wait(5)


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


@pytest.fixture
def new_run(engine: sa.Engine) -> Callable[[], str]:
    """Put a run of a project of its own in line."""
    return lambda: create_run(engine, create_project(engine, "ann", "Cats").id, 1, RunConfig())


def wait_until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def step_until(worker: Runner, condition: Callable[[], object]) -> None:
    def stepped() -> object:
        worker.step()
        return condition()

    wait_until(stepped)


def end_at_once(job: JobStatus) -> None:
    """As `kill -9` would."""
    assert job.pid is not None
    psutil.Process(job.pid).kill()


def test_a_run_is_started_and_ends_by_itself(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPER", "finish")
    run_id = new_run()
    working = Runner(engine, home)
    step_until(working, lambda: get_job(engine, run_id).state == "finished")
    assert (home.run_dir(run_id) / "worker.log").is_file()
    pid = get_job(engine, run_id).pid
    assert pid is not None
    step_until(working, lambda: not psutil.pid_exists(pid))
    assert not working.step()


def test_runs_work_one_after_the_other_and_see_their_place(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]
) -> None:
    first, second, third = new_run(), new_run(), new_run()
    working = Runner(engine, home)
    step_until(working, lambda: get_job(engine, first).state == "running")
    working.step()
    assert [get_job(engine, run_id).state for run_id in (second, third)] == ["queued", "queued"]
    assert [queue_position(engine, get_job(engine, run_id)) for run_id in (second, third)] == [1, 2]
    request_stop(engine, first)
    step_until(working, lambda: get_job(engine, second).state == "running")
    assert get_job(engine, first).message == "As you wished."
    assert queue_position(engine, get_job(engine, third)) == 1


def test_more_slots_let_more_runs_work_at_once(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(slots.SLOTS_VARIABLE, "2")
    ids = [new_run() for _ in range(3)]
    working = Runner(engine, home)
    step_until(working, lambda: [get_job(engine, run_id).state for run_id in ids] == ["running", "running", "queued"])


def test_an_import_does_not_wait_for_a_run(engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]) -> None:
    run_id = new_run()
    import_id = create_job(engine, "import", get_job(engine, run_id).project_id, ImportRequest(sample="digits"))
    working = Runner(engine, home)
    step_until(working, lambda: {get_job(engine, each).state for each in (run_id, import_id)} == {"running"})


def new_measure(engine: sa.Engine, key: str = "key") -> str:
    """Put a measurement of a project of its own in line."""
    return create_job(
        engine,
        "measure",
        create_project(engine, "ann", "Dogs").id,
        SettingsRequest(1, RunConfig()),
        key=key,
        replaces_waiting=True,
    )


def test_a_measurement_waits_until_nothing_else_works(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]
) -> None:
    run_id, measure_id = new_run(), new_measure(engine)
    working = Runner(engine, home)
    step_until(working, lambda: get_job(engine, run_id).state == "running")
    working.step()
    assert get_job(engine, measure_id).state == "queued"
    request_stop(engine, run_id)
    step_until(working, lambda: get_job(engine, measure_id).state == "running")
    assert (home.logs_dir / "measure" / "worker.log").is_file()


def test_a_run_does_not_wait_for_a_measurement_and_ends_it(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]
) -> None:
    measure_id = new_measure(engine)
    working = Runner(engine, home)
    step_until(working, lambda: get_job(engine, measure_id).state == "running")
    run_id = new_run()
    working.step()
    assert get_job(engine, run_id).state == "starting"
    step_until(working, lambda: get_job(engine, measure_id).state == "stopped")


def new_backbones(engine: sa.Engine) -> str:
    """Put a measurement of all backbones in line, for a project of its own."""
    project = create_project(engine, "ann", "Birds")
    with writing(engine) as connection:
        return insert_job(connection, "backbones", project.id)


def test_a_price_goes_before_the_measurement_of_all_backbones(engine: sa.Engine, home: DataRoot) -> None:
    backbones_id, measure_id = new_backbones(engine), new_measure(engine)
    working = Runner(engine, home)
    step_until(working, lambda: get_job(engine, measure_id).state == "running")
    assert get_job(engine, backbones_id).state == "queued"
    request_stop(engine, measure_id)
    step_until(working, lambda: get_job(engine, backbones_id).state == "running")
    second_id = new_measure(engine)
    step_until(working, lambda: get_job(engine, second_id).state == "running")
    assert get_job(engine, backbones_id).state == "stopped"


def test_one_measurement_works_at_a_time(engine: sa.Engine, home: DataRoot) -> None:
    ids = [new_measure(engine, "one"), new_measure(engine, "two")]
    working = Runner(engine, home)
    step_until(working, lambda: get_job(engine, ids[0]).state == "running")
    working.step()
    assert get_job(engine, ids[1]).state == "queued"


def end_and_wait_for_the_next(working: Runner, engine: sa.Engine, job_id: str) -> JobStatus:
    """Kill the worker of a job, and return the job when it has another one or has ended."""
    before = get_job(engine, job_id)
    end_at_once(before)

    def is_next() -> bool:
        job = get_job(engine, job_id)
        return not job.is_active or (job.state == "running" and job.attempt > before.attempt)

    step_until(working, is_next)
    return get_job(engine, job_id)


def running(working: Runner, engine: sa.Engine, job_id: str) -> JobStatus:
    step_until(working, lambda: get_job(engine, job_id).state == "running" and get_job(engine, job_id).process)
    return get_job(engine, job_id)


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


def test_a_cancelled_run_keeps_its_slot_until_its_process_is_gone(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPER", "deaf")
    monkeypatch.setattr(runner, "STOP_GRACE_SECONDS", 0.0)
    killed: list[int] = []
    monkeypatch.setattr(runner, "kill", lambda pid, _identity: killed.append(pid))  # it hangs in a slow disk
    run_id, next_id = new_run(), new_run()
    working = Runner(engine, home)
    job = running(working, engine, run_id)
    request_stop(engine, run_id)
    step_until(working, lambda: killed)
    working.step()
    assert (get_job(engine, run_id).state, get_job(engine, next_id).state) == ("running", "queued")
    end_at_once(job)
    step_until(working, lambda: get_job(engine, next_id).state == "running")
    assert not is_alive(job.pid, job.process)


@pytest.mark.parametrize("runner_dies", [False, True])
def test_a_run_that_ended_keeps_its_slot_until_its_process_is_gone(
    engine: sa.Engine,
    home: DataRoot,
    new_run: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    runner_dies: bool,
) -> None:
    monkeypatch.setenv("SLEEPER", "leave")
    run_id = new_run()
    working = Runner(engine, home)
    step_until(working, lambda: get_job(engine, run_id).state == "finished")
    job, next_id = get_job(engine, run_id), new_run()
    if runner_dies:
        working = Runner(engine, home)
    for _ in range(3):
        assert working.step()
    assert is_alive(job.pid, job.process)
    assert get_job(engine, next_id).state == "queued"
    monkeypatch.setattr(runner, "LEAVING_GRACE_SECONDS", 0.0)
    step_until(working, lambda: get_job(engine, next_id).state != "queued")
    assert not is_alive(job.pid, job.process)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_paused_worker_is_shown_is_not_started_twice_and_goes_on(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]
) -> None:
    run_id = new_run()
    working = Runner(engine, home)
    job = running(working, engine, run_id)
    assert not job.silent
    assert job.pid is not None
    psutil.Process(job.pid).suspend()
    step_until(working, lambda: get_job(engine, run_id).silent)
    for _ in range(5):
        working.step()
    paused = get_job(engine, run_id)
    assert (paused.state, paused.attempt, paused.pid, paused.deaths) == ("running", 1, job.pid, "")
    psutil.Process(job.pid).resume()
    step_until(working, lambda: not get_job(engine, run_id).silent)
    step_until(working, lambda: get_job(engine, run_id).done > paused.done)
    assert get_job(engine, run_id).pid == job.pid


def test_a_worker_whose_heart_stands_still_is_shown_on_whatever_clock(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runner.SILENT_SECONDS + reporting.HEARTBEAT_SECONDS < 15
    monkeypatch.setattr(runner, "SILENT_SECONDS", 0.3)
    monkeypatch.setenv("SLEEPER", "still")
    run_id = new_run()
    working = Runner(engine, home)
    job = running(working, engine, run_id)
    with writing(engine) as connection:  # by a clock that was set back since
        connection.execute(sa.update(jobs).values(heartbeat=time.time() + 3600))
    working.step()
    assert not get_job(engine, run_id).silent
    step_until(working, lambda: get_job(engine, run_id).silent)
    with writing(engine) as connection:
        write_job(connection, run_id, 1, done=1)
    step_until(working, lambda: not get_job(engine, run_id).silent)
    assert get_job(engine, run_id).pid == job.pid


@pytest.mark.parametrize("step_seconds", [-3600.0, -1.5, 1.5, 3600.0])
def test_a_step_of_the_clock_changes_nothing(
    engine: sa.Engine,
    home: DataRoot,
    new_run: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    step_seconds: float,
) -> None:
    monkeypatch.setenv("SLEEPER", "deaf")
    stopping_id, waiting_id = new_run(), new_run()
    monkeypatch.setenv(slots.SLOTS_VARIABLE, "2")
    working = Runner(engine, home)
    jobs_before = [running(working, engine, run_id) for run_id in (stopping_id, waiting_id)]
    request_stop(engine, stopping_id)
    # The start of a process by the clock is computed from that of the computer, which moves with the clock.
    right_time, right_start = time.time, psutil.Process.create_time
    monkeypatch.setattr(time, "time", lambda: right_time() + step_seconds)
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: right_start(process) + step_seconds)
    adopting = Runner(engine, home)
    for _ in range(3):
        working.step()
        adopting.step()
    for before in jobs_before:
        after = get_job(engine, before.id)
        assert (after.state, after.pid, after.attempt, after.silent) == ("running", before.pid, 1, False)
        assert is_alive(after.pid, after.process)


def test_a_start_in_the_future_does_not_block_the_queue(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "START_GRACE_SECONDS", 0.2)
    run_id = new_run()
    claim_job(engine, "run")
    with writing(engine) as connection:
        connection.execute(sa.update(jobs).values(started=time.time() + 1e6))
    step_until(Runner(engine, home), lambda: get_job(engine, run_id).state == "running")


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


def test_a_stopped_run_has_time_to_save_its_best_epoch(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPER", "save")
    monkeypatch.setattr(runner, "STOP_GRACE_SECONDS", 0.0)
    run_id = new_run()
    working = Runner(engine, home)
    step_until(working, lambda: get_job(engine, run_id).state == "running")
    request_stop(engine, run_id)
    for _ in range(5):
        working.step()
    assert get_job(engine, run_id).state == "running"
    monkeypatch.setattr(runner, "CLOSING_GRACE_SECONDS", 0.0)
    step_until(working, lambda: get_job(engine, run_id).state == "stopped")


def test_a_worker_of_a_deleted_project_ends(engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]) -> None:
    run_id = new_run()
    working = Runner(engine, home)
    step_until(working, lambda: get_job(engine, run_id).state == "running")
    job = get_job(engine, run_id)
    delete_project(engine, job.project_id, home)
    step_until(working, lambda: not is_alive(job.pid, job.process))


def test_a_killed_runner_leaves_its_worker_to_the_next_one(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]
) -> None:
    run_id = new_run()
    first_runner = subprocess.Popen([sys.executable, "-m", "tests.workers.short_runner"], cwd=ROOT_DIR)
    wait_until(lambda: get_job(engine, run_id).state == "running" and get_job(engine, run_id).pid is not None)
    first_runner.kill()
    first_runner.wait()
    job = get_job(engine, run_id)
    assert job.pid is not None
    assert job.process is not None
    try:
        assert is_alive(job.pid, job.process)
        working = Runner(engine, home)
        for _ in range(5):
            assert working.step()
        adopted = get_job(engine, run_id)
        assert (adopted.state, adopted.pid, adopted.attempt) == ("running", job.pid, 1)
        end_at_once(adopted)
        step_until(working, lambda: get_job(engine, run_id).causes == ("killed",))
    finally:
        kill(job.pid, job.process)


def test_a_job_whose_runner_died_before_starting_it_goes_back_in_line(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = new_run()
    claim_job(engine, "run")
    working = Runner(engine, home)
    working.step()
    assert get_job(engine, run_id).state == "starting"
    monkeypatch.setattr(runner, "START_GRACE_SECONDS", 0.0)
    step_until(working, lambda: get_job(engine, run_id).state == "running")
    assert get_job(engine, run_id).attempt == 2


def test_a_job_that_never_starts_is_given_up(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "START_GRACE_SECONDS", 0.0)
    run_id = new_run()
    with writing(engine) as connection:
        connection.execute(sa.update(jobs).values(attempt=runner.MAX_ATTEMPTS - 1))
    claim_job(engine, "run")
    working = Runner(engine, home)
    step_until(working, lambda: not get_job(engine, run_id).is_active)
    job = get_job(engine, run_id)
    assert (job.attempt, job.causes, job.message) == (runner.MAX_ATTEMPTS + 1, ("unstarted",), "Rescued.")


def test_a_job_that_was_stopped_before_its_worker_began_does_not_start_again(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "START_GRACE_SECONDS", 0.0)
    run_id = new_run()
    claim_job(engine, "run")
    request_stop(engine, run_id)
    Runner(engine, home).step()
    assert get_job(engine, run_id).state == "stopped"


def test_a_log_that_cannot_be_written_ends_the_job_and_not_the_runner(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]
) -> None:
    (home.path / "runs").write_text("a file where a folder should be")
    run_id = new_run()
    assert Runner(engine, home).step()
    job = get_job(engine, run_id)
    assert job.state == "failed"
    assert "could not be written" in job.message


def test_a_runner_survives_a_full_disk(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPER", "finish")
    working = Runner(engine, home)
    step, steps = working.step, []

    def step_on_a_full_disk() -> bool:
        steps.append(time.monotonic())
        if len(steps) < 3:
            raise StorageError("Nothing was saved: the disk is full.")
        return step()

    monkeypatch.setattr(Runner, "step", lambda _: step_on_a_full_disk())
    run_id = new_run()
    working.work(linger_seconds=1.0)
    assert get_job(engine, run_id).state == "finished"


def test_a_process_id_that_was_given_away_is_not_taken_for_the_worker() -> None:
    pid = os.getpid()
    started = identity_of(pid)
    assert started is not None
    assert is_alive(pid, started)
    assert not is_alive(pid, f"{started}0")
    assert not is_alive(None, None)
    kill(pid, f"{started}0")  # still here
    kill(pid, None)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no zombies")
def test_a_process_that_ended_and_was_not_collected_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        wait_until(lambda: identity_of(process.pid) is None)
        assert process.returncode is None


def test_killing_a_process_ends_its_children_too() -> None:
    code = (
        "import subprocess, sys, time; "
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        started = identity_of(process.pid)
        assert started is not None
        kill(process.pid, started)
    wait_until(lambda: identity_of(child) is None)


def runner_processes() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children():
        with suppress(psutil.Error):
            if "tests.workers.short_runner" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def is_locked(home: DataRoot) -> bool:
    lock = runner_lock(home)
    try:
        lock.acquire()
    except TimeoutError:
        return True
    lock.release()
    return False


def test_many_requests_start_one_runner(engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]) -> None:
    run_id = new_run()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: ensure_runner(home), range(6)))
    wait_until(lambda: get_job(engine, run_id).state == "running")
    wait_until(lambda: len(runner_processes()) == 1)
    assert is_locked(home)
    ensure_runner(home)
    assert len(runner_processes()) == 1


def test_a_run_goes_on_after_its_runner_was_killed_and_started_again(engine: sa.Engine, home: DataRoot) -> None:
    project_id = create_project(engine, "ann", "Cats").id
    run_id = start_run(engine, project_id, 1, RunConfig(), home)
    wait_until(lambda: get_job(engine, run_id).state == "running" and get_job(engine, run_id).pid is not None)
    job = get_job(engine, run_id)
    assert job.pid is not None
    assert job.process is not None
    try:
        for process in runner_processes():
            process.kill()
            process.wait(5)
        assert not is_locked(home)
        stop_job(engine, job, home)
        wait_until(lambda: get_job(engine, run_id).state == "stopped")
        assert get_job(engine, run_id).message == "As you wished."
        wait_until(lambda: len(runner_processes()) == 1)
    finally:
        kill(job.pid, job.process)


def test_a_job_that_comes_while_the_runner_leaves_is_not_forgotten(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPER", "finish")
    ids: list[str] = []
    work = Runner.work

    def work_until_a_job_comes(self: Runner) -> None:
        work(self, linger_seconds=0.3)
        if not ids:
            ids.append(new_run())
            ensure_runner(home)  # the lock is still held

    monkeypatch.setattr(Runner, "work", work_until_a_job_comes)
    runner.main()
    assert get_job(engine, ids[0]).state == "finished"


def test_a_second_runner_ends_at_once(home: DataRoot) -> None:
    home.path.mkdir()
    with runner_lock(home):
        runner.main()


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_paused_runner_is_noticed_and_no_second_one_is_started_beside_it(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPER", "finish")
    first, second = new_run(), new_run()
    assert silent_runner(home) is None
    ensure_runner(home)
    wait_until(lambda: get_job(engine, second).state == "finished")
    assert get_job(engine, first).state == "finished"
    assert silent_runner(home) is None
    (paused,) = runner_processes()
    paused.suspend()
    wait_until(lambda: silent_runner(home) == paused.pid)
    waiting = get_job(engine, new_run())
    for _ in range(3):
        ensure_runner(home)
    assert [process.pid for process in runner_processes()] == [paused.pid]
    assert hindrance(home) == "the program that begins it does not answer"
    assert "Nothing new begins until it goes on" in trouble_words(waiting, home)
    assert get_job(engine, waiting.id).state == "queued"
    paused.resume()
    wait_until(lambda: get_job(engine, waiting.id).state == "finished")
    assert get_job(engine, waiting.id).attempt == 1
    assert silent_runner(home) is None
    assert trouble_words(waiting, home) == ""
    paused.kill()
    paused.wait(5)
    assert silent_runner(home) is None  # there is none: the next one may come


def test_a_runner_that_looks_after_nothing_is_noticed_by_its_beat(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.path.mkdir(parents=True, exist_ok=True)
    since = time.monotonic()
    Beat(home).note()
    assert silent_runner(home) is None
    monkeypatch.setattr(time, "monotonic", lambda: since + 11.0)
    assert silent_runner(home) == os.getpid()
    Beat(home).note()
    assert silent_runner(home) is None
    assert home.runner_beat_path.stat().st_size == beat.LINE_BYTES
    home.runner_beat_path.write_text("")
    assert silent_runner(home) is None


def test_the_server_says_once_which_runner_does_not_answer(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter([None, 4321, 4321, None, 4321])
    looks = itertools.count(1)

    async def until_the_last(_seconds: float) -> None:
        if next(looks) == 5:
            raise asyncio.CancelledError

    monkeypatch.setattr(keeper, "silent_runner", lambda _home: next(answers))
    monkeypatch.setattr(keeper, "asyncio", SimpleNamespace(to_thread=asyncio.to_thread, sleep=until_the_last))
    with suppress(asyncio.CancelledError):
        asyncio.run(keeper.keep(home))
    said = capsys.readouterr().err
    assert said.count("does not answer (process 4321)") == 2
    assert "kill -CONT 4321" in said


def test_on_a_full_disk_nothing_begins_and_nobody_is_called_silent(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "SILENT_SECONDS", 0.3)
    monkeypatch.setenv("SLEEPER", "still")
    run_id = new_run()
    working = Runner(engine, home)
    job = running(working, engine, run_id)
    import_id = create_job(engine, "import", job.project_id, ImportRequest())
    with monkeypatch.context() as patched:
        for module in (runner, job_words):
            patched.setattr(module, "is_full", lambda _home: True)
        until = time.monotonic() + 1.0
        step_until(working, lambda: time.monotonic() > until)
        waiting = get_job(engine, import_id)
        assert (waiting.state, get_job(engine, run_id).silent) == ("queued", False)
        assert hindrance(home) == "the disk is full"
        assert "begins by itself as soon as there is room" in trouble_words(waiting, home)
        assert "goes on by itself as soon as there is room" in trouble_words(job, home)
        stopped = replace(job, stop_requested=1.0)
        assert "keeps its best epoch by itself as soon as there is room" in trouble_words(stopped, home)
        assert "may fail. Delete projects" in trouble_words(replace(job, kind="prediction"), home)
    step_until(working, lambda: get_job(engine, import_id).state != "queued")
    step_until(working, lambda: get_job(engine, run_id).silent)


def test_the_runner_outlives_an_interrupt_of_the_server(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]
) -> None:
    """Ctrl-C goes to the whole process group of the terminal; the runner is in another one."""
    run_id = new_run()
    ensure_runner(home)
    wait_until(lambda: get_job(engine, run_id).state == "running")
    (process,) = runner_processes()
    assert os.getpgid(process.pid) != os.getpgid(0)


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


def test_thirty_pages_that_ask_at_once_start_one_runner(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(*_arguments: object, **_options: object) -> subprocess.Popen[bytes]:
        # It never takes its lock, as on a computer that is too busy to begin.
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        return started[-1]

    monkeypatch.setattr(control, "start_module", start)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ensure_runner(home), range(30)))
    assert len(started) == 1
    started[0].kill()
    started[0].wait()
    ensure_runner(home)
    assert len(started) == 2
    monkeypatch.setattr(control, "RUNNER_START_SECONDS", 0.0)
    ensure_runner(home)
    assert len(started) == 3
