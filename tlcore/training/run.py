"""One run from pictures to a tested model: features, training, testing, saving."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import filelock
import numpy as np
from numpy.typing import NDArray

from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.status import require_weights
from tlcore.config import ModelConfig, RunConfig
from tlcore.dataset import Dataset, Item, Split, check_trainable
from tlcore.features.engines import compiled_prefix_path, num_compute_threads, read_engine_speeds, write_engine_speeds
from tlcore.features.extractor import FeatureExtractor, FeaturePass
from tlcore.features.litert import is_whole
from tlcore.features.store import FeatureTable, LabelledFeatures
from tlcore.home import DataRoot, storage_error
from tlcore.images.views import ViewRequest, view_of_epoch
from tlcore.model.architecture import check_phases
from tlcore.model.cut import PIXELS, prefix_of
from tlcore.progress import CLOSING_PHASES, FINE_TUNING, SAVING, TESTING, Progress, StopRequested
from tlcore.results.evaluation import VALIDATION_FILE_NAME, Evaluation, save_evaluation
from tlcore.results.prediction import SUFFIX_FILE, PredictorSpec, save_predictor_spec
from tlcore.storage.images import ImageStore
from tlcore.storage.runs import RunSummary
from tlcore.training.rate_search import RateSearch
from tlcore.training.stopwatch import TrainingPace
from tlcore.training.timings import RunTimings

if TYPE_CHECKING:
    import keras

    from tlcore.model.classifier import Classifier
    from tlcore.training.loop import TrainingResult

WAIT_SECONDS = 0.2
VALIDATION_FEATURES = "Computing features of the validation pictures"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PipelineResult:
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


def run_pipeline(
    dataset: Dataset, config: RunConfig, run_dir: Path, progress: Progress, home: DataRoot
) -> PipelineResult:
    """Train a classifier and leave its files in `run_dir`.

    The features of the first epoch are computed while TensorFlow is still being imported.

    Args:
        dataset: Pictures of the data root, with classes and splits.
        config: Everything that was chosen.
        run_dir: Where model, labels, evaluation and the compiled suffix go.
        progress: Told what happens; may ask to stop.
        home: The data root.

    Raises:
        DatasetError: If the data set allows no training.
        WeightsError: If the backbone's weights are not on this computer.
        RunError: If the second phase has nothing to thaw, or the loss became infinite before the first epoch ended.
        StorageError: If the disk is full.
    """
    configure_tensorflow()
    started = time.monotonic()
    check_trainable(dataset)
    check_phases(config)
    try:
        progress.phase("Preparing")
    except StopRequested:
        return PipelineResult(None, stopped=True)
    require_weights(get_backbone(config.model.backbone), home, config.model.weights)
    run = _PipelineRun(dataset, config, progress, home)
    prepare_seconds = time.monotonic() - started
    try:
        result = run.train()
    except StopRequested:
        return PipelineResult(None, stopped=True, timings=run.timings(prepare_seconds))
    if not result.best_epoch:
        return PipelineResult(None, stopped=True, timings=run.timings(prepare_seconds, result.pace))
    run.ignore_stop()
    trained = time.monotonic()
    summary = run.finish(result, started, run_dir)
    timings = run.timings(prepare_seconds, result.pace, trained)
    return PipelineResult(summary, result.stopped, result.diverged, timings)


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
    configure_tensorflow()
    check_trainable(dataset)
    require_weights(get_backbone(config.model.backbone), home, config.model.weights)
    return _PipelineRun(dataset, config, progress, home).search_rates()


class _PipelineRun:
    """The steps of one run and what they share."""

    def __init__(self, dataset: Dataset, config: RunConfig, progress: Progress, home: DataRoot) -> None:
        self._dataset = dataset
        self._config = config
        self._progress = progress
        self._home = home
        self._extractor = FeatureExtractor(config.model, config.augmentation, ImageStore(home), home)
        self._classifier: Classifier
        self._startup: tuple[float, float] | None = None
        self._imported = False
        self._first_passes: tuple[FeaturePass, ...] | None = None

    def train(self) -> TrainingResult:
        """Train the head or from the freeze line on, then go on with a thawed backbone when that was chosen."""
        first, *later = self._config.phases
        result = self._begin(first)
        for config in later:
            if not result.stopped and not result.diverged:
                result = self._go_on_or_stop(first, config, result)
        return result

    def search_rates(self) -> RateSearch:
        """Try learning rates on the features of the first epoch."""
        config = self._config.phases[0]
        self._make_ready(config)
        from tlcore.training.loop import search_rates

        features = self._training_features(0)
        rates, losses = search_rates(self._classifier.suffix, features, config.training, self._progress)
        return RateSearch(tuple(rates), tuple(losses))

    def _begin(self, config: RunConfig) -> TrainingResult:
        """Train the first phase."""
        validation = self._make_ready(config)
        from tlcore.training.loop import train_suffix

        return train_suffix(
            self._classifier.suffix, self._training_features, validation, config.training, self._progress
        )

    def _make_ready(self, config: RunConfig) -> LabelledFeatures | None:
        """Compute what the first epoch needs while Keras gets ready; return the validation features."""
        ensure_compiled(config.model, self._progress, self._home)
        # When the prefix was compiled for this run, TensorFlow is here already.
        self._imported = "keras" not in sys.modules
        with _background() as pool:
            classifier = pool.submit(self._build_classifier)
            self._training_features(0)
            validation = self._plain_features("validation", VALIDATION_FEATURES)
            self._classifier = _wait_for(classifier, self._progress, "Loading TensorFlow")
        return validation

    def _go_on_or_stop(self, first: RunConfig, config: RunConfig, before: TrainingResult) -> TrainingResult:
        """Go on with the second phase; stopped before it has begun, the first one's best epoch is what there is."""
        from tlcore.model.classifier import cut_model

        extractor = self._extractor
        try:
            return self._go_on(config, before)
        except StopRequested:
            self._extractor = extractor
            self._classifier = cut_model(self._classifier.model, first.model)
            return replace(before, stopped=True)

    def _go_on(self, config: RunConfig, before: TrainingResult) -> TrainingResult:
        """Thaw blocks and train on from the best epoch so far, which is kept if nothing better comes."""
        from tlcore.model.classifier import cut_model
        from tlcore.training.loop import train_suffix

        ensure_compiled(config.model, self._progress, self._home)
        self._first_passes = tuple(self._extractor.passes)
        self._extractor = FeatureExtractor(config.model, config.augmentation, ImageStore(self._home), self._home)
        self._classifier = cut_model(self._classifier.model, config.model)
        validation = self._plain_features("validation", VALIDATION_FEATURES)
        result = train_suffix(
            self._classifier.suffix,
            lambda epoch: self._training_features(before.epochs + epoch),
            validation,
            config.training,
            _LaterPhase(self._progress, before.epochs),
            before.best_value,
        )
        epochs = before.epochs + result.epochs
        if not result.best_epoch:
            return replace(before, epochs=epochs, stopped=result.stopped, diverged=result.diverged)
        return replace(result, best_epoch=before.epochs + result.best_epoch, epochs=epochs, pace=before.pace)

    def ignore_stop(self) -> None:
        """From here on a wish to stop changes nothing: the best epoch is tested and saved."""
        self._progress = _Unstoppable(self._progress)

    def finish(self, result: TrainingResult, started: float, run_dir: Path) -> RunSummary:
        """Test the best epoch and write everything that the run leaves."""
        from tlcore.features.compiling import compile_model
        from tlcore.model.classifier import count_parameters
        from tlcore.results.export import save_export
        from tlcore.training.loop import predict_features

        suffix, model = self._classifier.suffix, self._classifier.model
        evaluation = self._evaluate("test", predict_features)
        validation = self._evaluate("validation", predict_features)
        self._progress.phase(SAVING)
        save_evaluation(evaluation, run_dir)
        save_evaluation(validation, run_dir, VALIDATION_FILE_NAME)
        save_export(model, self._config.model, self._dataset.class_names, run_dir)
        compile_model(suffix, run_dir / SUFFIX_FILE)
        colors = tuple(label.color for label in self._dataset.classes)
        resize_mode = self._config.model.resize_mode
        spec = PredictorSpec(self._extractor.prefix, resize_mode, self._dataset.class_names, colors)
        save_predictor_spec(spec, run_dir)
        trainable, frozen = count_parameters(model)
        return RunSummary(
            best_epoch=result.best_epoch,
            epochs=result.epochs,
            validation_accuracy=result.validation_accuracy,
            test_correct=evaluation.correct,
            test_total=evaluation.total,
            trainable_parameters=trainable,
            frozen_parameters=frozen,
            seconds=time.monotonic() - started,
        )

    def timings(
        self, prepare_seconds: float, pace: TrainingPace | None = None, trained: float | None = None
    ) -> RunTimings:
        """Return how long the parts took.

        Args:
            prepare_seconds: What came before this object.
            pace: Of the training, if there was one.
            trained: When training ended and `finish` began; `None` if it did not.
        """
        finish_seconds = None
        if self._first_passes is not None:  # a second phase came; its pace and its end say nothing about the first
            return RunTimings(prepare_seconds, self._first_passes, self._startup, self._imported, pace, None)
        passes = tuple(self._extractor.passes)
        if trained is not None and pace is not None:
            known = sum(one.ended - one.started for one in passes if one.started >= trained)
            answered = len(self._dataset.subset("test")) + len(self._dataset.subset("validation"))
            known += answered / pace.answers_per_second
            finish_seconds = max(0.0, time.monotonic() - trained - known)
        return RunTimings(prepare_seconds, passes, self._startup, self._imported, pace, finish_seconds)

    def _evaluate(
        self, split: Split, predict_features: Callable[[keras.Model, FeatureTable], NDArray[np.float32]]
    ) -> Evaluation:
        items = self._dataset.subset(split)
        features = self._plain_features(split, TESTING)
        probabilities = np.zeros((0, self._dataset.num_classes), np.float32)
        labels = np.zeros(0, np.int64)
        if features is not None:
            probabilities, labels = predict_features(self._classifier.suffix, features.table), features.labels
        return Evaluation(self._dataset.class_names, tuple(item.image for item in items), labels, probabilities)

    def _training_features(self, epoch: int) -> LabelledFeatures:
        items = self._dataset.subset("train")
        config = self._config
        requests = [view_of_epoch(item.image, epoch, config.augmentation, config.training) for item in items]
        what = "Computing features" if config.augmentation.is_identity else "Computing features of augmented views"
        return LabelledFeatures(self._extractor.table(requests, self._progress, what), self._labels(items))

    def _plain_features(self, split: Split, phase: str) -> LabelledFeatures | None:
        items = self._dataset.subset(split)
        if not items:
            return None
        requests = [ViewRequest(item.image) for item in items]
        return LabelledFeatures(self._extractor.table(requests, self._progress, phase), self._labels(items))

    def _labels(self, items: Sequence[Item]) -> NDArray[np.int64]:
        index = self._dataset.class_index()
        return np.array([index[item.class_id] for item in items], np.int64)

    def _build_classifier(self) -> Classifier:
        started = time.monotonic()
        from tlcore.model.classifier import build_classifier

        config = self._config
        seed = config.training.seed
        classifier = build_classifier(config.model, self._dataset.num_classes, seed=seed, home=self._home)
        self._startup = (started, time.monotonic())
        return classifier


class _LaterPhase:
    """Passes the progress of a second training on, with its epochs counted from the first one's."""

    def __init__(self, progress: Progress, epochs_before: int) -> None:
        self._progress = progress
        self._epochs_before = epochs_before

    def phase(self, name: str, done: int = 0, total: int = 0) -> None:
        self._progress.phase(FINE_TUNING, self._epochs_before + done, self._epochs_before + total)

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        self._progress.metrics(self._epochs_before + epoch, values)

    def check(self) -> None:
        self._progress.check()


class _Unstoppable:
    """Passes progress on while the best epoch is tested and saved: the wish to stop is fulfilled already."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def phase(self, name: str, done: int = 0, total: int = 0) -> None:
        with contextlib.suppress(StopRequested):
            # Only the closing phases tell the runner that the end may take its time.
            self._progress.phase(name if name in CLOSING_PHASES else TESTING, done, total)

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        with contextlib.suppress(StopRequested):
            self._progress.metrics(epoch, values)

    def check(self) -> None:
        return


@contextlib.contextmanager
def _background() -> Iterator[ThreadPoolExecutor]:
    """Open one thread for slow calls into TensorFlow; an error or a wish to stop does not wait for them."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="keras")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False)


def _wait_for(future: Future[T], progress: Progress, phase: str) -> T:
    """Return what a background call returns, and notice a wish to stop meanwhile."""
    while not future.done():
        progress.phase(phase)
        wait([future], timeout=WAIT_SECONDS)
    return future.result()


def configure_tensorflow() -> None:
    """Keep TensorFlow to the cores that a run may use, and its notes off the terminal; call it before the import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(num_compute_threads()))
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(num_compute_threads()))


def is_compiled(config: ModelConfig, home: DataRoot) -> bool:
    """Whether the frozen prefix of a model, if it has one, is compiled, whole, and measured on this machine."""
    prefix = prefix_of(config)
    if prefix.cut == PIXELS:
        return True
    return is_whole(compiled_prefix_path(prefix, home)) and read_engine_speeds(prefix, home) is not None


def ensure_compiled(config: ModelConfig, progress: Progress, home: DataRoot) -> None:
    """Compile the frozen prefix of a model unless it was compiled before on this computer.

    Raises:
        StopRequested: If the person asked to stop; what was begun is finished for the next run.
        WeightsError: If the backbone's weights are not on this computer.
        StorageError: If the disk is full.
    """
    if is_compiled(config, home):
        return
    configure_tensorflow()
    with _background() as pool:
        compiled = pool.submit(_compile, config, home)
        _wait_for(compiled, progress, "Preparing the backbone, once on this computer")


def _compile(config: ModelConfig, home: DataRoot) -> None:
    from tlcore.features.compiling import compile_model, measure_engines
    from tlcore.model.classifier import build_prefix

    path = compiled_prefix_path(prefix_of(config), home)
    lock = filelock.FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        if not is_compiled(config, home):
            model = build_prefix(config, home=home)
            compile_model(model, path)
            write_engine_speeds(prefix_of(config), measure_engines(model, path), home)
    finally:
        lock.release()
