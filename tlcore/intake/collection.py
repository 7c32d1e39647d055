"""Bring the pictures of all sources into a data set, and report what became of each."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from tlcore.dataset import MAX_CLASSES, ClassLabel, Dataset, Split, unique_items, with_class
from tlcore.errors import DatasetError, ImageError
from tlcore.intake.archives import Refusal
from tlcore.intake.labels import similar_names
from tlcore.intake.names import printable
from tlcore.intake.sources import Candidate, Source, candidates
from tlcore.intake.splitting import TEST_FRACTION, VALIDATION_FRACTION, NewItem, assign_splits
from tlcore.progress import in_order

UNLABELLED = "unlabelled"
_MAX_THREADS = 8


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
    """

    dataset: Dataset
    added: int
    already_there: int
    refused: tuple[Refusal, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Stored:
    candidate: Candidate
    image: str
    note: str | None


@dataclass(frozen=True, slots=True)
class Gathered:
    """Pictures that are stored and belong to no data set yet."""

    stored: tuple[_Stored, ...]
    folders: tuple[str, ...]
    refused: tuple[Refusal, ...]

    def into(
        self,
        dataset: Dataset,
        *,
        validation: float = VALIDATION_FRACTION,
        test: float = TEST_FRACTION,
        seed: int = 0,
    ) -> ImportReport:
        """Return the data set with these pictures, and what became of each.

        Args:
            dataset: What is there already; its pictures keep their class and split.
            validation: Fraction of each class for validation, as in `assign_splits`.
            test: Fraction of each class for testing.
            seed: Decides which pictures are kept for validation and test.

        Raises:
            DatasetError: If there would be too many classes.
        """
        _check_class_count(dataset, self.folders)
        before = dataset
        classes: dict[str, ClassLabel] = {}
        names = {s.candidate.label.class_name or UNLABELLED for s in self.stored} | set(self.folders)
        for name in sorted(names, key=_natural):
            dataset, classes[name] = with_class(dataset, name)
        new: list[NewItem] = []
        given: defaultdict[str, set[Split]] = defaultdict(set)
        for s in self.stored:
            label = s.candidate.label
            class_id = classes[label.class_name or UNLABELLED].id
            new.append(NewItem(s.image, class_id, printable(s.candidate.path_parts[-1]), label.split))
            if label.split is not None:
                given[s.image].add(label.split)
        placed = assign_splits(new, dataset, validation=validation, test=test, seed=seed)
        dataset = replace(dataset, items=unique_items((*dataset.items, *placed)))
        added = len(dataset.items) - len(before.items)
        final = {item.image: item.split for item in dataset.items}
        leaked = {image for image, splits in given.items() if splits != {"train"} and splits != {final[image]}}
        notes = tuple(_notes(self.stored, before, dataset, leaked))
        return ImportReport(dataset, added, len(self.stored) - added, self.refused, notes)


def collect(
    sources: Sequence[Source],
    dataset: Dataset,
    image_store: PictureStore,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    validation: float = VALIDATION_FRACTION,
    test: float = TEST_FRACTION,
    seed: int = 0,
) -> ImportReport:
    """Decode and store every picture of the sources and put them into the data set: `gather`, then `into`.

    What cannot be used is listed with its reason; nothing else is lost. Either all of it comes in or, after
    an error or a stop, nothing.

    Args:
        sources: What the person brought.
        dataset: What is there already; its pictures keep their class and split.
        image_store: Where clean pictures go.
        on_progress: Called in this thread with the number of files done and of all; it may raise.
        validation: Fraction of each class for validation, as in `assign_splits`.
        test: Fraction of each class for testing.
        seed: Decides which pictures are kept for validation and test.

    Raises:
        DatasetError: If there would be too many classes.
        StorageError: If the disk is full or cannot be written.
    """
    gathered = gather(sources, dataset, image_store, on_progress=on_progress)
    return gathered.into(dataset, validation=validation, test=test, seed=seed)


def gather(
    sources: Sequence[Source],
    dataset: Dataset,
    image_store: PictureStore,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Gathered:
    """Decode and store every picture of the sources; arguments and errors as in `collect`.

    The data set, in which too many classes would be noticed, may be another one when they are put into it.
    """
    refused: list[Refusal] = []
    folders: list[str] = []
    with ExitStack() as stack:
        found: list[Candidate] = []
        for source in sources:
            found += candidates(source, stack, refused, folders, aside=[])
        folders += [c.label.class_name for c in found if c.label.class_name and c.looks_like_picture]
        _check_class_count(dataset, folders)
        stored: list[_Stored] = []
        on_progress(0, len(found))
        threads = max(2, min(os.cpu_count() or 2, _MAX_THREADS))
        pool = stack.enter_context(ThreadPoolExecutor(threads, thread_name_prefix="intake"))
        bring = partial(_bring, image_store)
        outcomes = stack.enter_context(closing(in_order(pool, bring, found, ahead=3 * threads)))
        for done, outcome in enumerate(outcomes, start=1):
            if isinstance(outcome, Refusal):
                refused.append(outcome)
            else:
                stored.append(outcome)
            on_progress(done, len(found))
    return Gathered(tuple(stored), tuple(folders), tuple(refused))


def _check_class_count(dataset: Dataset, class_names: Sequence[str]) -> None:
    count = len({label.name for label in dataset.classes} | set(class_names))
    if count > MAX_CLASSES:
        raise DatasetError(
            f"These pictures lie in folders for {count:,} classes; the limit is {MAX_CLASSES}. "
            "Put the pictures into fewer folders, one per class."
        )


def _bring(image_store: PictureStore, candidate: Candidate) -> _Stored | Refusal:
    try:
        clean = candidate.clean()
    except ImageError as error:
        return Refusal(candidate.name, str(error))
    return _Stored(candidate, image_store.add(clean.data, clean.thumbnail), clean.note)


def _notes(stored: Sequence[_Stored], before: Dataset, after: Dataset, leaked: set[str]) -> Iterator[str]:
    for note in dict.fromkeys(s.note for s in stored if s.note is not None):
        yield f"{note} {_some([s.candidate.name for s in stored if s.note == note])}"
    if not stored:
        yield "No pictures were found. Bring JPEG or PNG files, or a ZIP file with one folder of pictures per class."
    homeless = sum(s.candidate.label.class_name is None for s in stored)
    if homeless:
        yield (
            f"Pictures that lie in no folder: {homeless:,}. They are in the class {UNLABELLED}. "
            "Rename it, or move them to the right classes."
        )
    brought = {s.image: s.candidate.name for s in stored}
    homes = Counter(item.image for item in after.items)
    twofold = [name for image, name in brought.items() if homes[image] > 1]
    if twofold:
        yield f"Same picture in more than one class: {_some(twofold)}. Keep each in the class where it belongs."
    if leaked:
        yield (
            "Same picture in the training and in the test or validation folder: "
            f"{_some([brought[image] for image in leaked])}. Each is used on one side only."
        )
    known = set(similar_names(before.class_names))
    for group in similar_names(after.class_names):
        if group not in known:
            yield f"Classes with nearly the same name: {', '.join(group)}. If they are the same, merge them."


def _some(names: Sequence[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort as people do: 2 before 10, whatever the case."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name.casefold())
    return [(int(p), "") if p.isascii() and p.isdigit() else (-1, p) for p in pieces], name
