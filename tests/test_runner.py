"""Jobs as real processes: started, watched, stopped, adopted; also when the runner or a worker is killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import pytest
import sqlalchemy as sa

from tests.ready_projects import start_run
from tests.stepped_runner import end_at_once, new_measure, running, step_until, wait_until
from tlcore.config import RunConfig
from tlcore.errors import StorageError
from tlcore.home import DataRoot
from tlcore.jobs import control, reporting, runner, slots
from tlcore.jobs.control import ensure_runner, runner_lock, stop_job
from tlcore.jobs.processes import ROOT_DIR, identity_of, is_alive, kill
from tlcore.jobs.runner import Runner
from tlcore.storage.database import jobs, open_database, writing
from tlcore.storage.deletion import delete_project
from tlcore.storage.jobs import claim_job, create_job, get_job, insert_job, queue_position, request_stop, write_job
from tlcore.storage.projects import create_project
from tlcore.storage.requests import ImportRequest

pytestmark = pytest.mark.usefixtures("sleepers")


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


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
def test_the_runner_outlives_an_interrupt_of_the_server(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]
) -> None:
    """Ctrl-C goes to the whole process group of the terminal; the runner is in another one."""
    run_id = new_run()
    ensure_runner(home)
    wait_until(lambda: get_job(engine, run_id).state == "running")
    (process,) = runner_processes()
    assert os.getpgid(process.pid) != os.getpgid(0)


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
