"""Decode and store what a person brings, understand its folders, and report what became of each file."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import Protocol

from tlcore.dataset import MAX_CLASSES, Dataset, Import, Split
from tlcore.errors import ImageError
from tlcore.intake.archives.archive import Refusal
from tlcore.intake.brought import UNLABELLED, Brought, Picture, check_class_count, labels_with_class
from tlcore.intake.label_files.files import LabelFile, read_label_files
from tlcore.intake.meaning.aside import Aside, aside_among, aside_lines
from tlcore.intake.meaning.class_names import similar_names
from tlcore.intake.meaning.readings import Label, Reading, Readings
from tlcore.intake.meaning.tree import read_tree
from tlcore.intake.names import printable, some
from tlcore.intake.pictures.decoders import measure_grey
from tlcore.intake.pictures.grey import GreyRange, GreyStatistics, find_grey_range
from tlcore.intake.sources import Found, Listing, Source, list_source
from tlcore.intake.splitting import TEST_FRACTION, VALIDATION_FRACTION
from tlcore.progress import in_order

_MAX_THREADS = 8
# Files of these kinds may have more than 8 bits; only their content decides.
DEEP_SUFFIXES = (".png", ".tif", ".tiff", ".pgm", ".ppm", ".pnm", ".pam", ".pfm", "")


class PictureStore(Protocol):
    """Where clean pictures go; called from several threads at once."""

    def add(self, data: bytes, thumbnail: bytes) -> str:
        """Store a picture with its thumbnail and return its key."""
        ...


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the sources.

    Attributes:
        dataset: The data set with the new pictures.
        added: Pictures that are new in their class.
        already_there: Pictures that their class had before, or that came twice.
        refused: Files that are not used, with reasons.
        notes: What else the person should know, one sentence or two each.
        reading: What the folders were taken to mean.
    """

    dataset: Dataset
    added: int
    already_there: int
    refused: tuple[Refusal, ...]
    notes: tuple[str, ...]
    reading: Reading


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was brought, stored and listed; it belongs to no data set yet.

    Attributes:
        brought: The pictures, and what their folders can mean.
        notes: What the person should know, whatever the reading.
        refused: Files that are not used, with reasons.
        grey_range: What became black and white in pictures with more than 8 bits; `None` if there are none.
    """

    brought: Brought
    notes: tuple[str, ...]
    refused: tuple[Refusal, ...]
    grey_range: GreyRange | None = None

    def into(
        self,
        dataset: Dataset,
        *,
        reading: Reading | None = None,
        import_id: str | None = None,
        scenes: Mapping[str, str] | None = None,
        validation: float = VALIDATION_FRACTION,
        test: float = TEST_FRACTION,
        seed: int = 0,
    ) -> ImportReport:
        """Return the data set with these pictures, and what became of each.

        Args:
            dataset: What is there already; its pictures keep their class and split.
            reading: What the folders mean; the likeliest when not given.
            import_id: Names the import for those who can be asked. An unclear reading is then an open question.
            scenes: The scene of each picture, old or new, that has near-copies; `None` if nobody looked.
            validation: Fraction of each class for validation, as in `assign_splits`.
            test: Fraction of each class for testing.
            seed: Decides which pictures are kept for validation and test.

        Raises:
            DatasetError: If there would be too many classes.
        """
        readings = self.brought.readings
        taken = reading or readings.found[0]
        before = dataset
        if scenes is not None:
            dataset = replace(dataset, items=tuple(replace(i, scene=scenes.get(i.image, "")) for i in dataset.items))
            scenes = {picture.image: scenes.get(picture.image, "") for picture in self.brought.pictures}
        if len(readings.found) == 1:
            import_id = None  # there is nothing to ask, now or later
        after = self.brought.place(
            dataset, taken, import_id=import_id, scenes=scenes, validation=validation, test=test, seed=seed
        )
        after = replace(after, grey_range=after.grey_range or self.grey_range)
        added = len(after.items) - len(before.items)
        is_new = added or len(after.unlabelled) > len(before.unlabelled)
        if import_id is not None and is_new:
            is_open = reading is None and not readings.is_clear
            after = replace(after, imports=(*after.imports, Import(import_id, taken.key, is_open)))
        labels = labels_with_class(taken)
        classified = sum(label.class_name is not None for label in labels)
        notes = (*_notes(self.brought.pictures, labels, before, after), *taken.notes, *self.notes)
        return ImportReport(after, added, classified - added, self.refused, notes, taken)


def gather(
    sources: Sequence[Source],
    dataset: Dataset,
    image_store: PictureStore,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    wanted: Sequence[str | int] = (),
    label_file: LabelFile | None = None,
) -> Gathered:
    """Decode and store every picture of the sources.

    The data set, in which too many classes would be noticed, may be another one when they are put into it.

    Args:
        sources: What the person brought.
        dataset: What is there already.
        image_store: Where clean pictures go.
        on_progress: Called in this thread with the number of files done and of all; it may raise.
        wanted: Keys of readings that are to be among those found even if nobody would propose them.
        label_file: What says the classes, instead of any label file among the sources.

    Raises:
        DatasetError: If there would be too many classes whatever the reading.
        StorageError: If the disk is full or cannot be written.
    """
    listing = Listing()
    with ExitStack() as stack:
        for source in sources:
            list_source(source, listing, stack)
        _leave_aside(listing)
        label_files = _read_label_files(listing) if label_file is None else [label_file]
        # Whether there are too many classes is known before anything is decoded.
        promising = [one for one in listing.found if one.looks_like_picture]
        readings, _ = _understand(promising, listing, label_files, wanted)
        if all(len(reading.classes) > MAX_CLASSES for reading in readings.found):
            check_class_count(dataset, readings.found[0].classes)
        threads = max(2, min(os.cpu_count() or 2, _MAX_THREADS))
        pool = stack.enter_context(ThreadPoolExecutor(threads, thread_name_prefix="intake"))
        grey_range = dataset.grey_range or find_grey_range(_measured(listing, pool))
        bring = partial(_bring, image_store, grey_range)
        outcomes = stack.enter_context(closing(in_order(pool, bring, listing.found, ahead=3 * threads)))
        stored = _sorted_out(outcomes, listing, on_progress)
    pictures = {id(one.found) for one in stored}
    # What could not be read tells a class too: one that has no good picture yet.
    counted = [one for one in listing.found if one.looks_like_picture or id(one) in pictures]
    readings, notes = _understand(counted, listing, label_files, wanted)
    kept = [index for index, one in enumerate(counted) if id(one) in pictures]
    brought = Brought(tuple(Picture(one.image, one.found.name) for one in stored), _only(readings, kept))
    all_notes = (*notes, *_picture_notes(stored), *_aside_notes([why for _, why in listing.aside]))
    return Gathered(brought, all_notes, tuple(listing.refused), grey_range)


def _leave_aside(listing: Listing) -> None:
    """Take out of what was found what is no example because of what else is there, such as masks."""
    asked = [one for one in listing.found if one.label is None and one.looks_like_picture]
    whys = {id(one): why for one, why in zip(asked, aside_among([o.path_parts for o in asked]), strict=True) if why}
    listing.aside += [(one.path_parts, whys[id(one)]) for one in asked if id(one) in whys]
    listing.found = [one for one in listing.found if id(one) not in whys]


@dataclass(frozen=True, slots=True)
class _Stored:
    found: Found
    image: str
    note: str | None


def _measured(listing: Listing, pool: ThreadPoolExecutor) -> list[GreyStatistics]:
    """Return how far the values of all pictures with more than 8 bits reach: they are scaled together."""

    def measure(found: Found) -> GreyStatistics | None:
        try:
            with found.in_turn():
                return None if found.read is None else measure_grey(found.read())
        except ImageError:
            return None  # said when it is decoded

    deep = [one for one in listing.found if PurePath(one.path_parts[-1]).suffix.lower() in DEEP_SUFFIXES]
    return [statistics for statistics in pool.map(measure, deep) if statistics is not None]


def _sorted_out(
    outcomes: Iterable[_Stored | Refusal], listing: Listing, on_progress: Callable[[int, int], None]
) -> list[_Stored]:
    """Return what was stored; the others are added to the refused."""
    stored: list[_Stored] = []
    total = len(listing.found)
    on_progress(0, total)
    for done, outcome in enumerate(outcomes, start=1):
        if isinstance(outcome, Refusal):
            listing.refused.append(outcome)
        else:
            stored.append(outcome)
        on_progress(done, total)
    return stored


def _bring(image_store: PictureStore, grey_range: GreyRange | None, found: Found) -> _Stored | Refusal:
    try:
        with found.in_turn():
            clean = found.clean(grey_range)
    except ImageError as error:
        return Refusal(found.name, str(error))
    return _Stored(found, image_store.add(clean.data, clean.thumbnail), clean.note)


def _read_label_files(listing: Listing) -> list[LabelFile]:
    files = []
    for parts, read in listing.label_files:
        try:
            files.append(LabelFile(parts, read()))
        except ImageError as error:
            listing.refused.append(Refusal(printable("/".join(parts[1:])), str(error)))
    return files


def _understand(
    found: Sequence[Found], listing: Listing, label_files: Sequence[LabelFile], wanted: Sequence[str | int]
) -> tuple[Readings, tuple[str, ...]]:
    """Return what the folders of files mean, with a label for each, and notes on the label files."""
    asked = [index for index, one in enumerate(found) if one.label is None]
    if found and not asked:
        labels = tuple(one.label or Label(None) for one in found)
        names = tuple(sorted({label.class_name for label in labels if label.class_name is not None}))
        return Readings((Reading("given", "The classes that were named", labels, names),), is_clear=True), ()
    paths = [found[index].path_parts for index in asked]
    read = read_label_files(label_files, paths)
    readings = read_tree(paths, read.said, listing.empty_folders, aside=listing.aside)
    for key in wanted:
        known = {reading.key for reading in readings.found}
        more = read_tree(paths, read.said, listing.empty_folders, aside=listing.aside, wanted=key).found
        readings = replace(readings, found=(*readings.found, *(one for one in more if one.key not in known)))
    if len(asked) < len(found):
        readings = replace(readings, found=tuple(_with_given(reading, found, asked) for reading in readings.found))
    return readings, read.notes


def _with_given(reading: Reading, found: Sequence[Found], asked: Sequence[int]) -> Reading:
    """Add the labels of files whose class is known without their folders."""
    labels = [one.label or Label(None) for one in found]
    for index, label in zip(asked, reading.labels, strict=True):
        labels[index] = label
    names = {label.class_name for label in labels if label.class_name is not None}
    return replace(reading, labels=tuple(labels), classes=tuple(dict.fromkeys((*reading.classes, *sorted(names)))))


def _only(readings: Readings, kept: Sequence[int]) -> Readings:
    """Return the readings with the labels of some pictures alone."""
    found = tuple(replace(one, labels=tuple(one.labels[index] for index in kept)) for one in readings.found)
    return replace(readings, found=found)


def _aside_notes(whys: Sequence[Aside]) -> Iterator[str]:
    left = aside_lines(why for why in whys if why.kind != "cloud")
    if left:
        yield f"Left aside: {', '.join(left)}."
    yield from (f"{line}." for line in aside_lines(why for why in whys if why.kind == "cloud"))


def _picture_notes(stored: Sequence[_Stored]) -> Iterator[str]:
    for note in dict.fromkeys(one.note for one in stored if one.note is not None):
        yield f"{note} {some(sorted(one.found.name for one in stored if one.note == note))}"


def _notes(pictures: Sequence[Picture], labels: Sequence[Label], before: Dataset, after: Dataset) -> Iterator[str]:
    if not pictures:
        yield "No pictures were found. Bring JPEG or PNG files, or a ZIP file with one folder of pictures per class."
    names = {picture.image: picture.path for picture in pictures}
    if pictures and all(label.class_name == UNLABELLED for label in labels):
        yield (
            f"Nothing says the class of these pictures: {len(labels):,}. They are in the class {UNLABELLED}. "
            "Rename it, or move them to the right classes."
        )
    homes = Counter(item.image for item in after.items)
    twofold = [name for image, name in names.items() if homes[image] > 1]
    if twofold:
        yield f"Same picture in more than one class: {some(sorted(twofold))}. Keep each in the class where it belongs."
    leaked = _leaked(pictures, labels, after)
    if leaked:
        yield (
            "Same picture in the training and in the test or validation folder: "
            f"{some(sorted(names[image] for image in leaked))}. Each is used on one side only."
        )
    known = set(similar_names(before.class_names))
    for group in similar_names(after.class_names):
        if group not in known:
            yield f"Classes with nearly the same name: {', '.join(group)}. If they are the same, merge them."


def _leaked(pictures: Sequence[Picture], labels: Sequence[Label], after: Dataset) -> set[str]:
    """Return the pictures that are not only where their folders said."""
    given: defaultdict[str, set[Split]] = defaultdict(set)
    for picture, label in zip(pictures, labels, strict=True):
        if label.split is not None and label.class_name is not None:
            given[picture.image].add(label.split)
    final = {item.image: item.split for item in after.items}
    return {image for image, splits in given.items() if splits != {"train"} and splits != {final[image]}}
