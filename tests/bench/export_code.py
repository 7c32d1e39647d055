"""Whether the script of a model is as good as the model: each run in its folder, without the app."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.bench.accuracy import read
from tests.bench.figures import Line, figure
from tests.training_scripts import lay_out, run_script, simple_head_of, source_of_run
from tlcore.config import AugmentationConfig, FineTuningConfig, HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import SPLITS, Dataset, keep_images
from tlcore.export.source import ExportSource
from tlcore.home import DataRoot
from tlcore.library import train
from tlcore.progress import TerminalProgress
from tlcore.simple_heads.run import train_simple_heads
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.simple_heads import frozen_backbone

SMALL = ModelConfig(image_size=96)
TURNED = AugmentationConfig(
    rotation_range=20, width_shift_range=0.2, height_shift_range=0.2, zoom_range=0.2, horizontal_flip=True
)
WARPED = replace(
    TURNED,
    shear_range=7.0,
    brightness_range=(0.8, 1.3),
    contrast_range=0.2,
    channel_shift_range=9.0,
    fill_mode="constant",
    cval=77.0,
)
CASES: tuple[tuple[str, str, RunConfig], ...] = (
    ("default settings", "cats_dogs", RunConfig(model=SMALL)),
    ("17 classes", "flowers17", RunConfig(model=SMALL)),
    ("augmentation", "cats_dogs", RunConfig(TURNED, SMALL, TrainingConfig(epochs=6))),
    ("every augmentation", "cats_dogs", RunConfig(WARPED, SMALL, TrainingConfig(epochs=6, balance="weights"))),
    (
        "fine-tuning",
        "flowers17",
        RunConfig(model=SMALL, training=TrainingConfig(fine_tuning=FineTuningConfig("block6a", 4, 1e-4))),
    ),
    (
        "trainable from block 6 on",
        "cats_dogs",
        RunConfig(
            model=replace(SMALL, first_trainable="block6a", also_frozen=("block6b",)),
            training=TrainingConfig(epochs=4, learning_rate=3e-4, schedule="cosine", warmup_epochs=1),
        ),
    ),
    (
        "dense head, SGD, label smoothing, sampling",
        "cats_dogs",
        RunConfig(
            model=replace(SMALL, head=HeadConfig("flatten", (64,), 0.3, 1e-4), resize_mode="pad"),
            training=TrainingConfig(optimizer="sgd", schedule="step", label_smoothing=0.1, balance="sampling"),
        ),
    ),
)
# From random weights, runs of the app itself that differ in their seed leave each other's intervals: those tell how the
# choice of test pictures matters, not how the first weights do. So means over seeds are compared.
FROM_SCRATCH = RunConfig(
    model=ModelConfig("small_cnn-16-32", 32, first_trainable="conv1"),
    training=TrainingConfig(epochs=6, balance="weights"),
)
SEEDS = range(4)
# Student's t, two-sided 95 %, for 2 * (4 - 1) degrees of freedom.
LARGEST_T = 2.447
MOST_PICTURES = 1500


def measure() -> Iterator[Line]:
    """Yield, for each kind of settings, the accuracy of the script beside the interval of the run."""
    home = DataRoot.configured()
    with tempfile.TemporaryDirectory() as temporary:
        for number, (name, pictures, config) in enumerate(CASES):
            dataset = _some(read(pictures))
            folder = Path(temporary, str(number))
            model = train(dataset, config, folder=folder / "run", progress=TerminalProgress())
            exam = model.open_exam()
            source = source_of_run(folder / "run", config, dataset)
            yield _compared(f"{name}, {pictures}", source, folder, home, exam.accuracy_interval, exam.accuracy or 0.0)
        yield _from_scratch(Path(temporary, "scratch"), home)
        dataset, backbone = _some(read("cats_dogs")), frozen_backbone(SMALL)
        result = train_simple_heads(dataset, backbone, TerminalProgress(), folder=Path(temporary, "heads"), home=home)
        for head in result.heads:
            source = ExportSource(head.kind, (simple_head_of(head.kind, backbone, dataset),), dataset, ModelSettings())
            accuracy = head.test_correct / head.test_total
            near = accuracy - 1 / head.test_total, accuracy + 1 / head.test_total
            yield _compared(f"{head.kind}, cats_dogs", source, Path(temporary, head.kind), home, near, accuracy)


def _from_scratch(folder: Path, home: DataRoot) -> Line:
    """Compare the mean test accuracies of networks that begin with random weights, over several seeds."""
    dataset = _some(read("mnist"))
    apps, scripts = [], []
    for seed in SEEDS:
        config = replace(FROM_SCRATCH, training=replace(FROM_SCRATCH.training, seed=seed))
        own = folder / str(seed)
        apps.append(train(dataset, config, folder=own / "run", progress=TerminalProgress()).open_exam().accuracy or 0.0)
        right, total = run_script(lay_out(source_of_run(own / "run", config, dataset), own / "bundle", home))
        scripts.append(right / total)
    error = ((statistics.variance(apps) + statistics.variance(scripts)) / len(SEEDS)) ** 0.5
    t = (statistics.mean(scripts) - statistics.mean(apps)) / error
    return figure(
        "t of the scripts' mean test accuracy against the app's: small CNN from scratch, mnist",
        t,
        f"{len(SEEDS)} seeds each; asked: no difference at 95 %",
        at_least=-LARGEST_T,
        at_most=LARGEST_T,
        more={"app": [round(one, 3) for one in apps], "script": [round(one, 3) for one in scripts]},
    )


def _some(dataset: Dataset) -> Dataset:
    """Return the data set, or of many pictures a part of each split."""
    step = -(-len(dataset.items) // MOST_PICTURES)
    return keep_images(dataset, {item.image for split in SPLITS for item in dataset.subset(split)[::step]})


def _compared(
    name: str, source: ExportSource, folder: Path, home: DataRoot, interval: tuple[float, float], accuracy: float
) -> Line:
    started = time.monotonic()
    right, total = run_script(lay_out(source, folder / "bundle", home))
    return figure(
        f"test accuracy of the script: {name}",
        right / total,
        f"{total} test pictures; asked: the interval of what the app trained",
        at_least=interval[0],
        at_most=interval[1],
        more={"app": round(accuracy, 4), "seconds": round(time.monotonic() - started)},
    )
