"""Which pictures train, which validate and which test: stratified, repeatable, copies always together."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tlcore.dataset import Dataset, Item, Split

VALIDATION_FRACTION = 0.15
TEST_FRACTION = 0.15
HELD_BACK: tuple[Split, ...] = ("test", "validation")


@dataclass(frozen=True, slots=True)
class NewItem:
    """A picture that comes into a data set.

    Attributes:
        image: Key of the picture.
        class_id: The class that it belongs to.
        name: The name of the file; text only.
        split: What its folders said, if they did.
    """

    image: str
    class_id: str
    name: str
    split: Split | None = None


def assign_splits(
    items: Sequence[NewItem],
    existing: Dataset,
    *,
    validation: float = VALIDATION_FRACTION,
    test: float = TEST_FRACTION,
    seed: int = 0,
) -> tuple[Item, ...]:
    """Give each new picture a split; pictures that are in the data set already keep theirs.

    - Copies of one picture share a split, in all classes. If the folders disagree, test wins over validation
      and validation over train, so that nothing is tested on what it learned. Where that would leave a class
      nothing to train with, its disputed pictures are shared out like those without a split.
    - Splits given by folders are kept. What they lack is taken out of their training pictures, as that fraction
      of them: validation, test or, if there is only a folder called train, both.
    - All others are shared out per class so that the whole class, old pictures included, comes as near to the
      fractions as it can. A class with three pictures has one in each split; with two, one trains and one tests;
      a single one trains.

    The same pictures, fractions and seed give the same splits in whatever order they come.

    Args:
        items: The pictures that come.
        existing: The data set that they come into.
        validation: Fraction of each class for validation.
        test: Fraction of each class for testing.
        seed: Another seed shares out differently.

    Returns:
        One item per new item, in the same order.

    Raises:
        ValueError: If a fraction is negative, or less than a tenth would be left for training.
    """
    if validation < 0 or test < 0 or validation + test > 0.9:
        raise ValueError(
            "`validation` and `test` must be at least 0 and together at most 0.9. "
            f"Received: validation={validation}, test={test}"
        )
    known: dict[str, Split] = {item.image: item.split for item in existing.items}
    by_class = _by_class(items)
    given = _given(items, by_class.values())
    fixed = {image: split for image, split in given.items() if image not in known}
    brought = set(fixed.values())
    if "train" in brought:
        # Leave open what may be carved: all of "train" when validation or test is missing.
        open_splits: set[Split] = {split for split in HELD_BACK if split not in brought}
        if open_splits:
            fixed = {image: split for image, split in fixed.items() if split != "train"}
    else:
        open_splits = set(HELD_BACK)
    carved = {image for image, split in given.items() if split == "train"} - known.keys()
    decided = known | fixed
    fractions: dict[Split, float] = {"validation": validation, "test": test}
    closed: dict[Split, float] = {s: f if s in open_splits else 0.0 for s, f in fractions.items()}
    for class_id, images in sorted(by_class.items()):
        have: defaultdict[Split, int] = defaultdict(int)
        for image in {i.image for i in existing.items if i.class_id == class_id} | images:
            if image in decided:
                have[decided[image]] += 1
        # Pictures of splits that are given and closed do not count when the rest is carved.
        have_open: dict[Split, int] = {s: n for s, n in have.items() if s == "train" or s in open_splits}
        for group, counted, share in ((images & carved, have_open, closed), (images - carved, have, fractions)):
            free = sorted(group - decided.keys(), key=lambda image: _rank(image, seed))
            start = 0
            for split, count in _counts(len(free), counted, share).items():
                for image in free[start : start + count]:
                    decided[image] = split
                have[split] += count
                start += count
    return tuple(Item(item.image, item.class_id, decided[item.image], item.name) for item in items)


def resplit(
    dataset: Dataset, validation: float = VALIDATION_FRACTION, test: float = TEST_FRACTION, seed: int = 0
) -> Dataset:
    """Share out all pictures of a data set anew; arguments as in `assign_splits`."""
    new = [NewItem(item.image, item.class_id, item.name) for item in dataset.items]
    empty = replace(dataset, items=())
    return replace(dataset, items=assign_splits(new, empty, validation=validation, test=test, seed=seed))


def _given(items: Iterable[NewItem], groups: Iterable[set[str]]) -> dict[str, Split]:
    """Return one split per picture whose folders said one."""
    order: tuple[Split, ...] = ("train", "validation", "test")
    said: defaultdict[str, set[Split]] = defaultdict(set)
    for item in items:
        if item.split is not None:
            said[item.image].add(item.split)
    given = {image: max(splits, key=order.index) for image, splits in said.items()}
    for images in groups:
        disputed = {image for image in images if len(said[image]) > 1}
        if disputed and not any(given.get(image, "train") == "train" for image in images):
            given = {image: split for image, split in given.items() if image not in disputed}
    return given


def _by_class(items: Iterable[NewItem]) -> dict[str, set[str]]:
    images: dict[str, set[str]] = {}
    for item in items:
        images.setdefault(item.class_id, set()).add(item.image)
    return images


def _rank(image: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{image}".encode()).digest()


def _counts(num_free: int, have: dict[Split, int], share: dict[Split, float]) -> dict[Split, int]:
    """Return how many of the free pictures of a class go where, given how many are there already."""
    total = num_free + sum(have.values())
    counts: dict[Split, int] = {"train": 0, "test": 0, "validation": 0}
    left = num_free
    if left and not have.get("train", 0):
        counts["train"] = 1
        left -= 1
    for split in HELD_BACK:
        wanted = max(1, int(total * share[split] + 0.5)) if share[split] > 0 else 0
        counts[split] = min(left, max(0, wanted - have.get(split, 0)))
        left -= counts[split]
    counts["train"] += left
    return counts
