"""`python3 -m tests.bench resume`: what checkpoints cost a training, as JSON lines."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.bench.figures import Line, figure
from tests.bench.trainings import EpochClock
from tlcore.config import ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import Dataset
from tlcore.features.store import FeatureTable, LabelledFeatures
from tlcore.home import DataRoot
from tlcore.model.classifier import build_classifier
from tlcore.model.cut import plan_model
from tlcore.training.checkpoint import CHECKPOINT_FILE, Checkpoints, TrainingState
from tlcore.training.loop import train_suffix

HEAD_RECORDS, BLOCK_RECORDS = 4_000, 800
HEAD_EPOCHS, BLOCK_EPOCHS = 40, 6
ROUNDS = 2
ALLOWED_SHARE = 0.02


class TimedCheckpoints(Checkpoints):
    """Checkpoints that note how long each took."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, RunConfig(), Dataset())
        self.seconds: list[float] = []
        self.megabytes = 0.0

    def write(self, state: TrainingState) -> None:
        """Write one."""
        started = time.perf_counter()
        super().write(state)
        self.seconds.append(time.perf_counter() - started)
        self.megabytes = max(self.megabytes, self._path.stat().st_size / 1e6)


def measure() -> Iterator[Line]:
    """Train a head and the last block of the embedded backbone, each with and without checkpoints.

    On features of random numbers: how long a step takes has nothing to do with what is in the pictures.
    """
    head = RunConfig(training=TrainingConfig(epochs=HEAD_EPOCHS, patience=None))
    block = replace(
        head, model=ModelConfig(first_trainable="block7a"), training=replace(head.training, epochs=BLOCK_EPOCHS)
    )
    yield from _measure("a head", head, HEAD_RECORDS)
    yield from _measure("block7a and a head", block, BLOCK_RECORDS)


def _measure(name: str, config: RunConfig, records: int) -> Iterator[Line]:
    plan = plan_model(config.model)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        home = DataRoot(Path(folder))
        epochs: dict[str, list[float]] = {"without": [], "with": []}
        costs: list[float] = []
        written: list[int] = []
        megabytes = 0.0
        trained = 0.0
        for number in range(ROUNDS):
            for way, seconds in epochs.items():
                suffix = build_classifier(plan, 2, home).suffix
                shape = (records, *suffix.input.shape[1:])
                places = np.array([(0, row) for row in range(records)])
                table = FeatureTable([rng.normal(size=shape).astype(np.float16)], places)
                data = LabelledFeatures(table, rng.integers(2, size=records))
                validation = LabelledFeatures(FeatureTable(table._segments, places[:200]), data.labels[:200])
                path = home.run_dir(f"{way}{number}") / CHECKPOINT_FILE
                checkpoints = TimedCheckpoints(path) if way == "with" else None
                if checkpoints is not None:
                    checkpoints.begin_phase(())
                clock, started = EpochClock(), time.perf_counter()
                train_suffix(suffix, lambda _: data, validation, config.training, clock, checkpoints=checkpoints)  # noqa: B023
                seconds += np.diff(clock.ends).tolist()
                if checkpoints is not None:
                    trained += time.perf_counter() - started
                    costs += checkpoints.seconds
                    written.append(len(checkpoints.seconds))
                    megabytes = max(megabytes, checkpoints.megabytes)
    how = f"{records} records, {config.training.epochs} epochs, {ROUNDS} trainings each, seed 0"
    for way, seconds in epochs.items():
        yield figure(f"s of an epoch of {name}, {way} checkpoints", statistics.median(seconds), how)
    more = {
        "checkpoints written": written,
        "s of one": round(statistics.median(costs), 4),
        "MB of the largest": round(megabytes, 2),
    }
    yield figure(
        f"share of the training of {name} that checkpoints take",
        sum(costs) / trained,
        how,
        at_most=ALLOWED_SHARE,
        more=more,
    )


def main() -> int:
    """Print the lines; return 1 when a figure was missed."""
    missed = False
    for line in measure():
        print(json.dumps(line), flush=True)
        missed |= line.get("reached") is False
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
