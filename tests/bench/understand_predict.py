"""Asking about many pictures at once: memory of the worker with few and with many, its pace, how quick a table is."""

from __future__ import annotations

import contextlib
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import sqlalchemy as sa

from tests.bench.accuracy import read
from tests.bench.figures import Line, figure
from tests.conftest import SHARED_DATA
from tests.page_tests import OWNER, ROOT_DIR
from tlcore.config import ModelConfig
from tlcore.home import DataRoot
from tlcore.intake.pictures.decoding import read_image
from tlcore.progress import TerminalProgress
from tlcore.simple_heads.run import train_simple_heads
from tlcore.storage.answers import AnswerFilter, Order, StoredAnswer, count_answers, read_answers, writing_answers
from tlcore.storage.database import open_database, writing
from tlcore.storage.datasets import commit_version
from tlcore.storage.jobs import claim_job, create_job, end_job, get_job, write_result
from tlcore.storage.predictions import answers_path
from tlcore.storage.projects import create_project
from tlcore.storage.requests import PredictionRequest, SimpleHeadsRequest, StagedFile
from tlcore.storage.simple_heads import frozen_backbone
from tlcore.storage.staging import make_staging_dir

PHOTOS = SHARED_DATA / "cats_dogs.zip"
FEW, MANY = 500, 3000
MOST_GROWTH_MB = 20.0
ROWS = 20_000
PAGE = 100
MOST_PAGE_SECONDS = 0.1
POLL_SECONDS = 0.05
MEGABYTE = 1e6


def measure() -> Iterator[Line]:
    """Yield each figure."""
    yield from memory()
    yield from table()


def memory() -> Iterator[Line]:
    """Ask a model about a ZIP file of few photographs, and of six times as many."""
    home = DataRoot.configured()
    engine = open_database(home)
    project_id, model_id = _make_model(engine, home)
    peaks, paces, sizes = [], [], []
    for number in (FEW, MANY):
        request = _staged(home, model_id, number)
        job_id = create_job(engine, "prediction", project_id, request)
        peak, seconds = _watch(engine, home, job_id)
        peaks.append(peak / MEGABYTE)
        paces.append(number / seconds)
        sizes.append(answers_path(job_id, home).stat().st_size / number / 1000)
    engine.dispose()
    how = f"cats_dogs photographs in a ZIP file, {FEW} and {MANY}, default backbone with a simple head"
    yield figure(
        "predict: megabytes that the worker needs more for many pictures than for few",
        peaks[1] - peaks[0],
        how,
        at_most=MOST_GROWTH_MB,
        more={"megabytes": [round(peak, 1) for peak in peaks]},
    )
    yield figure("predict: pictures a second, start of the worker included", paces[1], how)
    yield figure("predict: kilobytes kept of each picture", sizes[1], how)


def table() -> Iterator[Line]:
    """Read a page of a large table, in each order and filtered."""
    with zipfile.ZipFile(PHOTOS) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".jpg"))
        thumbnail = read_image(archive.read(name)).thumbnail
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.sqlite"
        with writing_answers(path) as writer:
            for number in range(ROWS):
                sure = 0.5 + number % 977 / 2000
                writer.add(StoredAnswer(f"{number}.jpg", (sure, 1 - sure), number % 2, thumbnail))
        orders: tuple[Order, ...] = ("brought", "least sure", "surest", "answer")
        seconds = []
        for order, which in itertools.product(orders, (AnswerFilter(), AnswerFilter(said=0, below=0.7))):
            started = time.perf_counter()
            start = count_answers(path, which) - PAGE
            read_answers(path, which, order, start=start, number=PAGE)
            seconds.append(time.perf_counter() - started)
    yield figure(
        "predict: seconds until the last page of a table is read",
        statistics.median(seconds),
        f"{ROWS} rows, {PAGE} on a page, each order with and without a filter",
        at_most=MOST_PAGE_SECONDS,
        more={"slowest": round(max(seconds), 3)},
    )


def _make_model(engine: sa.Engine, home: DataRoot) -> tuple[str, str]:
    """Make a project with simple heads; return it with the id of one."""
    dataset, model = read("cats_dogs"), frozen_backbone(ModelConfig())
    project_id = create_project(engine, OWNER, "Benchmark").id
    version = commit_version(engine, project_id, dataset, "brought", parent=None, home=home)
    job_id = create_job(engine, "simple_heads", project_id, SimpleHeadsRequest(version, model))
    job = claim_job(engine, "simple_heads")
    assert job is not None
    progress = TerminalProgress()
    result = train_simple_heads(dataset, model, progress, folder=home.simple_heads_dir / job_id, home=home)
    progress.close()
    with writing(engine) as connection:
        write_result(connection, job_id, job.attempt, result)
    end_job(engine, job_id, job.attempt, "finished")
    return project_id, f"{job_id}.logistic_regression"


def _staged(home: DataRoot, model_id: str, number: int) -> PredictionRequest:
    """Stage a ZIP file with so many photographs, the same ones again and again."""
    folder = make_staging_dir(home)
    with zipfile.ZipFile(PHOTOS) as source, zipfile.ZipFile(folder / "0", "w") as target:
        names = itertools.cycle([name for name in source.namelist() if name.endswith(".jpg")])
        for index, name in zip(range(number), names, strict=False):
            target.writestr(f"{index:05d}.jpg", source.read(name))
    return PredictionRequest(model_id, folder.name, (StagedFile("0", "photos.zip"),))


def _watch(engine: sa.Engine, home: DataRoot, job_id: str) -> tuple[int, float]:
    """Do a job in a process of its own; return the most that it held, in bytes, and its seconds."""
    job = claim_job(engine, "prediction")
    assert job is not None
    assert job.id == job_id
    started, peak = time.perf_counter(), 0
    command = [sys.executable, "-m", "tlcore.jobs.worker", job_id, str(job.attempt)]
    process = subprocess.Popen(command, cwd=ROOT_DIR, env={**os.environ, "TRANSFER_LAB_HOME": str(home.path)})
    worker = psutil.Process(process.pid)
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            peak = max(peak, worker.memory_info().rss)
        time.sleep(POLL_SECONDS)
    job = get_job(engine, job_id)
    if job.state != "finished":
        raise RuntimeError(f"The job did not finish: {job.message}")
    return peak, time.perf_counter() - started
