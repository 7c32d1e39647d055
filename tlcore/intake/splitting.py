"""Which pictures train, which validate and which test: stratified, repeatable, copies always together."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tlcore.dataset import SPLITS, Dataset, Item, Split

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
    fractions: dict[Split, float] = {"validation": validation, "test": test}
    by_class = _by_class(items)
    decided: dict[str, Split] = {item.image: item.split for item in existing.items}
    given = {image: split for image, split in _given(items, by_class.values()).items() if image not in decided}
    trained = {image for image, split in given.items() if split == "train"}
    lacking = set(HELD_BACK) - set(given.values()) if trained else set(HELD_BACK)
    # What the folders lack is carved out of their training pictures, which are open until then.
    decided |= {image: split for image, split in given.items() if not lacking or split != "train"}
    old = _by_class(existing.items)
    carved = {split: fraction for split, fraction in fractions.items() if split in lacking}
    for class_id, images in sorted(by_class.items()):
        whole = images | old.get(class_id, set())
        # Pictures of splits that the folders gave do not count when the rest is carved.
        have = Counter(
            {split: n for split, n in _count(whole, decided).items() if split == "train" or split in lacking}
        )
        _share_out(images & trained, have, carved, decided, seed)
        _share_out(images - trained, _count(whole, decided), fractions, decided, seed)
    return tuple(Item(item.image, item.class_id, decided[item.image], item.name) for item in items)


def _count(images: set[str], decided: Mapping[str, Split]) -> Counter[Split]:
    return Counter(decided[image] for image in images if image in decided)


def _share_out(
    images: set[str], have: Counter[Split], fractions: Mapping[Split, float], decided: dict[str, Split], seed: int
) -> None:
    """Decide about those of a class's pictures that nothing has decided yet, given how many are where already."""
    free = sorted(images - decided.keys(), key=lambda image: _rank(image, seed))
    for split, count in _counts(len(free), have, fractions).items():
        decided.update(dict.fromkeys(free[:count], split))
        free = free[count:]


def resplit(
    dataset: Dataset, validation: float = VALIDATION_FRACTION, test: float = TEST_FRACTION, seed: int = 0
) -> Dataset:
    """Share out all pictures of a data set anew; arguments as in `assign_splits`."""
    new = [NewItem(item.image, item.class_id, item.name) for item in dataset.items]
    empty = replace(dataset, items=())
    return replace(dataset, items=assign_splits(new, empty, validation=validation, test=test, seed=seed))


def _given(items: Iterable[NewItem], groups: Iterable[set[str]]) -> dict[str, Split]:
    """Return one split per picture whose folders said one."""
    said: defaultdict[str, set[Split]] = defaultdict(set)
    for item in items:
        if item.split is not None:
            said[item.image].add(item.split)
    given = {image: max(splits, key=SPLITS.index) for image, splits in said.items()}
    for images in groups:
        disputed = {image for image in images if len(said[image]) > 1}
        if disputed and not any(given.get(image, "train") == "train" for image in images):
            given = {image: split for image, split in given.items() if image not in disputed}
    return given


def _by_class(items: Iterable[NewItem | Item]) -> dict[str, set[str]]:
    images: dict[str, set[str]] = {}
    for item in items:
        images.setdefault(item.class_id, set()).add(item.image)
    return images


def _rank(image: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{image}".encode()).digest()


def _counts(num_free: int, have: Counter[Split], fractions: Mapping[Split, float]) -> dict[Split, int]:
    """Return how many of the free pictures of a class go where, given how many are there already."""
    total = num_free + have.total()
    counts: dict[Split, int] = {"train": 0, "test": 0, "validation": 0}
    left = num_free
    if left and not have["train"]:
        counts["train"] = 1
        left -= 1
    for split in HELD_BACK:
        fraction = fractions.get(split, 0.0)
        wanted = max(1, int(total * fraction + 0.5)) if fraction > 0 else 0
        counts[split] = min(left, max(0, wanted - have[split]))
        left -= counts[split]
    counts["train"] += left
    return counts


def share_validation(dataset: Dataset, validation: float) -> Dataset:
    """Share out the pictures that are not for testing anew; the test pictures stay as they are.

    Args:
        dataset: The data set.
        validation: Fraction of these pictures, of each class, for validation; the others train.
    """
    learned = tuple(item for item in dataset.items if item.split != "test")
    dealt = iter(resplit(replace(dataset, items=learned), validation=validation, test=0.0).items)
    return replace(dataset, items=tuple(item if item.split == "test" else next(dealt) for item in dataset.items))
