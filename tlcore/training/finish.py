"""The end of a run: its best epoch is tested, and everything that a run leaves is written."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tlcore.dataset import Dataset, Item, Split
from tlcore.features.compiling import compile_model
from tlcore.model.architecture import describe_model
from tlcore.model.classifier import Classifier
from tlcore.model.cut import ModelPlan
from tlcore.progress import CLOSING_PHASES, Phase, Progress, StopRequested
from tlcore.results.evaluation import TRAIN_FILE_NAME, VALIDATION_FILE_NAME, Evaluation, save_evaluation
from tlcore.results.export import save_export
from tlcore.results.prediction import SUFFIX_FILE, PredictorSpec, save_predictor_spec
from tlcore.storage.full_disk import DiskWait
from tlcore.storage.runs import RunSummary
from tlcore.training.loop import TrainingResult, predict_features
from tlcore.training.split_features import SplitFeatures


def finish_run(
    dataset: Dataset,
    plan: ModelPlan,
    classifier: Classifier,
    features: SplitFeatures,
    result: TrainingResult,
    run_dir: Path,
    progress: Progress,
    room: DiskWait,
) -> RunSummary:
    """Test the best epoch and write model, labels, evaluations and the compiled suffix.

    From here on a wish to stop changes nothing.

    Args:
        dataset: Pictures of the data root, with classes and splits.
        plan: The model of the last phase.
        classifier: The same, built; it has the weights of the best epoch.
        features: Through its frozen part.
        result: What training reached.
        run_dir: Where the files go.
        progress: Told what happens.
        room: Waits while the disk is full, if it does.

    Returns:
        What the run reached; its `seconds` are those of this call.

    Raises:
        StorageError: If the disk is full.
    """
    started = time.monotonic()
    progress = unstoppable(progress)
    keep = partial(room.repeat, at_the_end=True)
    evaluation = keep(lambda: evaluate(dataset, "test", classifier, features, progress))
    validation = keep(lambda: evaluate(dataset, "validation", classifier, features, progress))
    asked = features.asked_of_training()
    train = keep(lambda: _answers(dataset, asked, classifier, features, progress)) if asked else None

    def save() -> None:
        progress.phase("saving")
        save_evaluation(evaluation, run_dir)
        save_evaluation(validation, run_dir, VALIDATION_FILE_NAME)
        if train is not None:
            save_evaluation(train, run_dir, TRAIN_FILE_NAME)
        save_export(classifier.model, plan.config, dataset, run_dir)
        compile_model(classifier.suffix, run_dir / SUFFIX_FILE)
        save_predictor_spec(PredictorSpec.of(plan, dataset), run_dir)

    keep(save)
    model = describe_model(plan.config, dataset.num_classes)
    return RunSummary(
        best_epoch=result.best_epoch,
        epochs=result.epochs,
        validation_accuracy=result.validation_accuracy,
        test_correct=evaluation.correct,
        test_total=evaluation.total,
        trainable_parameters=model.trainable_parameters,
        frozen_parameters=model.frozen_parameters,
        seconds=time.monotonic() - started,
        validation_correct=validation.correct,
        validation_total=validation.total,
    )


def evaluate(
    dataset: Dataset, split: Split, classifier: Classifier, features: SplitFeatures, progress: Progress
) -> Evaluation:
    """Return the answers of a classifier to the pictures of one split."""
    return _answers(dataset, dataset.subset(split), classifier, features, progress)


def _answers(
    dataset: Dataset, items: tuple[Item, ...], classifier: Classifier, features: SplitFeatures, progress: Progress
) -> Evaluation:
    found = features.plain(items, progress, "testing")
    probabilities = predict_features(classifier.suffix, found.table)
    return Evaluation(dataset.class_names, tuple(item.image for item in items), found.labels, probabilities)


def unstoppable(progress: Progress) -> Progress:
    """Return a progress for work that must be done, whatever the person has asked."""
    return _Unstoppable(progress)


class _Unstoppable:
    """Passes progress on while the best epoch is tested and saved: the wish to stop is fulfilled already."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        with contextlib.suppress(StopRequested):
            # Only the closing phases tell the runner that the end may take its time.
            self._progress.phase(name if name in CLOSING_PHASES else "testing", done, total)

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        with contextlib.suppress(StopRequested):
            self._progress.metrics(epoch, values)

    def check(self) -> None:
        return
