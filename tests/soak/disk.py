"""A disk with 24 MB left, then with none: what is stored stays, the app opens, and what fails says why.

The data root is a file system in memory of this process and its children alone (`unshare`, `mount`), whose size is set.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from tests.bench.figures import Line, figure
from tests.bench.material import PHOTOS
from tests.coloured_pictures import coloured_dataset
from tests.ready_projects import start_run
from tests.server import AppServer, prepare_home
from tests.soak.small_runs import ENDLESS, SMALL
from tests.soak.visitor import OWNER, PAGES, see_pages
from tlcore.errors import TransferLabError
from tlcore.home import DataRoot
from tlcore.jobs.control import start_job, stop_job
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version, current_dataset
from tlcore.storage.deletion import delete_project
from tlcore.storage.jobs import JobStatus, get_job
from tlcore.storage.projects import create_project, get_project
from tlcore.storage.requests import ImportRequest, StagedFile
from tlcore.storage.runs import get_run
from tlcore.storage.staging import make_staging_dir
from tlcore.training.checkpoint import CHECKPOINT_FILE

LEFT_BYTES = 24_000_000
SIZE_BYTES = 1_000_000_000
PATIENCE_SECONDS = 15.0


def measure(home: DataRoot) -> Iterator[Line]:
    """Import, train, save, open and delete on a disk that is nearly or wholly full."""
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
    project = create_project(engine, OWNER, "Colours")
    version = commit_version(engine, project.id, coloured_dataset(home, 8), "made", parent=None, home=home)
    first_id = start_run(engine, project.id, version, SMALL, home)
    _end_of(engine, first_id)
    before = _hashes(home.run_dir(first_id))
    _leave(home, LEFT_BYTES)
    yield _upload(engine, home)
    yield from _train(engine, home, project.id, version)
    yield _save(engine, home, project.id, version)
    changed = sum(_hashes(home.run_dir(first_id))[name] != key for name, key in before.items())
    yield figure("disk: files of an earlier model that changed", changed, f"{len(before)} files", at_most=0)
    yield from _open_and_delete(engine, home, project.id, first_id)


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


def _train(engine: sa.Engine, home: DataRoot, project_id: str, version: int) -> Iterator[Line]:
    """Take all the room away under a training, and give it back when the training has said so."""
    run_id = start_run(engine, project_id, version, replace(ENDLESS, training=replace(ENDLESS.training, seed=1)), home)
    checkpoint = home.run_dir(run_id) / CHECKPOINT_FILE
    while get_job(engine, run_id).is_active and not checkpoint.exists():
        time.sleep(0.1)
    _leave(home, 0)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while get_job(engine, run_id).phase == "training" and time.monotonic() < deadline:
        time.sleep(0.1)
    said = get_job(engine, run_id)
    _leave(home, LEFT_BYTES)
    if said.phase == "training" and said.is_active:  # it goes on as if nothing were
        stop_job(engine, said, home)
    job = _end_of(engine, run_id)
    run = get_run(engine, run_id)
    how = "all room taken away when there is a checkpoint, given back when the run had left it or after 15 s"
    more = {"state": job.state, "message": job.message, "while it was full": (said.state, said.phase, said.message)}
    yield figure(
        "disk: a run that meets a full disk names it", "disk" in job.message.lower(), how, at_least=1, more=more
    )
    yield figure("disk: it keeps its best epoch when there is room", run.has_model, how, at_least=1)


def _save(engine: sa.Engine, home: DataRoot, project_id: str, version: int) -> Line:
    """Take all the room away before a model is saved."""
    run_id = start_run(engine, project_id, version, replace(SMALL, training=replace(SMALL.training, seed=2)), home)
    while get_job(engine, run_id).is_active and get_job(engine, run_id).phase not in ("training", "testing", "saving"):
        time.sleep(0.02)
    _leave(home, 0)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while get_job(engine, run_id).is_active and time.monotonic() < deadline:
        time.sleep(0.1)
    _leave(home, LEFT_BYTES)
    job, run = _end_of(engine, run_id), get_run(engine, run_id)
    good = run.has_model or "disk" in job.message.lower()
    more = {"state": job.state, "message": job.message, "has a model": run.has_model}
    how = "all room taken away at the last epochs, given back after 15 s at most"
    return figure("disk: a run that cannot save its model keeps it or names the disk", good, how, at_least=1, more=more)


def _open_and_delete(engine: sa.Engine, home: DataRoot, project_id: str, run_id: str) -> Iterator[Line]:
    """Start the server on a full disk, open every page, delete a project."""
    unwanted = create_project(engine, OWNER, "Unwanted").id
    commit_version(engine, unwanted, coloured_dataset(home, 2), "made", parent=None, home=home)
    _leave(home, 0)
    how = "no room at all"
    server, opened, why = AppServer(home), 0, ""
    try:
        server.start()
        for page in PAGES:
            try:
                asyncio.run(see_pages(server, {"project": project_id, "run": run_id}, [page]))
                opened += 1
            except* (RuntimeError, TimeoutError) as errors:
                why += f"{page}: {errors.exceptions[0]} "
    except AssertionError as error:
        why = str(error)[-300:]
    finally:
        server.clean_up()
    yield figure("disk: pages that open", opened, how, at_least=len(PAGES), more={"why not": why[:400]})
    try:
        delete_project(engine, unwanted, home)
        is_gone = unwanted not in _project_ids(engine)
        why = ""
    except TransferLabError as error:
        is_gone, why = False, str(error)
    yield figure("disk: a project can be deleted", is_gone, how, at_least=1, more={"why not": why})
    _leave(home, LEFT_BYTES)
    is_there = get_project(engine, project_id, OWNER).version is not None
    yield figure("disk: the other project is as it was", is_there, how, at_least=1)


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
