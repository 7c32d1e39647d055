"""How soon a second run with another learning rate trains, in a worker process of its own."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator

from tests.bench.material import Sizes, photos, prepare
from tests.bench.measures import Measurement, rounded
from tests.bench.workers import start_worker
from tlcore.config import RunConfig, TrainingConfig
from tlcore.dataset import Dataset
from tlcore.home import DataRoot

TIMED_WORKER = "tests.bench.timed_worker"
LIMIT_SECONDS = 1.0


def measure_again(sizes: Sizes, home: DataRoot) -> Iterator[Measurement]:
    """Run once to fill the cache, then again with other learning rates."""
    dataset = photos(sizes, home)
    prepare(RunConfig().model, home)
    first_steps(dataset, 0.003, home)
    times = [first_steps(dataset, 0.001 / (number + 1), home) for number in range(sizes.rounds)]
    details = {
        "until_training_is_called": rounded(statistics.median(time["to_call"] for time in times)),
        "tensorflow_and_model": rounded(statistics.median(time["loading"] for time in times)),
        "rounds": sizes.rounds,
    }
    middle = statistics.median(time["to_step"] for time in times)
    yield Measurement("again", "s to the first step", middle, LIMIT_SECONDS, limit_on="ours", details=details)


def first_steps(dataset: Dataset, learning_rate: float, home: DataRoot) -> dict[str, float]:
    """Start a run and return what `timed_worker` says of it, in seconds."""
    config = RunConfig(training=TrainingConfig(learning_rate=learning_rate))
    _, process = start_worker(dataset, config, home, TIMED_WORKER)
    said, _ = process.communicate()
    lines = [line for line in said.splitlines() if line.startswith("{")]
    if process.returncode != 0 or not lines:
        raise RuntimeError(f"The worker did not come to its first step. It said:\n{said}")
    times: dict[str, float] = json.loads(lines[-1])
    return times
