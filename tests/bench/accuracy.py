"""Accuracy on real data, as JSON lines: over several splits where that is affordable, else on the test pictures."""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from tests.bench.material import FULL, photos
from tests.conftest import SHARED_DATA
from tlcore.config import ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import Dataset
from tlcore.features.engines import read_engine_speeds
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.intake.splitting import resplit
from tlcore.library import TrainedModel, cross_validate, read_dataset, train
from tlcore.model.architecture import usual_fine_tuning
from tlcore.model.cut import plan_model
from tlcore.progress import TerminalProgress
from tlcore.results.comparison import compare_answers
from tlcore.results.ensembles import ensemble_evaluation, equal_weights, fit_weights
from tlcore.results.evaluation import VALIDATION_FILE_NAME, Evaluation, accuracy_interval, load_evaluation
from tlcore.settings.augmentation_controls import PRESETS
from tlcore.training.cross_validation import fold_evaluations

# The least mean accuracy of the default settings on each data set.
SETS = {"brain_mri": 0.8, "mnist": 0.9, "cats_dogs": 0.985, "flowers17": 0.93, "cifar10": 0.74}
# How many points a bank of views may cost on average, and the seeds that this is asked with.
BANK_COST = 0.005
SEEDS = range(3)
# How many points thawing the backbone must bring on small pictures that are unlike ImageNet's.
TUNING_GAIN = 0.05
OTHER_SIZE = 160
SMALLER_SIZES = (32, 64, 96, 128, 160)
SCALED_SETS = ("brain_mri", "cats_dogs", "flowers17")
SPLITS = 5


def measure_set(name: str) -> bool:
    """Train with the default settings on five splits of all pictures of a data set."""
    dataset, started = read(name), time.perf_counter()
    found = cross_validate(dataset, with_test=True)
    result = {
        "name": name,
        "ours": round(found.mean, 4),
        "deviation": round(found.deviation, 4),
        "splits": [round(accuracy, 4) for accuracy in found.accuracies],
        "limit": SETS[name],
        "right": found.correct,
        "pictures": found.total,
        "seconds": round(time.perf_counter() - started, 1),
    }
    print(json.dumps(result), flush=True)
    return found.mean >= SETS[name]


def measure_bank_of_views() -> bool:
    """Train with the tutorials' augmentation from a bank of views, against new views in every epoch, split by split."""
    home = DataRoot.configured()
    dataset = photos(FULL, home)
    differences: list[float] = []
    for seed in SEEDS:
        bank, fresh = (
            list(fold_evaluations(dataset, augmented(seed, fresh=fresh), TerminalProgress(), home, with_test=True))
            for fresh in (False, True)
        )
        differences += [one.accuracy - other.accuracy for one, other in zip(bank, fresh, strict=True)]
        compared = compare_answers(together(bank), together(fresh))
        result = {
            "name": f"bank_of_views_{seed}",
            "ours": round(together(bank).accuracy, 4),
            "new_views_every_epoch": round(together(fresh).accuracy, 4),
            "only_bank_right": compared.only_first,
            "only_new_views_right": compared.only_second,
            "p_value": round(compared.p_value, 4),
        }
        print(json.dumps(result), flush=True)
    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / len(differences) ** 0.5
    result = {"name": "bank_of_views", "ours": round(mean, 4), "standard_error": round(error, 4), "limit": -BANK_COST}
    print(json.dumps(result), flush=True)
    return mean >= -BANK_COST


def augmented(seed: int, *, fresh: bool) -> RunConfig:
    """Return what the speed benchmark trains with augmentation, with new views in every epoch or a bank of them."""
    training = TrainingConfig(epochs=FULL.head_epochs, patience=None, new_views_every_epoch=fresh, seed=seed)
    return RunConfig(PRESETS["tutorial"], training=training)


def together(folds: Sequence[Evaluation]) -> Evaluation:
    """Return the answers to all folds as those to one set of pictures."""
    return Evaluation(
        folds[0].class_names,
        tuple(image for fold in folds for image in fold.images),
        np.concatenate([fold.y_true for fold in folds]),
        np.concatenate([fold.probabilities for fold in folds]),
    )


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
    members = [model.open_exam() for model in models]
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
        evaluation = train(dataset, RunConfig(model=model)).open_exam()
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
        splits = [resplit(read(name), seed=seed, keep_given=False) for seed in range(SPLITS)]
        pairs = [[train(split, config).open_exam().accuracy for config in (own, mistaken)] for split in splits]
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
    **{name: partial(measure_set, name) for name in SETS},
    "bank_of_views": measure_bank_of_views,
    "two_phases_cifar10": measure_two_phases_cifar10,
    "two_phases_flowers17": measure_two_phases_flowers17,
    "ensemble_cifar10": measure_ensemble_cifar10,
    "sizes_cifar10": measure_sizes_cifar10,
    "scaling": measure_scaling,
}


def read(name: str) -> Dataset:
    """Return a data set of the shared data folder."""
    return read_dataset(SHARED_DATA / f"{name}.zip")


def in_two_phases(dataset: Dataset) -> tuple[Evaluation, Evaluation]:
    """Return what the frozen head reaches, and the same run with the usual second phase."""
    config = RunConfig()
    tuned = replace(config, training=replace(config.training, fine_tuning=usual_fine_tuning(config)))
    return train(dataset, config).open_exam(), train(dataset, tuned).open_exam()


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
