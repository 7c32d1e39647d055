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
        group: What it belongs together with, as `Item.group`.
        scene: As `Item.scene`.
    """

    image: str
    class_id: str
    name: str
    split: Split | None = None
    group: str | None = None
    scene: str | None = None


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
    - Validation or test pictures that came as such are the whole of that split in their class: nothing joins them,
      and fractions are those of the class's other pictures.

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
    came = {
        (item.class_id, item.image) for item in items if item.split in HELD_BACK and item.split == given.get(item.image)
    }
    closed: defaultdict[str, set[Split]] = defaultdict(set)
    for class_id, image in came | {(item.class_id, item.image) for item in existing.items if item.given}:
        closed[class_id].add(decided[image])
    old = _by_class(existing.items)
    for class_id, images in sorted(by_class.items()):
        whole = images | old.get(class_id, set())
        wanted = {split: fraction for split, fraction in fractions.items() if split not in closed[class_id]}
        carved = {split: fraction for split, fraction in wanted.items() if split in lacking}
        _share_out(images & trained, whole, carved, decided, seed)
        _share_out(images - trained, whole, wanted, decided, seed)
    return tuple(
        Item(
            item.image,
            item.class_id,
            decided[item.image],
            item.name,
            (item.class_id, item.image) in came,
            item.group,
            item.scene,
        )
        for item in items
    )


def _share_out(
    images: set[str], whole: set[str], fractions: Mapping[Split, float], decided: dict[str, Split], seed: int
) -> None:
    """Decide about those of a class's pictures that nothing has decided yet, given how many of the whole are where.

    Pictures of a split that is not in `fractions` do not count: nothing is shared out to it.
    """
    have = Counter(decided[image] for image in whole if decided.get(image) in ("train", *fractions))
    free = sorted(images - decided.keys(), key=lambda image: _rank(image, seed))
    for split, count in _counts(len(free), have, fractions).items():
        decided.update(dict.fromkeys(free[:count], split))
        free = free[count:]


def resplit(
    dataset: Dataset,
    validation: float = VALIDATION_FRACTION,
    test: float = TEST_FRACTION,
    seed: int = 0,
    *,
    keep_given: bool = True,
) -> Dataset:
    """Share out the pictures of a data set anew.

    Args:
        dataset: The data set.
        validation: Fraction of each class for validation; where test pictures came as such, of the class's others.
        test: Fraction of each class for testing, where none came as such.
        seed: Another seed shares out differently.
        keep_given: Leave validation and test pictures that came as such, `Item.stays`. Without that they are shared
            out like all others, and forget what they came as.

    Raises:
        ValueError: As `assign_splits`.
    """

    def stays(item: Item) -> bool:
        return keep_given and item.stays

    kept = tuple(replace(item, given=True) for item in dataset.items if stays(item))
    others = [NewItem(item.image, item.class_id, item.name) for item in dataset.items if not stays(item)]
    shared = iter(assign_splits(others, replace(dataset, items=kept), validation=validation, test=test, seed=seed))
    return replace(dataset, items=tuple(item if stays(item) else next(shared) for item in dataset.items))


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
