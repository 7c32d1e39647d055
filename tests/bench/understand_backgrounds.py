"""How many planted grounds the check of the pictures finds: on what its limits were chosen with, and on other things.

The limits of `tlcore.doctor.background` were chosen with the classes of `SETS`, as they are and on `GROUNDS`. So the
figures of these only show that a change has lost nothing. How good the check is, is told by grounds of other looks and
widths, and by parts of the sets that were not asked then.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.bench.accuracy import read
from tests.bench.figures import Line, figure
from tests.planted_faults import GROUNDS, OTHER_GROUNDS, Ground, OtherGround, on_ground
from tlcore.config import ModelConfig
from tlcore.dataset import Dataset
from tlcore.doctor.background import find_backgrounds
from tlcore.features.compiled import ensure_compiled
from tlcore.home import DataRoot
from tlcore.model.cut import plan_model
from tlcore.progress import TerminalProgress
from tlcore.storage.simple_heads import frozen_backbone

LEAST_FOUND = 0.8
SETS = ("cats_dogs", "flowers17", "brain_mri", "mnist", "cifar10")
PARTS_OF_SETS = {
    "cifar10": (("airplane", "automobile", "ship", "truck"), ("bird", "cat", "deer", "dog", "frog", "horse")),
    "flowers17": (("sunflower", "daisy", "iris", "tulip"), ("bluebell", "crocus", "snowdrop")),
    "mnist": (("1", "7"), ("3", "5", "8")),
}
"""Classes by themselves: with fewer to tell apart, edges tell more, and the limits were not chosen with these."""
SEEDS = range(2)
OTHER_SEEDS = (2,)
PICTURES = 80


@dataclass(slots=True)
class _Count:
    """How often a class was put on a ground, how often it was named for it, and how many others were."""

    planted: int = 0
    found: int = 0
    falsely: int = 0


def measure() -> Iterator[Line]:
    """Yield each figure."""
    yield from chosen_with()
    yield from not_chosen_with()


def chosen_with() -> Iterator[Line]:
    """Check again what the limits were chosen with: a regression check, and no proof that the limits are good."""
    sets = {name: _thinned(read(name)) for name in SETS}
    for name, dataset in sets.items():
        yield _nothing_planted(dataset, f"{name}, which the limits were chosen with")
    counted = _Count()
    for dataset in sets.values():
        _plant(dataset, SEEDS, GROUNDS, counted)
    yield from _figures(counted, f"{len(SETS)} sets and {len(GROUNDS)} grounds that the limits were chosen with")


def not_chosen_with() -> Iterator[Line]:
    """Put classes on grounds of other looks and widths, and ask of parts of the sets with nothing planted."""
    sets = {name: _thinned(read(name)) for name in SETS}
    for name, parts in PARTS_OF_SETS.items():
        for names in parts:
            yield _nothing_planted(_only(sets[name], names), f"{', '.join(names)} of {name}")
    together = _Count()
    for ground in OTHER_GROUNDS:
        before = together.found
        for dataset in sets.values():
            _plant(dataset, OTHER_SEEDS, (ground,), together)
        how = f"{ground}, on which the limits were not chosen, {len(SETS)} sets"
        yield figure("doctor: planted grounds found", together.found - before, how)
    yield from _figures(
        together, f"{len(SETS)} sets and {len(OTHER_GROUNDS)} grounds that the limits were not chosen with"
    )


def _nothing_planted(dataset: Dataset, how: str) -> Line:
    how = f"{how}: {dataset.num_classes} classes, {len(dataset.items)} pictures, nothing planted"
    return figure("doctor: real classes told by their background", len(_given_away(dataset)), how, at_most=0)


def _plant(dataset: Dataset, seeds: Sequence[int], grounds: Sequence[Ground | OtherGround], counted: _Count) -> None:
    home = DataRoot.configured()
    for seed, ground in itertools.product(seeds, grounds):
        chosen = dataset.classes[seed * 7 % dataset.num_classes].id
        named = _given_away(on_ground(dataset, home, seed, chosen, ground))
        counted.planted += 1
        counted.found += chosen in named
        counted.falsely += len(named - {chosen}) if dataset.num_classes > 2 else 0


def _figures(counted: _Count, how: str) -> Iterator[Line]:
    how = f"{how}: {counted.planted} planted"
    share = counted.found / counted.planted
    yield figure("doctor: share of planted grounds found", share, how, at_least=LEAST_FOUND)
    yield figure("doctor: other classes named beside the planted ones", counted.falsely, how, at_most=0)


def _given_away(dataset: Dataset) -> set[str]:
    """Return the classes that are told by their background."""
    home, progress = DataRoot.configured(), TerminalProgress()
    plan = plan_model(frozen_backbone(ModelConfig()))
    ensure_compiled(plan, progress, home)
    found = find_backgrounds(dataset, dataset.items, plan, progress, home)
    progress.close()
    return {one for finding in found for one in finding.class_ids}


def _thinned(dataset: Dataset) -> Dataset:
    """Return a data set with fewer pictures of each class, still more than the classes' backgrounds are judged by."""
    classes = (dataset.of_class(label.id)[:PICTURES] for label in dataset.classes)
    return replace(dataset, items=tuple(item for items in classes for item in items))


def _only(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Return the data set with some of its classes."""
    classes = tuple(label for label in dataset.classes if label.name in names)
    assert len(classes) == len(names), dataset.class_names
    ids = {label.id for label in classes}
    items = tuple(item for item in dataset.items if item.class_id in ids)
    return replace(dataset, classes=classes, items=items)
