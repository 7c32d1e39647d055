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

from tlcore.config import ResizeMode
from tlcore.dataset import Dataset, Item, Split
from tlcore.errors import FrozenPartError, FullDiskError, RunError, StorageError, TransferLabError
from tlcore.export.certifying import Answers, Asking, ask, ask_afresh, hash_of, read_pictures, squares_of
from tlcore.export.examples import choose_examples, write_examples
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

NOT_CALIBRATED = (
    "Training pictures decide how its numbers are rounded, and none of them can be read. Use another format."
)

_LOG = logging.getLogger(__name__)


def make_export(
    source: ExportSource, formats: Sequence[FormatName], folder: Path, progress: Progress, home: DataRoot
) -> ExportResult:
    """Write a model in some formats, and certify each file.

    A format that cannot be made takes nothing from the others; its report says why. The pictures of the certificates
    are the test pictures, or those for validation or training where there are none, as they are stored, of whatever
    size; one that cannot be read is left out and counted. A file that cannot be asked is deleted.

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
        TransferLabError: If its weights are not there any more.
    """
    configure_tensorflow()
    progress.phase("loading")
    models = _Models(source, home)
    reports = []
    for number, name in enumerate(formats):
        progress.check()
        progress.phase("exporting", number, len(formats), FORMATS[name].title)
        reports.append(_written(source, name, folder, models))
    try:
        write_backbone(source, folder, home)
    except StorageError:
        raise
    except TransferLabError as error:  # the script that trains anew goes without; the files are none the worse for it
        _LOG.warning("The backbone of a script could not be written: %s", error)
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
        pictures = read_pictures([item.image for item in items], self._home)
        return [resize_image(one, size, mode) for one in pictures.values()]


def _written(source: ExportSource, name: FormatName, folder: Path, models: _Models) -> FormatReport:
    """Write one format, or say why it cannot be."""
    from tlcore.export.converting import convert, size_of

    spec = FORMATS[name]
    problem = unavailable(source, name)
    if problem:
        return FormatReport(name, problem=problem)
    try:
        squares = models.calibrating if spec.is_calibrated else []
        if spec.is_calibrated and not squares:
            return FormatReport(name, problem=NOT_CALIBRATED)
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
    """Ask the original and each file about the same pictures, one after the other; keep the examples beside them.

    Args:
        source: The model.
        reports: Of the files in the folder, before they were asked.
        folder: Holds the files.
        progress: Told what happens; may ask to stop.
        home: The data root.

    Raises:
        StopRequested: If the person asked to stop.
        StorageError: If the disk is full.
        TransferLabError: If the original cannot be asked.
    """
    from tlcore.export.converting import remove

    drawn = asked_items(source.dataset)
    found = read_pictures([item.image for item in drawn], home)
    items = tuple(item for item in drawn if item.image in found)
    class_ids = [label.id for label in source.dataset.classes]
    labels = np.array([class_ids.index(item.class_id) for item in items], np.int64)
    size, mode = source.square or _largest_square(source)
    progress.phase("certifying", 0, len(reports) + 1, "the original")
    predictor = original_predictor(source, progress, home)
    examples = choose_examples(source, predictor, home)
    pictures = [found[item.image] for item in items]
    original = ask(lambda one: predictor.predict([one])[0], pictures, squares_of(pictures, size, mode))
    of_examples = [one.probabilities for one in examples]
    if not all(np.isfinite(one).all() for one in (original.probabilities, *of_examples)):
        raise RunError(
            "This model answers with no numbers: its training went astray. Train again with a smaller learning rate."
        )
    answered: dict[FormatName, NDArray[np.float32]] = {}
    certified = []
    for number, report in enumerate(reports, start=1):
        progress.check()
        progress.phase("certifying", number, len(reports) + 1, FORMATS[report.format].title)
        if not report.is_made:
            certified.append(report)
            continue
        images, shown = tuple(item.image for item in items), tuple(one.image for one in examples)
        asking = Asking(str(folder), report.format, images, shown, size, mode, answering_threads())
        try:
            answers = ask_afresh(asking, progress.check, home)
            if not (np.isfinite(answers.probabilities).all() and np.isfinite(answers.of_examples).all()):
                raise RunError("What the converter wrote answers with no numbers. Use another format.")
        except RunError as error:
            remove(folder / FORMATS[report.format].file.rstrip("/"))  # nobody can use it
            certified.append(FormatReport(report.format, problem=str(error)))
            continue
        answered[report.format] = answers.of_examples
        certified.append(_certificate(report, answers, original, labels, source.dataset.class_names))
    write_examples(examples, answered, folder)
    return ExportResult(
        source.model_id,
        source.settings,
        int((original.probabilities.argmax(axis=1) == labels).sum()),
        len(items),
        original.milliseconds,
        processor_name(),
        tuple(certified),
        asked_split(source.dataset),
        len(drawn) - len(items),
    )


def _largest_square(source: ExportSource) -> tuple[int, ResizeMode]:
    """Return the largest square that a member of a group sees: for taking the time only."""
    largest = max((part.spec for part in source.parts), key=lambda spec: spec.prefix.image_size)
    return largest.prefix.image_size, largest.resize_mode


def _certificate(
    report: FormatReport,
    answers: Answers,
    original: Answers,
    labels: NDArray[np.int64],
    class_names: Sequence[str],
) -> FormatReport:
    said, meant = answers.probabilities.argmax(axis=1), original.probabilities.argmax(axis=1)
    report = replace(
        report,
        total=len(labels),
        correct=int((said == labels).sum()),
        agreed=int((said == meant).sum()),
        largest_difference=float(np.abs(answers.probabilities - original.probabilities).max(initial=0)),
        milliseconds=answers.milliseconds,
    )
    changed_of = {
        name: (int((said[meant == index] != index).sum()), int((meant == index).sum()))
        for index, name in enumerate(class_names)
    }
    return replace(report, warning=warning_of(report, changed_of))


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
