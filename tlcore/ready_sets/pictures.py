"""One picture of a ready data set, and the choice of a first few of each class."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tlcore.dataset import Split
from tlcore.errors import DatasetError
from tlcore.intake.pictures.decoding import clean_pixels
from tlcore.intake.sources import ReadyPicture


def picture_of(class_name: str, split: Split | None, name: str, pixels: NDArray[np.uint8]) -> ReadyPicture:
    """Return a picture from pixels.

    Args:
        class_name: The class that it belongs to.
        split: Fixed by the data set, or `None`.
        name: A file name.
        pixels: uint8 of shape `(height, width, 3)`, RGB, or `(height, width)`, grey; `[0, 255]`.
    """
    return ReadyPicture(class_name, split, name, partial(clean_pixels, pixels))


def choose(
    pictures: Sequence[ReadyPicture], per_class: int | None = None, classes: Sequence[str] = ()
) -> tuple[ReadyPicture, ...]:
    """Return the pictures of some classes, at most so many of each.

    Args:
        pictures: All pictures of a set.
        per_class: At most so many pictures of each class, as `first_of_each_class` chooses them; `None` is all.
        classes: Names of the classes; none stand for all of them.

    Raises:
        DatasetError: If the set has no such class.
        ValueError: If `per_class` is less than 1.
    """
    missing = set(classes) - {picture.class_name for picture in pictures}
    if missing:
        raise DatasetError(f"The ready set has no class {', '.join(sorted(missing))}. Choose among those that it has.")
    wanted = [picture for picture in pictures if not classes or picture.class_name in classes]
    return tuple(wanted if per_class is None else first_of_each_class(wanted, per_class))


def first_of_each_class(pictures: Sequence[ReadyPicture], per_class: int, seed: int = 0) -> list[ReadyPicture]:
    """Return at most `per_class` pictures of each class, in the order in which they came.

    The splits of a class keep their proportions. The same seed makes a larger choice contain every smaller one.

    Raises:
        ValueError: If `per_class` is less than 1.
    """
    if per_class < 1:
        raise ValueError(f"`per_class` must be at least 1. Received: per_class={per_class}")
    groups: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, picture in enumerate(pictures):
        groups[picture.class_name][picture.split or ""].append(index)
    chosen: list[int] = []
    for splits in groups.values():
        # Each split is spread evenly over [0, 1); the front of the row then holds all splits in proportion.
        row: list[tuple[float, str, int]] = []
        for split, indices in splits.items():
            ranked = sorted(indices, key=lambda index: _rank(pictures[index], seed))
            row += [((rank + 0.5) / len(ranked), split, index) for rank, index in enumerate(ranked)]
        chosen += [index for _, _, index in sorted(row)[:per_class]]
    return [pictures[index] for index in sorted(chosen)]


def spread_over_classes(
    pictures: Iterable[ReadyPicture], class_names: Sequence[str], number: int
) -> list[ReadyPicture]:
    """Return the first pictures of the first classes, in turn, until there are `number` or no more.

    Reads no further than it must.
    """
    wanted = [class_names[k % len(class_names)] for k in range(number)]
    found: defaultdict[str, list[ReadyPicture]] = defaultdict(list)
    missing = len(wanted)
    for picture in pictures:
        if len(found[picture.class_name]) < wanted.count(picture.class_name):
            found[picture.class_name].append(picture)
            missing -= 1
        if not missing:
            break
    return [found[name].pop(0) for name in wanted if found[name]]


def _rank(picture: ReadyPicture, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{picture.class_name}/{picture.split}/{picture.name}".encode()).digest()
