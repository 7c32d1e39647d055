"""A quick measurement of what a run will take: a tiny real run, on the project's own pictures."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain, cycle, islice, zip_longest
from pathlib import Path

from tlcore.backbones.weights.status import require_weights
from tlcore.config import RunConfig
from tlcore.dataset import Dataset, Item, Split, check_trainable
from tlcore.features.compiled import configure_tensorflow, ensure_compiled, is_compiled
from tlcore.features.engines import read_engine_speeds
from tlcore.features.extractor import FeatureExtractor, FeaturePass
from tlcore.home import DataRoot
from tlcore.images.views import ViewRequest, view_of_epoch
from tlcore.model.cut import PIXELS, ModelPlan, plan_model
from tlcore.pricing.speeds import learn_speeds
from tlcore.progress import Phase, Progress, StopRequested
from tlcore.training.run import train_classifier

TRAINING_PICTURES = 32
OTHER_PICTURES = 16
STEPS = 4
EPOCHS = 4
# A slow training ends after an epoch, or after a few steps when even one epoch takes too long.
TRAINING_SECONDS = 4.0
MAX_EPOCH_SECONDS = 15.0
MIN_STEPS = 3


def measure(dataset: Dataset, config: RunConfig, progress: Progress, launch_seconds: float, home: DataRoot) -> None:
    """Measure the parts of a run and remember their speeds.

    Features that are computed for this stay cached, so the run itself has that much less to do.

    Args:
        dataset: What shall be trained on.
        config: Everything that was chosen.
        progress: Told what happens; may ask to stop.
        launch_seconds: From the start of this process to this call.
        home: The data root.

    Raises:
        StopRequested: If the person asked to stop.
        DatasetError: If the data set allows no training.
        WeightsError: If the backbone's weights are not on this computer.
        StorageError: If the disk is full.
    """
    check_trainable(dataset)
    plan = plan_model(config.model)
    import_seconds = _make_ready(plan, progress, home)
    extractor = FeatureExtractor(plan, config.augmentation, home)
    # One view of each picture is enough for all epochs, and a part of every bank.
    training = replace(config.training, epochs=EPOCHS, views=1, new_views_every_epoch=False, patience=None)
    tiny = replace(config, training=replace(training, learning_rate=1e-4))
    sample = _sample(dataset, tiny, extractor)
    passes: tuple[FeaturePass, ...] = ()
    if _overlaps_import(plan, home):
        _compute(sample, tiny, extractor, progress)
        passes = tuple(extractor.passes)
    brief = _BriefProgress(progress)
    with tempfile.TemporaryDirectory(prefix="transfer-lab-") as folder:
        result = train_classifier(_repeated(sample, config.training.batch_size), tiny, Path(folder), brief, home)
    if result.timings is None or (result.stopped and not brief.is_over):
        raise StopRequested
    timings = result.timings
    if timings.startup is not None and import_seconds:
        began, ended = timings.startup
        timings = replace(timings, startup=(began - import_seconds, ended), imported=True)
    learn_speeds(config, dataset, replace(timings, passes=passes or timings.passes), launch_seconds, home)


def _make_ready(plan: ModelPlan, progress: Progress, home: DataRoot) -> float:
    """Compile the frozen part when it is not yet; return how long TensorFlow's import for that took."""
    if is_compiled(plan, home):
        return 0.0
    configure_tensorflow()
    progress.phase("compiling")
    started = time.monotonic()
    from tlcore.model import classifier  # noqa: F401 - imported to see how long it takes

    import_seconds = time.monotonic() - started
    require_weights(plan.backbone, home, plan.config.weights)
    ensure_compiled(plan, progress, home)
    return import_seconds


def _overlaps_import(plan: ModelPlan, home: DataRoot) -> bool:
    """Whether the feature pass needs no TensorFlow: then it is measured on its own, before the import begins."""
    prefix = plan.prefix
    speeds = read_engine_speeds(prefix, home)
    return prefix.cut == PIXELS or speeds is None or speeds.fastest == "litert"


def _sample(dataset: Dataset, config: RunConfig, extractor: FeatureExtractor) -> Dataset:
    """Return a small part of a data set, with each class; pictures whose features are not cached go first."""
    limits: dict[Split, int] = {"train": TRAINING_PICTURES, "validation": OTHER_PICTURES, "test": OTHER_PICTURES}
    items: list[Item] = []
    for split, limit in limits.items():
        by_class = [[item for item in dataset.of_class(one.id) if item.split == split] for one in dataset.classes]
        in_turn = [item for item in chain.from_iterable(zip_longest(*by_class)) if item is not None]
        always = dataset.num_classes if split == "train" else 0
        others = sorted(
            in_turn[always : always + 4 * limit],
            key=lambda item: not extractor.count_missing([_request(item, config)]),
        )
        items += [*in_turn[:always], *others[: max(0, limit - always)]]
    return Dataset(dataset.classes, tuple(items))


def _request(item: Item, config: RunConfig) -> ViewRequest:
    if item.split == "train":
        return view_of_epoch(item.image, 0, config.augmentation, config.training)
    return ViewRequest(item.image)


def _compute(sample: Dataset, config: RunConfig, extractor: FeatureExtractor, progress: Progress) -> None:
    """Compute plain pictures and views in passes of their own."""
    requests = [_request(item, config) for item in sample.items]
    for augmented in (False, True):
        alike = [request for request in requests if (request.view is not None) == augmented]
        extractor.table(alike, progress, "few_features")


def _repeated(sample: Dataset, batch_size: int) -> Dataset:
    """Return a data set with enough records for some steps; the same picture may come several times."""
    train = sample.subset("train")
    length = max(STEPS * batch_size, len(train))
    return Dataset(
        sample.classes,
        (*islice(cycle(train), length), *sample.subset("validation"), *sample.subset("test")),
    )


class _BriefProgress:
    """Passes everything on, because writing it down takes time in a run too, and ends a training that takes long."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._training_since: float | None = None
        self._checks = self._epochs = 0
        self.is_over = False

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        if name == "training" and self._training_since is None:
            self._training_since = time.monotonic()
        self._progress.phase(name, done, total, subject)

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        self._epochs = int(epoch)
        self._progress.metrics(epoch, values)

    def check(self) -> None:
        self._progress.check()
        if self._training_since is None:
            return
        self._checks += 1
        enough = self._epochs or self._checks >= MIN_STEPS
        limit = TRAINING_SECONDS if self._epochs else MAX_EPOCH_SECONDS
        if enough and time.monotonic() - self._training_since > limit:
            self.is_over = True
            raise StopRequested
