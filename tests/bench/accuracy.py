"""Test accuracy of the default settings, of training in two phases, and of a group, on real data; JSON lines."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tests.conftest import SHARED_DATA
from tlcore.config import ModelConfig, RunConfig
from tlcore.dataset import Dataset
from tlcore.features.engines import read_engine_speeds
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.intake.splitting import NewItem, assign_splits
from tlcore.library import TrainedModel, read_dataset, train
from tlcore.model.architecture import usual_fine_tuning
from tlcore.model.cut import plan_model
from tlcore.results.ensembles import ensemble_evaluation, equal_weights, fit_weights
from tlcore.results.evaluation import VALIDATION_FILE_NAME, Evaluation, accuracy_interval, load_evaluation

# How many points thawing the backbone must bring on small pictures that are unlike ImageNet's.
TUNING_GAIN = 0.05
OTHER_SIZE = 160
SMALLER_SIZES = (32, 64, 96, 128, 160)
SCALED_SETS = ("brain_mri", "cats_dogs", "flowers17")
SPLITS = 5


def measure_cats_dogs() -> bool:
    """Train with the default settings."""
    return report("cats_dogs", train(read("cats_dogs")).evaluation, limit=0.985)


def measure_flowers17() -> bool:
    """Train with the default settings."""
    return report("flowers17", train(read("flowers17")).evaluation, limit=0.93)


def measure_two_phases_cifar10() -> bool:
    """Train the head, then thaw the last blocks, against the head alone."""
    frozen, tuned = in_two_phases(read("cifar10"))
    return report("two_phases_cifar10", tuned, limit=frozen.accuracy + TUNING_GAIN, frozen=frozen.accuracy)


def measure_two_phases_flowers17() -> bool:
    """The same where the frozen features are good already: nothing may be lost."""
    frozen, tuned = in_two_phases(read("flowers17"))
    return report("two_phases_flowers17", tuned, limit=frozen.accuracy, frozen=frozen.accuracy)


def measure_ensemble_cifar10() -> bool:
    """Average two frozen backbones that see the pictures at different sizes, against the better one."""
    dataset = read("cifar10")
    config = RunConfig()
    models = [train(dataset, config), train(dataset, replace(config, model=ModelConfig(image_size=OTHER_SIZE)))]
    members = [model.evaluation for model in models]
    fitted = fit_weights([validation_of(model) for model in models])
    best = max(member.accuracy for member in members)
    details = {
        "members": [round(member.accuracy, 4) for member in members],
        "fitted_weights": [round(weight, 3) for weight in fitted],
        "with_fitted_weights": round(ensemble_evaluation(members, fitted).accuracy, 4),
    }
    return report("ensemble_cifar10", ensemble_evaluation(members, equal_weights(2)), limit=best, **details)


def measure_sizes_cifar10() -> bool:
    """Train frozen at several sizes: what enlarging pictures of 32 pixels less costs in accuracy and saves in time."""
    dataset, usual = read("cifar10"), ModelConfig()
    accuracies = {}
    for image_size in (*SMALLER_SIZES, usual.image_size):
        model = replace(usual, image_size=image_size)
        evaluation = train(dataset, RunConfig(model=model)).evaluation
        speeds = read_engine_speeds(plan_model(model).prefix, DataRoot.configured())
        milliseconds = None if speeds is None else round(1000 / max(speeds.litert, speeds.tensorflow), 2)
        report(f"cifar10_at_{image_size}", evaluation, limit=0, milliseconds_per_picture=milliseconds)
        accuracies[image_size] = evaluation.accuracy
    return accuracies[usual.image_size] == max(accuracies.values())


def measure_scaling() -> bool:
    """Divide pixels by 255, a common mistake, against the backbone's own scaling, on the same splits."""
    own = RunConfig()
    mistaken = replace(own, model=replace(own.model, pixel_scaling="divide_255"))
    costs = []
    for name in SCALED_SETS:
        splits = [split_anew(read(name), seed) for seed in range(SPLITS)]
        pairs = [[train(split, config).evaluation.accuracy for config in (own, mistaken)] for split in splits]
        usual, divided = np.transpose(pairs)
        lost = usual - divided
        result = {
            "name": f"scaling_{name}",
            "ours": round(usual.mean(), 4),
            "divided_by_255": round(divided.mean(), 4),
            "lost": [round(points, 4) for points in lost.tolist()],
        }
        print(json.dumps(result), flush=True)
        costs.append(lost.mean())
    return min(costs) >= 0


MEASUREMENTS: dict[str, Callable[[], bool]] = {
    "cats_dogs": measure_cats_dogs,
    "flowers17": measure_flowers17,
    "two_phases_cifar10": measure_two_phases_cifar10,
    "two_phases_flowers17": measure_two_phases_flowers17,
    "ensemble_cifar10": measure_ensemble_cifar10,
    "sizes_cifar10": measure_sizes_cifar10,
    "scaling": measure_scaling,
}


def read(name: str) -> Dataset:
    """Return a data set of the shared data folder."""
    return read_dataset(SHARED_DATA / f"{name}.zip")


def split_anew(dataset: Dataset, seed: int) -> Dataset:
    """Share out all pictures of a data set, those of its own test too."""
    new = [NewItem(item.image, item.class_id, item.name) for item in dataset.items]
    return replace(dataset, items=assign_splits(new, Dataset(dataset.classes), seed=seed))


def in_two_phases(dataset: Dataset) -> tuple[Evaluation, Evaluation]:
    """Return what the frozen head reaches, and the same run with the usual second phase."""
    config = RunConfig()
    tuned = replace(config, training=replace(config.training, fine_tuning=usual_fine_tuning(config)))
    return train(dataset, config).evaluation, train(dataset, tuned).evaluation


def validation_of(model: TrainedModel) -> Evaluation:
    """Return a model's answers to its validation pictures."""
    return load_evaluation(model.folder, VALIDATION_FILE_NAME)


def report(name: str, evaluation: Evaluation, *, limit: float, **details: object) -> bool:
    """Print a result as a line of JSON, and return whether it reaches its limit."""
    interval = accuracy_interval(evaluation.correct, evaluation.total)
    result = {
        "name": name,
        "ours": round(evaluation.accuracy, 4),
        "interval": [round(bound, 4) for bound in interval],
        "limit": round(limit, 4),
        "test_pictures": evaluation.total,
        **details,
    }
    print(json.dumps(result), flush=True)
    return evaluation.accuracy >= limit


def main(names: list[str]) -> int:
    """Measure the named things, or all; return 0 when every limit was reached."""
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        print(f"There is no measurement `{unknown[0]}`; there are {', '.join(MEASUREMENTS)}.", file=sys.stderr)
        return 2
    if not SHARED_DATA.is_dir():
        print("The shared data folder is not beside the checkout; there is nothing to measure.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as home:
        os.environ[ENVIRONMENT_VARIABLE] = home
        reached = [MEASUREMENTS[name]() for name in names or MEASUREMENTS]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
