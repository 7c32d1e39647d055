"""An export from beginning to end: each format is written, then asked in a fresh process, and gets its certificate."""

from __future__ import annotations

import itertools
import logging
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tlcore.dataset import Dataset, Item, Split
from tlcore.errors import FrozenPartError, FullDiskError, RunError, TransferLabError
from tlcore.export.certifying import Answers, Asking, ask, ask_afresh, hash_of, read_pictures
from tlcore.export.formats import FORMATS
from tlcore.export.parity import unavailable, warning_of
from tlcore.export.source import ExportSource, Part
from tlcore.export.training_code import write_backbone
from tlcore.features.compiled import configure_tensorflow, ensure_compiled
from tlcore.features.litert import sharing_loader
from tlcore.home import DISK_IS_FULL, DataRoot, is_for_want_of_room
from tlcore.images.resizing import resize_image
from tlcore.model.cut import PIXELS, plan_model
from tlcore.progress import Progress
from tlcore.results.calibration import calibrated
from tlcore.results.ensembles import ensemble_predictor
from tlcore.results.prediction import Predictor, answering_threads, load_predictor
from tlcore.simple_heads.prediction import load_simple_head_predictor
from tlcore.storage.requests import ExportResult, FormatName, FormatReport

if TYPE_CHECKING:
    import keras

MOST_ASKED = 500
"""Of more test pictures so many are drawn, the same ones every time: one answer in 500 is 0.2 points."""
MOST_CALIBRATING = 200
"""So many training pictures say how large the numbers inside become; more change nothing that can be measured."""

_LOG = logging.getLogger(__name__)


def make_export(
    source: ExportSource, formats: Sequence[FormatName], folder: Path, progress: Progress, home: DataRoot
) -> ExportResult:
    """Write a model in some formats, and certify each file.

    A format that cannot be made takes nothing from the others; its report says why. The pictures of the certificates
    are the test pictures, or those for validation or training where there are none, as they are stored, of whatever size.

    Args:
        source: The model.
        formats: Which formats.
        folder: Where the files go; it is there.
        progress: Told what happens; may ask to stop.
        home: The data root.

    Raises:
        StopRequested: If the person asked to stop.
        RunError: If the files of the model are missing or damaged.
        StorageError: If the disk is full.
        TransferLabError: If its pictures or weights are not there any more.
    """
    configure_tensorflow()
    progress.phase("loading")
    models = _Models(source, home)
    reports = []
    for number, name in enumerate(formats):
        progress.check()
        progress.phase("exporting", number, len(formats), FORMATS[name].title)
        reports.append(_written(source, name, folder, models))
    write_backbone(source, folder, home)
    return certify(source, reports, folder, progress, home)


class _Models:
    """The Keras models of a source, each built when the first format needs it."""

    def __init__(self, source: ExportSource, home: DataRoot) -> None:
        self._source = source
        self._home = home

    @cached_property
    def any_size(self) -> keras.Model:
        from tlcore.export.graph import build_any_size

        return build_any_size(self._source, self._home)

    @cached_property
    def square(self) -> keras.Model:
        from tlcore.export.graph import build_square

        return build_square(self._source, self._home)

    @cached_property
    def calibrating(self) -> list[NDArray[np.uint8]]:
        """Training pictures of all classes as the model sees them."""
        assert self._source.square is not None
        size, mode = self._source.square
        items = spread(self._source.dataset.subset("train"), MOST_CALIBRATING)
        pictures = read_pictures(tuple(item.image for item in items), self._home)
        return [resize_image(one, size, mode) for one in pictures]


def _written(source: ExportSource, name: FormatName, folder: Path, models: _Models) -> FormatReport:
    """Write one format, or say why it cannot be."""
    from tlcore.export.converting import convert, size_of

    spec = FORMATS[name]
    problem = unavailable(source, name)
    if problem:
        return FormatReport(name, problem=problem)
    try:
        squares = models.calibrating if spec.is_calibrated else []
        convert(models.any_size if spec.takes_any_size else models.square, name, folder, squares)
    except TransferLabError:
        raise
    except Exception as error:  # whatever a converter raises; the other formats are none the worse for it
        if is_for_want_of_room(error):
            raise FullDiskError(DISK_IS_FULL) from error
        _LOG.exception("A model could not be written as %s", name)
        return FormatReport(name, problem="The converter cannot write this model in this format. Use another format.")
    path = folder / spec.file.rstrip("/")
    return FormatReport(name, size=size_of(path), sha256=hash_of(path))


def certify(
    source: ExportSource, reports: Sequence[FormatReport], folder: Path, progress: Progress, home: DataRoot
) -> ExportResult:
    """Ask the original and each file about the same pictures, one after the other.

    Args:
        source: The model.
        reports: Of the files in the folder, before they were asked.
        folder: Holds the files.
        progress: Told what happens; may ask to stop.
        home: The data root.

    Raises:
        StopRequested: If the person asked to stop.
        TransferLabError: If the original cannot be asked, or the pictures are not there any more.
    """
    items = asked_items(source.dataset)
    images = tuple(item.image for item in items)
    class_ids = [label.id for label in source.dataset.classes]
    labels = np.array([class_ids.index(item.class_id) for item in items], np.int64)
    progress.phase("certifying", 0, len(reports) + 1, "the original")
    original = Answers(np.zeros((0, len(class_ids)), np.float32), 0.0)
    if images:
        predictor = original_predictor(source, progress, home)
        original = ask(lambda picture: predictor.predict([picture])[0], read_pictures(images, home))
    correct = int((original.probabilities.argmax(axis=1) == labels).sum()) if images else 0
    size, mode = source.square or (1, "stretch")  # what takes only squares was not made then
    certified = []
    for number, report in enumerate(reports, start=1):
        progress.check()
        progress.phase("certifying", number, len(reports) + 1, FORMATS[report.format].title)
        if report.is_made and images:
            asking = Asking(str(folder), report.format, images, size, mode, answering_threads())
            asked = _asked(report, asking, original, labels, progress, home)
            certified.append(replace(asked, warning=warning_of(asked, correct)))
        else:
            certified.append(report)
    return ExportResult(
        source.model_id,
        source.settings,
        correct,
        len(images),
        original.milliseconds,
        processor_name(),
        tuple(certified),
        asked_split(source.dataset),
    )


def _asked(
    report: FormatReport,
    asking: Asking,
    original: Answers,
    labels: NDArray[np.int64],
    progress: Progress,
    home: DataRoot,
) -> FormatReport:
    try:
        answers = ask_afresh(asking, progress.check, home)
    except RunError as error:
        return replace(report, problem=str(error))
    said, meant = answers.probabilities.argmax(axis=1), original.probabilities.argmax(axis=1)
    return replace(
        report,
        total=len(labels),
        correct=int((said == labels).sum()),
        agreed=int((said == meant).sum()),
        largest_difference=float(np.abs(answers.probabilities - original.probabilities).max()),
        milliseconds=answers.milliseconds,
    )


def asked_items(dataset: Dataset) -> tuple[Item, ...]:
    """Return the pictures that certificates are about; of many, some."""
    return spread(dataset.subset(asked_split(dataset)), MOST_ASKED)


def asked_split(dataset: Dataset) -> Split:
    """Return which pictures certificates are about: for testing; where there are none, for validation or training."""
    order: tuple[Split, ...] = ("test", "validation", "train")
    return next((split for split in order if dataset.subset(split)), "train")


def spread(items: Sequence[Item], most: int) -> tuple[Item, ...]:
    """Return at most so many items, the same ones every time, of all classes as evenly as they come."""
    if len(items) <= most:
        return tuple(items)
    by_class: dict[str, list[Item]] = {}
    random = np.random.default_rng(0)
    for number in random.permutation(len(items)):
        by_class.setdefault(items[number].class_id, []).append(items[number])
    turns = itertools.zip_longest(*(by_class[key] for key in sorted(by_class)))
    return tuple(itertools.islice((item for turn in turns for item in turn if item is not None), most))


def original_predictor(source: ExportSource, progress: Progress, home: DataRoot) -> Predictor:
    """Return the model as the app asks it; its frozen parts are compiled again where they are missing.

    Raises:
        RunError: If its own files are missing or damaged.
        WeightsError: If a frozen part is to be compiled and its weights are not on this computer.
    """
    load = sharing_loader()

    def member(part: Part) -> Predictor:
        if part.kind == "simple_head":
            return load_simple_head_predictor(part.folder, home, load)
        return load_predictor(part.folder, home, load)

    try:
        members = [member(part) for part in source.parts]
    except FrozenPartError:
        for part in source.parts:
            if part.spec.prefix.cut != PIXELS:
                ensure_compiled(plan_model(part.model), progress, home)
        members = [member(part) for part in source.parts]
    whole = members[0]
    if len(members) > 1:
        whole = ensemble_predictor(members, [part.weight for part in source.parts])
    return calibrated(whole, source.settings.temperature)


@cache
def processor_name() -> str:
    """Return what this machine computes with, in words: milliseconds say nothing without."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return " ".join(value.split())
    return platform.processor() or platform.machine()
