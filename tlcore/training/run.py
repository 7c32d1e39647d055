"""One run from pictures to a tested model: features, training in one phase or two, testing, saving."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tlcore.backbones.weights.status import require_weights
from tlcore.config import RunConfig, TrainingConfig
from tlcore.dataset import Dataset, check_trainable
from tlcore.features.compiled import configure_tensorflow, ensure_compiled
from tlcore.features.extractor import FeaturePass
from tlcore.features.store import LabelledFeatures
from tlcore.home import DataRoot
from tlcore.model.architecture import check_phases
from tlcore.model.cut import ModelPlan, plan_model
from tlcore.progress import Phase, Progress, StopRequested, background, wait_for
from tlcore.results.evaluation import Evaluation
from tlcore.storage.full_disk import DiskWait
from tlcore.storage.runs import RunSummary
from tlcore.training.checkpoint import Checkpoints, TrainingState
from tlcore.training.rate_search import RateSearch
from tlcore.training.split_features import SplitFeatures
from tlcore.training.stopwatch import RunTimings, TrainingPace

if TYPE_CHECKING:
    from tlcore.model.classifier import Classifier
    from tlcore.training.loop import TrainingResult


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        summary: What it reached; `None` when it was stopped before the first epoch ended.
        stopped: Whether the person stopped it.
        diverged: Whether it ended early because the loss became infinite.
        timings: How long its parts took.
    """

    summary: RunSummary | None
    stopped: bool
    diverged: bool = False
    timings: RunTimings | None = field(default=None, compare=False)


def train_classifier(
    dataset: Dataset,
    config: RunConfig,
    run_dir: Path,
    progress: Progress,
    home: DataRoot,
    *,
    checkpoints: Checkpoints | None = None,
    only_keep: bool = False,
    room: DiskWait | None = None,
) -> RunResult:
    """Train a classifier and leave its files in `run_dir`.

    The features of the first epoch are computed while TensorFlow is still being imported.

    Args:
        dataset: Pictures of the data root, with classes and splits.
        config: Everything that was chosen.
        run_dir: Where model, labels, evaluation and the compiled suffix go.
        progress: Told what happens; may ask to stop.
        home: The data root.
        checkpoints: Where the run leaves what it needs to go on, should its process be ended, and finds what an earlier
            process has left. It goes on from there as if it had never ended.
        only_keep: Train no more; make the best epoch of the checkpoint that was found a model.
        room: Waits while the disk is full; without it the first failure is the end. The one of the checkpoints: how
            long both have waited is no part of what the run took.

    Raises:
        DatasetError: If the data set allows no training.
        WeightsError: If the backbone's weights are not on this computer.
        RunError: If the phases contradict each other, or the loss became infinite before the first epoch ended.
        UnfitCheckpointError: If the checkpoint that was found belongs to another network.
        StorageError: If the disk is full.
    """
    started = time.monotonic()
    check_phases(config)
    found = None if checkpoints is None else checkpoints.found
    if only_keep and found is None:
        return RunResult(None, stopped=True)
    stopped = only_keep
    try:
        progress.phase("preparing")
    except StopRequested:
        if found is None:
            return RunResult(None, stopped=True)
        stopped = True
    room = room or DiskWait(home, progress, is_patient=False)
    waited_before = room.waited_seconds
    run = _TrainingRun(dataset, config, progress, home, checkpoints, room)
    prepare_seconds = time.monotonic() - started
    result = None
    try:
        if not stopped:
            result = run.train()
    except StopRequested:
        if found is None:
            timings = None if room.waited_seconds > waited_before else run.timings(prepare_seconds)
            return RunResult(None, stopped=True, timings=timings)
    if result is None:  # what was reached before is kept
        result = replace(run.keep_best(), stopped=True)
    if not result.best_epoch:
        timings = None if room.waited_seconds > waited_before else run.timings(prepare_seconds, result.pace)
        return RunResult(None, stopped=True, timings=timings)
    trained = time.monotonic()
    from tlcore.training.finish import finish_run

    summary = finish_run(dataset, run.plan, run.classifier, run.features, result, run_dir, progress, room)
    waited_seconds = room.waited_seconds - waited_before
    seconds = time.monotonic() - started - waited_seconds
    if found is not None and checkpoints is not None:  # such a run took other parts, which say nothing about the next
        summary = replace(summary, seconds=seconds + checkpoints.seconds_before)
        return RunResult(summary, result.stopped, result.diverged)
    # It may have waited in the middle of an epoch or of a test: the next run takes nothing from such figures.
    timings = None if waited_seconds else run.timings(prepare_seconds, result.pace, trained)
    return RunResult(replace(summary, seconds=seconds), result.stopped, result.diverged, timings)


def search_learning_rate(dataset: Dataset, config: RunConfig, progress: Progress, home: DataRoot) -> RateSearch:
    """Find out which learning rates suit a model and its pictures.

    Features that are computed for this stay cached for the run.

    Args:
        dataset: Pictures of the data root, with classes and splits.
        config: Everything that was chosen; the first phase is looked at.
        progress: Told what happens.
        home: The data root.

    Raises:
        StopRequested: If the person asked to stop.
        DatasetError: If the data set allows no training.
        WeightsError: If the backbone's weights are not on this computer.
        StorageError: If the disk is full.
    """
    return _TrainingRun(dataset, config, progress, home).search_rates()


def train_and_test(dataset: Dataset, config: RunConfig, progress: Progress, home: DataRoot) -> Evaluation:
    """Train a classifier as a run does, let it answer the test pictures, and leave nothing but cached features.

    Args:
        dataset: Pictures of the data root, with classes and splits.
        config: Everything that was chosen.
        progress: Told what happens; may ask to stop.
        home: The data root.

    Raises:
        StopRequested: If the person asked to stop.
        DatasetError: If the data set allows no training.
        WeightsError: If the backbone's weights are not on this computer.
        RunError: If the phases contradict each other, or the loss became infinite before the first epoch ended.
        StorageError: If the disk is full.
    """
    check_phases(config)
    run = _TrainingRun(dataset, config, progress, home)
    if run.train().stopped:
        raise StopRequested
    from tlcore.training.finish import evaluate

    return evaluate(dataset, "test", run.classifier, run.features, progress)


class _TrainingRun:
    """The steps of one run and what they share.

    Attributes:
        plan: The model of the phase that is under way.
        classifier: The same, built.
        features: Of the data set, through its frozen part.
    """

    classifier: Classifier

    def __init__(
        self,
        dataset: Dataset,
        config: RunConfig,
        progress: Progress,
        home: DataRoot,
        checkpoints: Checkpoints | None = None,
        room: DiskWait | None = None,
    ) -> None:
        configure_tensorflow()
        check_trainable(dataset)
        self._dataset = dataset
        self._first, *self._later = config.phases
        self._progress = progress
        self._home = home
        self._checkpoints = checkpoints
        self._room = room or DiskWait(home, progress, is_patient=False)
        self._startup: tuple[float, float] | None = None
        self._imported = False
        self._first_passes: tuple[FeaturePass, ...] | None = None
        self._use(self._first)
        require_weights(self.plan.backbone, home, config.model.weights)

    def _use(self, config: RunConfig) -> None:
        """Go on with the model of this phase."""
        self.plan: ModelPlan = plan_model(config.model)
        self.features = SplitFeatures(self._dataset, self.plan, config.augmentation, self._home)

    def train(self) -> TrainingResult:
        """Train the head or from the freeze line on, then go on with a thawed backbone when that was chosen."""
        found = None if self._checkpoints is None else self._checkpoints.found
        if found is None:
            result = self._train_first(None)
        elif found.present.ending:
            result = self.keep_best()
        elif len(found.phases) == 1:
            result = self._train_first(found.present)
        else:
            from tlcore.training.loop import result_of

            self.classifier = self._build_classifier()
            result = self._go_on(self._later[0], result_of(found.phases[0]), found.present)
        for config in self._later[len(found.phases) - 1 if found else 0 :]:
            if not result.stopped and not result.diverged:
                result = self._go_on_or_stop(config, result)
        return result

    def keep_best(self) -> TrainingResult:
        """Give the model the weights of the best epoch of the checkpoint that was found; a wish to stop waits.

        Raises:
            ValueError: If none was found.
        """
        found = None if self._checkpoints is None else self._checkpoints.found
        if found is None:
            raise ValueError("`checkpoints` must have found one. Received: none")
        from tlcore.model.classifier import cut_model
        from tlcore.training.finish import unstoppable
        from tlcore.training.loop import keep_best, result_of

        self._use(self._first)
        self.classifier = self._build_classifier()
        for config in self._later[: len(found.phases) - 1]:
            self._use(config)
            self.classifier = cut_model(self.classifier.model, self.plan)
        unstopped = unstoppable(self._progress)
        self._room.repeat(lambda: ensure_compiled(self.plan, unstopped, self._home), at_the_end=True)
        result = keep_best(self.classifier.suffix, found.present)
        for phase in reversed(found.phases[:-1]):
            result = _joined(result_of(phase), result)
        return result

    def _train_first(self, begun: TrainingState | None) -> TrainingResult:
        """Train the first phase, from its beginning or from a checkpoint on."""
        epoch = 0 if begun is None else min(len(begun.curve), self._first.training.epochs - 1)
        validation = self._make_ready(epoch)
        from tlcore.training.loop import train_suffix

        training = self._first.training
        if self._checkpoints is not None:
            self._checkpoints.begin_phase(())
        return train_suffix(
            self.classifier.suffix,
            lambda epoch: self._views(epoch, training),
            validation,
            training,
            self._progress,
            begun=begun,
            checkpoints=self._checkpoints,
        )

    def search_rates(self) -> RateSearch:
        """Try learning rates on the features of the first epoch."""
        self._make_ready()
        from tlcore.training.loop import search_rates

        training = self._first.training
        features = self._views(0, training)
        return search_rates(self.classifier.suffix, features, training, self._progress)

    def _make_ready(self, epoch: int = 0) -> LabelledFeatures | None:
        """Compute what an epoch needs while Keras gets ready; return the validation features."""
        self._room.repeat(lambda: ensure_compiled(self.plan, self._progress, self._home))
        # When the prefix was compiled for this run, TensorFlow is here already.
        self._imported = "keras" not in sys.modules
        with background() as pool:
            classifier = pool.submit(self._build_classifier)
            self._views(epoch, self._first.training)
            validation = self._validation()
            self.classifier = wait_for(classifier, self._progress, "loading")
        return validation

    def _validation(self) -> LabelledFeatures | None:
        items = self._dataset.subset("validation")
        if not items:
            return None
        return self._room.repeat(lambda: self.features.plain(items, self._progress, "validation_features"))

    def _views(self, epoch: int, training: TrainingConfig) -> LabelledFeatures:
        """Return the training features of an epoch, counted from 0."""
        return self._room.repeat(lambda: self.features.views(epoch, training, self._progress))

    def _go_on_or_stop(self, config: RunConfig, before: TrainingResult) -> TrainingResult:
        """Go on with the second phase; stopped before it has begun, the first one's best epoch is what there is."""
        from tlcore.model.classifier import cut_model

        plan, features = self.plan, self.features
        try:
            return self._go_on(config, before)
        except StopRequested:
            self.plan, self.features = plan, features
            self.classifier = cut_model(self.classifier.model, plan)
            return replace(before, stopped=True)

    def _go_on(self, config: RunConfig, before: TrainingResult, begun: TrainingState | None = None) -> TrainingResult:
        """Thaw blocks and train on from the best epoch so far, which is kept if nothing better comes.

        Args:
            config: The phase.
            before: What the phase before it reached.
            begun: This phase after some of its epochs, from a checkpoint.
        """
        from tlcore.model.classifier import cut_model
        from tlcore.training.loop import train_suffix

        self._first_passes = self.features.passes
        self._use(config)
        self._room.repeat(lambda: ensure_compiled(self.plan, self._progress, self._home))
        self.classifier = cut_model(self.classifier.model, self.plan)
        if self._checkpoints is not None:
            self._checkpoints.begin_phase([] if before.state is None else [before.state])
        result = train_suffix(
            self.classifier.suffix,
            lambda epoch: self._views(before.epochs + epoch, config.training),
            self._validation(),
            config.training,
            _LaterPhase(self._progress, before.epochs),
            before.best_value,
            begun=begun,
            checkpoints=self._checkpoints,
        )
        return _joined(before, result)

    def timings(
        self, prepare_seconds: float, pace: TrainingPace | None = None, trained: float | None = None
    ) -> RunTimings:
        """Return how long the parts took.

        Args:
            prepare_seconds: What came before this object's work.
            pace: Of the training, if there was one.
            trained: When training ended and testing began; `None` if it did not.
        """
        finish_seconds, passes = None, self.features.passes
        if self._first_passes is not None:  # a second phase came; its passes and its end say nothing about the first
            passes = self._first_passes
        elif trained is not None and pace is not None:
            known = sum(one.ended - one.started for one in passes if one.started >= trained)
            answered = len(self._dataset.subset("test")) + len(self._dataset.subset("validation"))
            answered += len(self.features.asked_of_training())
            known += answered / pace.answers_per_second
            finish_seconds = max(0.0, time.monotonic() - trained - known)
        return RunTimings(prepare_seconds, passes, self._startup, self._imported, pace, finish_seconds)

    def _build_classifier(self) -> Classifier:
        started = time.monotonic()
        from tlcore.model.classifier import build_classifier

        seed = self._first.training.seed
        classifier = build_classifier(self.plan, self._dataset.num_classes, self._home, seed=seed)
        self._startup = (started, time.monotonic())
        return classifier


def _joined(before: TrainingResult, result: TrainingResult) -> TrainingResult:
    """Return what two phases have reached together, with their epochs counted through."""
    epochs = before.epochs + result.epochs
    if not result.best_epoch:
        return replace(before, epochs=epochs, stopped=result.stopped, diverged=result.diverged)
    return replace(result, best_epoch=before.epochs + result.best_epoch, epochs=epochs, pace=before.pace)


class _LaterPhase:
    """Passes the progress of a second training on, with its epochs counted from the first one's."""

    def __init__(self, progress: Progress, epochs_before: int) -> None:
        self._progress = progress
        self._epochs_before = epochs_before

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        self._progress.phase("fine_tuning", self._epochs_before + done, self._epochs_before + total)

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        self._progress.metrics(self._epochs_before + epoch, values)

    def check(self) -> None:
        self._progress.check()
