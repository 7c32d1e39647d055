"""Models that leave in tests: a run that was trained in this process, with files made by the plain converters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tlcore.config import RANDOM, ModelConfig, RunConfig, TrainingConfig
from tlcore.export.examples import choose_examples, write_examples
from tlcore.export.formats import FORMATS
from tlcore.export.making import original_predictor
from tlcore.export.readers import open_format
from tlcore.export.source import ExportSource, part_of_run
from tlcore.home import DataRoot
from tlcore.images.resizing import resize_image
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.requests import ExportResult, FormatName, FormatReport

SMALL_RUN = RunConfig(
    model=ModelConfig("small_cnn-8-16", 64, weights=RANDOM, first_trainable="conv1"),
    training=TrainingConfig(epochs=4, batch_size=8, learning_rate=0.01, patience=None),
)
"""All of it learns, so that nothing frozen has to be compiled."""


def train_small(path: Path, per_class: int = 12, learning_rate: float = 0.01) -> tuple[ExportSource, DataRoot]:
    """Train a small network on coloured pictures, in a data root of its own below `path`."""
    from tlcore.training.run import train_classifier

    home = DataRoot(path / "home")
    dataset = replace(coloured_dataset(home, per_class), grey_range=(0.0, 4095.0))
    folder = home.run_dir("run")
    config = replace(SMALL_RUN, training=replace(SMALL_RUN.training, learning_rate=learning_rate))
    train_classifier(dataset, config, folder, RecordingProgress(), home)
    return ExportSource("Run 1", (part_of_run(folder, config),), dataset, ModelSettings()), home


def keep_examples(source: ExportSource, home: DataRoot, folder: Path, *names: FormatName) -> None:
    """Keep the examples in a folder with these files, as the job that makes them does."""
    predictor = original_predictor(source, RecordingProgress(), home)
    examples = choose_examples(source, predictor, home)
    answers = {}
    for name in names:
        ask, any_size = open_format(folder, name), FORMATS[name].takes_any_size
        size, mode = source.square or (1, "stretch")
        given = [one.pixels if any_size else resize_image(one.pixels, size, mode) for one in examples]
        answers[name] = np.stack([ask(one) for one in given])
    write_examples(examples, answers, folder)


def result_of(*reports: FormatReport, correct: int = 5, total: int = 6) -> ExportResult:
    """Return what an export says that has made these."""
    return ExportResult("", ModelSettings(), correct, total, 2.0, "a processor of tests", reports)
