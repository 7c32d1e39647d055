"""What the Understand page costs at a tap, and how often it reads answers from the disk meanwhile."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
from streamlit.testing.v1 import AppTest

from tests.bench.figures import Line, figure
from tests.finished_runs import Finished, make_finished, make_group, open_step
from tlcore.dataset import Split
from tlcore.home import DataRoot
from tlcore.results import evaluation as evaluations
from tlcore.results.evaluation import (
    FILE_NAME,
    TRAIN_FILE_NAME,
    VALIDATION_FILE_NAME,
    Evaluation,
    load_evaluation,
    save_evaluation,
)

NUM_CLASSES = 100
PICTURES_OF_CLASS = 4
TAPS = 7
MEMBERS = 3


def measure() -> Iterator[Line]:
    """Yield the seconds of a core and the files read of one tap, for a run of many classes and a group of such."""
    names = tuple(f"class {number}" for number in range(NUM_CLASSES))
    finished = make_finished(DataRoot.configured(), names=names, each=PICTURES_OF_CLASS)
    run_id, *_ = [_add_run(finished, names, seed) for seed in range(MEMBERS)]
    page = open_step("understand", finished.project_id, run_id)
    yield from _taps("a run", page)
    group_id = make_group(finished, page)
    yield from _taps(f"a group of {MEMBERS}", open_step("understand", finished.project_id, group_id))


def _add_run(finished: Finished, names: tuple[str, ...], seed: int) -> str:
    """Make a run with random answers to the pictures of every part, its exam not open."""
    run_id = finished.add_run(names=names)
    random = np.random.default_rng(seed)
    files: dict[str, Split] = {VALIDATION_FILE_NAME: "validation", TRAIN_FILE_NAME: "test", FILE_NAME: "test"}
    for file_name, split in files.items():
        items, index = finished.dataset.subset(split), finished.dataset.class_index()
        y_true = np.array([index[item.class_id] for item in items], np.int64)
        scores = random.random((len(items), len(names))) + 0.7 * np.eye(len(names))[y_true]
        probabilities = (scores**8 / (scores**8).sum(axis=1, keepdims=True)).astype(np.float32)
        answers = Evaluation(names, tuple(item.image for item in items), y_true, probabilities)
        save_evaluation(answers, finished.home.run_dir(run_id), file_name)
    return run_id


def _taps(what: str, page: AppTest) -> Iterator[Line]:
    read: list[Path] = []

    def counted(folder: Path, file_name: str = FILE_NAME) -> Evaluation:
        read.append(folder / file_name)
        return load_evaluation(folder, file_name)

    page.run()
    seconds = []
    with mock.patch.object(evaluations, "load_evaluation", counted):
        for _ in range(TAPS):
            started = time.process_time()
            page.run()
            seconds.append(time.process_time() - started)
    assert not page.exception
    how = f"{NUM_CLASSES} classes, {NUM_CLASSES * PICTURES_OF_CLASS:,} answers in each part, median of {TAPS} reruns"
    yield figure(f"seconds of a core for a rerun of Understand, {what}", statistics.median(seconds), how, at_most=0.5)
    yield figure(f"files of answers read in a rerun, {what}", len(read) / TAPS, how, at_most=0)
