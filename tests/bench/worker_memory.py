"""Memory and time of the training process with few and with many pictures."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import psutil
import sqlalchemy as sa

from tests.bench.material import Sizes, photos, prepare
from tests.bench.measures import Measurement, rounded
from tests.bench.workers import start_worker
from tlcore.config import ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import Dataset, Item, Split
from tlcore.home import DataRoot
from tlcore.images.resizing import decode_image, resize_image
from tlcore.storage.database import open_database
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import get_job

POLL_SECONDS = 0.1
WORKING_PHASES = ("Computing", "Training", "Testing")
MEGABYTE = 1e6
LIMIT_MEGABYTES = 2500.0
# Within 20 % of each other: the smaller side is at least this part of the larger one.
LEAST_SHARE = 1 / 1.2
EPOCHS = 3
TRAIN: Split = "train"
SPLITS: tuple[Split, ...] = (*(TRAIN,) * 8, "validation", "test")


@dataclass(frozen=True, slots=True)
class WatchedRun:
    """What a run took.

    Attributes:
        peak_bytes: The most that its process and its children held at a time.
        working_seconds: Its time in phases that grow with the pictures; loading and saving do not.
        seconds: All its time.
    """

    peak_bytes: int
    working_seconds: float
    seconds: float


def measure_memory(sizes: Sizes, home: DataRoot) -> Iterator[Measurement]:
    """Train with few and with many pictures, each time with an empty feature cache."""
    config = RunConfig(training=TrainingConfig(epochs=EPOCHS, patience=None))
    prepare(config.model, home)
    few, many = sizes.worker_images
    dataset = repeated_photos(photos(sizes, home), many, home)
    watched = []
    for count in (few, many):
        shutil.rmtree(home.path / "features", ignore_errors=True)
        watched.append(watch_run(Dataset(dataset.classes, dataset.items[:count]), config, home))
    counts = {"images": [few, many]}
    peaks = [run.peak_bytes / MEGABYTE for run in watched]
    yield Measurement("memory", "MB", peaks[1], LEAST_SHARE, peaks[0], details=counts)
    yield Measurement("memory_peak", "MB", max(peaks), LIMIT_MEGABYTES, limit_on="ours")
    per_thousand = [1000 * run.working_seconds / count for run, count in zip(watched, (few, many), strict=True)]
    yield Measurement(
        "memory_time",
        "s of work per 1000 images",
        per_thousand[1],
        LEAST_SHARE,
        per_thousand[0],
        details={"whole_runs": [rounded(run.seconds) for run in watched], **counts},
    )


def repeated_photos(dataset: Dataset, count: int, home: DataRoot) -> Dataset:
    """Store `count` different pictures: the photos again and again, each time with another corner."""
    store, model = ImageStore(home), ModelConfig()
    sources = [
        (item, resize_image(decode_image(store.read(item.image)), model.image_size, "crop")) for item in dataset.items
    ]
    items = []
    for number in range(count):
        item, pixels = sources[number % len(sources)]
        digits = [int(digit) for digit in f"{number:08d}"]
        marked = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        for place, digit in enumerate(digits):  # blocks of 8 pixels survive the compression
            marked[:8, 8 * place : 8 * place + 8] = 25 * digit
        data = cv2.imencode(".jpg", marked)[1].tobytes()
        key = hashlib.sha256(data).hexdigest()
        path = store.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)  # not `add`, which flushes every file and its thumbnail to disk
        items.append(Item(key, item.class_id, SPLITS[number % len(SPLITS)], f"{number}.jpg"))
    assert len({item.image for item in items}) == count
    return Dataset(dataset.classes, tuple(items))


def watch_run(dataset: Dataset, config: RunConfig, home: DataRoot) -> WatchedRun:
    """Train in a worker process and watch its memory and its phases."""
    engine = open_database(home)
    run_id, process = start_worker(dataset, config, home)
    try:
        watched = _watch(process, engine, run_id)
    finally:
        process.kill()
    said, _ = process.communicate()
    job = get_job(engine, run_id)
    engine.dispose()
    if job.state != "finished":
        raise RuntimeError(f"The run did not finish: {job.message}\n{said}")
    return watched


def _watch(process: subprocess.Popen[str], engine: sa.Engine, run_id: str) -> WatchedRun:
    started = last = time.perf_counter()
    peak, working = 0, 0.0
    worker = psutil.Process(process.pid)
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            family = [worker, *worker.children(recursive=True)]
            peak = max(peak, sum(member.memory_info().rss for member in family))
        now = time.perf_counter()
        if get_job(engine, run_id).phase.startswith(WORKING_PHASES):
            working += now - last
        last = now
        time.sleep(POLL_SECONDS)
    return WatchedRun(peak, working, last - started)
