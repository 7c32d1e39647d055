"""A disk with 24 MB left, then with none: what is stored stays, the app opens, and what fails says why.

The data root is a file system in memory of this process and its children alone (`unshare`, `mount`), whose size is set.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from tests.bench.figures import Line, figure
from tests.bench.material import PHOTOS
from tests.browser import open_browser, open_context, sign_in
from tests.coloured_pictures import coloured_dataset, picture, png
from tests.ready_projects import start_run
from tests.server import AppServer, prepare_home
from tests.signing import cookie_of
from tests.soak.small_runs import ENDLESS, SMALL
from tests.soak.visitor import OWNER
from tests.walking import BESIDE, STEPS, walk
from tlcore.config import RunConfig
from tlcore.errors import TransferLabError
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.jobs.beat import silent_runner
from tlcore.jobs.control import ensure_runner, start_job, stop_job
from tlcore.jobs.processes import ROOT_DIR
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version, current_dataset
from tlcore.storage.deletion import delete_project
from tlcore.storage.jobs import JobStatus, get_job
from tlcore.storage.projects import create_project, get_project
from tlcore.storage.requests import ImportRequest, PredictionRequest, StagedFile
from tlcore.storage.runs import get_run
from tlcore.storage.staging import make_staging_dir
from tlcore.training.checkpoint import CHECKPOINT_FILE

LEFT_BYTES = 24_000_000
AGAIN_BYTES = 64_000_000
"""So much is given back: a model of 14 MB is written twice, once for newer versions of Keras and once for all."""
SIZE_BYTES = 1_000_000_000
PATIENCE_SECONDS = 15.0
SILENT_SECONDS = 12.0
"""Longer than a worker may be silent."""
SHORT_SECONDS = 5.0
START_SECONDS = 90.0


def measure(home: DataRoot) -> Iterator[Line]:
    """Import, train, save, open and delete on a disk that is nearly or wholly full; then pause the runner."""
    home.path.mkdir(parents=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "none", str(home.path)], capture_output=True, text=True
    )
    if made.returncode:
        yield figure("disk: tried", 0, f"not here, where nobody may mount: {made.stderr.strip()}")
        return
    prepare_home(home)
    server = AppServer(home)
    server.start()  # once with room, as everywhere: it lays up a reserve
    server.clean_up()
    engine = open_database(home)
    runs: dict[str, str] = {}
    for name in ("Colours", "Shades"):
        project_id = create_project(engine, OWNER, name).id
        version = commit_version(engine, project_id, coloured_dataset(home, 8), "made", parent=None, home=home)
        runs[project_id] = start_run(engine, project_id, version, SMALL, home)
        _end_of(engine, runs[project_id])
    project_id, first_id = next(iter(runs.items()))
    before = _hashes(home.run_dir(first_id))
    _leave(home, LEFT_BYTES)
    yield _upload(engine, home)
    _leave(home, LEFT_BYTES)
    yield from _train(engine, home, project_id, version)
    yield _stop(engine, home, project_id, version)
    yield _save(engine, home, project_id, version)
    changed = sum(_hashes(home.run_dir(first_id))[name] != key for name, key in before.items())
    yield figure("disk: files of an earlier model that changed", changed, f"{len(before)} files", at_most=0)
    yield from _open_and_delete(engine, home, runs)
    yield _start_unprepared(home)
    _leave(home, SIZE_BYTES // 2)
    yield from _pause(engine, home, project_id, version)


def _upload(engine: sa.Engine, home: DataRoot) -> Line:
    """Bring more photos than there is room for."""
    project_id = create_project(engine, OWNER, "Photos").id
    staging = make_staging_dir(home)
    (staging / "0").write_bytes(PHOTOS.read_bytes())
    request = ImportRequest(staging=staging.name, archives=(StagedFile("0", PHOTOS.name),))
    job = _end_of(engine, start_job(engine, home, "import", project_id, request))
    number, _ = current_dataset(engine, project_id, home)
    good = job.state == "failed" and "disk" in job.message.lower() and number is None and not staging.exists()
    more = {"state": job.state, "message": job.message, "version": number, "staging left": staging.exists()}
    return figure(
        "disk: an import that does not fit is refused in words, and leaves nothing",
        good,
        f"a ZIP of 19 MB with {LEFT_BYTES / 1e6:g} MB left before it came",
        at_least=1,
        more=more,
    )


def _begin_training(engine: sa.Engine, home: DataRoot, project_id: str, version: int, seed: int) -> str:
    """Start a run that ends only when it is stopped, and wait for its first checkpoint; return its id."""
    run_id = start_run(engine, project_id, version, _seeded(ENDLESS, seed), home)
    checkpoint = home.run_dir(run_id) / CHECKPOINT_FILE
    while get_job(engine, run_id).is_active and not checkpoint.exists():
        time.sleep(0.1)
    return run_id


def _train(engine: sa.Engine, home: DataRoot, project_id: str, version: int) -> Iterator[Line]:
    """Take all the room away under a training, and give it back when the training has said so."""
    run_id = _begin_training(engine, home, project_id, version, seed=1)
    _leave(home, 0)
    said_seconds = _seconds_until(lambda: get_job(engine, run_id).phase == "waiting_for_room")
    said = get_job(engine, run_id)
    time.sleep(SILENT_SECONDS)
    later = get_job(engine, run_id)
    _leave(home, AGAIN_BYTES)
    on_seconds = _seconds_until(lambda: get_job(engine, run_id).phase == "training")
    stop_job(engine, get_job(engine, run_id), home)
    job, run = _end_of(engine, run_id), get_run(engine, run_id)
    how = "all room taken away when there is a checkpoint, given back 12 s after the run had said so"
    more = {"while it was full": (said.state, said.phase), "later": (later.state, later.phase)}
    yield figure("disk: a run says that the disk is full, in seconds", said_seconds, how, at_most=5, more=more)
    good = later.is_active and not later.silent and later.attempt == 1
    yield figure("disk: meanwhile it waits, keeps its place and is not called silent", good, how, at_least=1)
    yield figure("disk: it goes on by itself when there is room, in seconds", on_seconds, how, at_most=5)
    more = {"state": job.state, "message": job.message, "attempts": job.attempt}
    yield figure("disk: it keeps its best epoch", run.has_model, how, at_least=1, more=more)


def _stop(engine: sa.Engine, home: DataRoot, project_id: str, version: int) -> Line:
    """Stop a run that waits for room, then give the room back."""
    run_id = _begin_training(engine, home, project_id, version, seed=3)
    _leave(home, 0)
    _seconds_until(lambda: get_job(engine, run_id).phase == "waiting_for_room")
    stop_job(engine, get_job(engine, run_id), home)
    time.sleep(SHORT_SECONDS)
    waiting = get_job(engine, run_id)
    _leave(home, AGAIN_BYTES)
    job, run = _end_of(engine, run_id), get_run(engine, run_id)
    good = waiting.is_active and run.has_model and job.state == "stopped"
    more = {"while it was full": (waiting.state, waiting.phase), "state": job.state, "message": job.message}
    how = "stopped while it waited for room, which came 5 s later"
    return figure("disk: a run that is stopped on a full disk keeps its best epoch", good, how, at_least=1, more=more)


def _save(engine: sa.Engine, home: DataRoot, project_id: str, version: int) -> Line:
    """Take all the room away before a model is saved."""
    run_id = start_run(engine, project_id, version, _seeded(SMALL, 2), home)
    while get_job(engine, run_id).is_active and get_job(engine, run_id).phase not in ("training", "testing", "saving"):
        time.sleep(0.02)
    _leave(home, 0)
    time.sleep(SHORT_SECONDS)
    waiting = get_job(engine, run_id)
    _leave(home, AGAIN_BYTES)
    job, run = _end_of(engine, run_id), get_run(engine, run_id)
    good = run.has_model and job.state == "finished"
    more = {"while it was full": (waiting.state, waiting.phase), "state": job.state, "message": job.message}
    how = "all room taken away at the last epochs, given back after 5 s"
    return figure("disk: a run that cannot save its model waits, and saves it then", good, how, at_least=1, more=more)


def _open_and_delete(engine: sa.Engine, home: DataRoot, runs: dict[str, str]) -> Iterator[Line]:
    """Start the server on a full disk, walk through all pages, download, delete a project, and go on with the rest."""
    project_id, run_id = next(iter(runs.items()))
    staging = make_staging_dir(home)
    (staging / "0").write_bytes(png(picture("red", 99)))
    asked = PredictionRequest(run_id, staging.name, (), (StagedFile("0", "red.png"),))
    answers_id = start_job(engine, home, "prediction", project_id, asked)
    _end_of(engine, answers_id)
    unwanted = create_project(engine, OWNER, "Unwanted").id
    commit_version(engine, unwanted, coloured_dataset(home, 2), "made", parent=None, home=home)
    _leave(home, 0)
    how = "no room at all: two projects with models, a real server and a real browser"
    server, seen, wrong, downloads = AppServer(home), 0, [], []
    try:
        server.start()
        with open_browser() as browser:
            context = open_context(browser)
            sign_in(context, server.address, OWNER)
            for where, errors in walk(context.new_page(), server.address, runs):
                seen += not errors
                wrong += [f"{where}: {error}" for error in errors]
        for path in (f"/download/{run_id}/model.zip", f"/answers/{answers_id}/answers.csv"):
            asked_for = urllib.request.Request(server.address + path, headers={"Cookie": cookie_of(OWNER, home)})
            with urllib.request.urlopen(asked_for, timeout=30) as answer:
                downloads.append(len(answer.read()))
    except (AssertionError, LookupError, OSError) as error:
        wrong.append(str(error)[-300:])
    yield figure(
        "disk: pages that open without an error, Home among them",
        seen,
        how,
        at_least=1 + len(BESIDE) + len(runs) * len(STEPS),
        more={"why not": wrong[:5]},
    )
    yield figure(
        "disk: downloads that come, a model and a table of answers",
        sum(size > 100 for size in downloads),
        how,
        at_least=2,
        more={"bytes": downloads},
    )
    try:
        delete_project(engine, unwanted, home)
        is_gone = unwanted not in _project_ids(engine)
        why = ""
    except TransferLabError as error:
        is_gone, why = False, str(error)
    yield figure("disk: a project can be deleted", is_gone, how, at_least=1, more={"why not": why})
    _leave(home, AGAIN_BYTES)
    is_there = get_project(engine, project_id, OWNER).version is not None
    yield figure("disk: the other project is as it was", is_there, how, at_least=1)
    again = create_project(engine, OWNER, "Again").id
    staging = make_staging_dir(home)
    files = [StagedFile(str(number), f"{colour}/{number}.png") for number, colour in enumerate(["red", "blue"] * 6)]
    for number, file in enumerate(files):
        (staging / file.path).write_bytes(png(picture(file.name.split("/")[0], 500 + number)))
    brought = _end_of(
        engine, start_job(engine, home, "import", again, ImportRequest(staging=staging.name, files=tuple(files)))
    )
    trained_id = start_run(
        engine, project_id, get_project(engine, project_id, OWNER).version or 0, _seeded(SMALL, 4), home
    )
    trained = _end_of(engine, trained_id)
    server.clean_up()
    more = {"import": (brought.state, brought.message), "run": (trained.state, trained.message)}
    good = brought.state == trained.state == "finished"
    how = "room given back, the same server goes on"
    yield figure("disk: then an import and a run work again without a restart", good, how, at_least=1, more=more)


def _start_unprepared(home: DataRoot) -> Line:
    """Start the app as people do where the disk is full before the backbone was compiled."""
    other = DataRoot(home.path / "unprepared")
    first = AppServer(other)
    first.start()  # an earlier version ran here
    first.clean_up()
    _leave(home, 0)
    server = AppServer(other)
    environment = {**os.environ, ENVIRONMENT_VARIABLE: str(other.path)}
    command = [sys.executable, "app.py", "--installed", "--no-browser", "--port", str(server.port)]
    begun = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT_DIR, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    def answers() -> bool:
        try:
            return urllib.request.urlopen(f"{server.address}/_stcore/health", timeout=2).status == 200
        except OSError:
            return process.poll() is not None

    _seconds_until(answers, START_SECONDS)
    runs, seconds = process.poll() is None, time.monotonic() - begun
    process.terminate()
    said, _ = process.communicate(timeout=30)
    server.clean_up()
    more = {"said": [line for line in said.splitlines() if "disk" in line or "starts" in line]}
    how = f"python app.py on a full disk, no backbone compiled; {seconds:.0f} s"
    return figure("disk: the app starts, and says that the backbone is made later", runs, how, at_least=1, more=more)


def _pause(engine: sa.Engine, home: DataRoot, project_id: str, version: int) -> Iterator[Line]:
    """Pause the runner while a run works and another one waits."""
    working = _begin_training(engine, home, project_id, version, seed=5)
    waiting = start_run(engine, project_id, version, _seeded(SMALL, 6), home)
    pid = int(home.runner_beat_path.read_text("ascii").split()[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        noticed = _seconds_until(lambda: silent_runner(home) == pid)
        for _ in range(20):
            ensure_runner(home)
            time.sleep(0.1)
        others = _runners(home) - {pid}
    finally:
        os.kill(pid, signal.SIGCONT)
    awake = _seconds_until(lambda: silent_runner(home) is None)
    for run_id in (working, waiting):
        stop_job(engine, get_job(engine, run_id), home)
    ended = [_end_of(engine, run_id) for run_id in (working, waiting)]
    how = "SIGSTOP to the runner while one run works and one waits, SIGCONT after it was noticed and 2 s"
    yield figure("pause: a paused runner is noticed, in seconds", noticed, how, at_most=15)
    yield figure("pause: other runners started beside it", len(others), how, at_most=0)
    more = {"states": [job.state for job in ended], "attempts": [job.attempt for job in ended]}
    twice = sum(job.attempt > 1 for job in ended)
    yield figure(
        "pause: jobs done twice when it woke up", twice, f"{how}; awake in {awake:.1f} s", at_most=0, more=more
    )


def _runners(home: DataRoot) -> set[int]:
    import psutil

    found = set()
    for process in psutil.process_iter(["cmdline"]):
        if "tlcore.jobs.runner" in (process.info["cmdline"] or []):
            try:
                if process.environ().get(ENVIRONMENT_VARIABLE) == str(home.path):
                    found.add(process.pid)
            except psutil.Error:
                continue
    return found


def _seconds_until(is_so: Callable[[], bool], most: float = PATIENCE_SECONDS) -> float:
    """Return after how many seconds something was so; ten times the most when it was not in time."""
    begun = time.monotonic()
    while time.monotonic() - begun < most:
        if is_so():
            return time.monotonic() - begun
        time.sleep(0.1)
    return most * 10


def _seeded(config: RunConfig, seed: int) -> RunConfig:
    """Return settings of a run that is another one."""
    return replace(config, training=replace(config.training, seed=seed))


def _project_ids(engine: sa.Engine) -> set[str]:
    with engine.begin() as connection:
        return {str(row[0]) for row in connection.execute(sa.text("SELECT id FROM projects"))}


def _leave(home: DataRoot, num_bytes: int) -> None:
    """Give the file system the size at which so many bytes are left."""
    stats = os.statvfs(home.path)
    used = (stats.f_blocks - stats.f_bfree) * stats.f_frsize
    # A size of 0 would be none at all; whole pages only.
    size = max(used + num_bytes, 4096)
    subprocess.run(["mount", "-o", f"remount,size={size}", str(home.path)], check=True)


def _end_of(engine: sa.Engine, job_id: str) -> JobStatus:
    while (job := get_job(engine, job_id)).is_active:
        time.sleep(0.2)
    return job


def _hashes(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".log")
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
