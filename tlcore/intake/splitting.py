"""Which pictures train, which validate and which test: stratified, repeatable, what belongs together on one side."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
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
        group: As of `Item`.
        scene: As of `Item`.
    """

    image: str
    class_id: str
    name: str
    split: Split | None = None
    group: str | None = None
    scene: str | None = None


def without_split(item: Item) -> NewItem:
    """Return a picture of a data set as if it came anew, without a split; what it belongs to stays."""
    return NewItem(item.image, item.class_id, item.name, None, item.group, item.scene)


def units(items: Iterable[NewItem | Item], *, scenes_together: bool = True) -> dict[str, str]:
    """Say what is dealt as a whole: pictures of one group or of one scene, and what these have in common.

    Args:
        items: Pictures of any classes; copies of one picture are one picture.
        scenes_together: Whether near-copies belong together.

    Returns:
        For each picture the name of its unit, the smallest key of the pictures in it.
    """
    root: dict[tuple[str, str], tuple[str, str]] = {}

    def find(node: tuple[str, str]) -> tuple[str, str]:
        while root.setdefault(node, node) != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    images: set[str] = set()
    for item in items:
        images.add(item.image)
        for kind, name in (("group", item.group), ("scene", (item.scene or None) if scenes_together else None)):
            if name is not None:
                root[find((kind, name))] = find(("image", item.image))
    found: dict[tuple[str, str], str] = {}
    return {image: found.setdefault(find(("image", image)), image) for image in sorted(images)}


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
    - So do pictures of one group and, if the data set keeps them together, near-copies: as far as their folders said
      nothing else. Pictures that come later go where the others are.
    - Splits given by folders are kept. What they lack is taken out of their training pictures, as that fraction
      of them: validation, test or, if there is only a folder called train, both.
    - All others are shared out per class so that the whole class, old pictures included, comes as near to the
      fractions as it can. A class with three pictures has one in each split; with two, one trains and one tests;
      a single one trains. So with groups: one that is all there is of a class trains.
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
    everything: tuple[NewItem | Item, ...] = (*existing.items, *items)
    unit_of = units(everything, scenes_together=existing.scenes_together)
    wanted = {
        class_id: {split: fraction for split, fraction in fractions.items() if split not in closed[class_id]}
        for class_id in by_class
    }
    carved = {
        class_id: {split: fraction for split, fraction in some.items() if split in lacking}
        for class_id, some in wanted.items()
    }
    may = {
        item.image: {"train", *carved[item.class_id]} if item.image in trained else set(SPLITS)
        for item in items
        if item.image not in decided
    }
    deal = _Deal(_by_class(everything), unit_of, decided, seed)
    deal.join(may)
    for class_id, images in sorted(by_class.items()):
        deal.share_out(class_id, images & trained, carved[class_id])
        deal.share_out(class_id, images - trained, wanted[class_id])
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


class _Deal:
    """Shares out the pictures of one class after another, a unit always as a whole.

    Args:
        by_class: All pictures, old ones too.
        unit_of: From `units`.
        decided: Where pictures are; those that are dealt are added.
        seed: Another seed deals otherwise.
    """

    def __init__(
        self, by_class: Mapping[str, set[str]], unit_of: Mapping[str, str], decided: dict[str, Split], seed: int
    ) -> None:
        self._by_class, self._unit_of, self._decided, self._seed = by_class, unit_of, decided, seed
        self._images: defaultdict[str, list[str]] = defaultdict(list)
        for image, unit in unit_of.items():
            self._images[unit].append(image)
        self._classes: defaultdict[str, set[str]] = defaultdict(set)
        # What trains of a class, or still may: its last unit is not held back.
        self._trainable: defaultdict[str, set[str]] = defaultdict(set)
        for class_id, images in by_class.items():
            for image in images:
                self._classes[unit_of[image]].add(class_id)
                if decided.get(image, "train") == "train":
                    self._trainable[class_id].add(unit_of[image])

    def join(self, may: Mapping[str, AbstractSet[str]]) -> None:
        """Put pictures where the rest of their unit is; of several places, test before validation before train.

        Args:
            may: Where each picture may go of which nothing is decided yet; where it may go nowhere, it trains.
        """
        sides: defaultdict[str, set[Split]] = defaultdict(set)
        for image, split in self._decided.items():
            sides[self._unit_of[image]].add(split)
        for unit in sorted({self._unit_of[image] for image in may} & sides.keys()):
            is_spare = self._can_spare(unit)
            for image in self._images[unit]:
                if image in may:
                    taken = sides[unit] & may[image] if is_spare else set()
                    self._decided[image] = max(taken, key=SPLITS.index, default="train")
            if all(self._decided[image] != "train" for image in self._images[unit]):
                self._hold_back(unit)

    def share_out(self, class_id: str, images: set[str], fractions: Mapping[Split, float]) -> None:
        """Decide about those pictures of a class of which nothing is decided yet, by how many of the class are where.

        Pictures of a split that is not in `fractions` do not count: nothing is shared out to it.
        """
        decided, unit_of = self._decided, self._unit_of
        have = Counter(
            decided[image] for image in self._by_class[class_id] if decided.get(image) in ("train", *fractions)
        )
        sizes = Counter(unit_of[image] for image in images if image not in decided)
        free = sorted(sizes, key=lambda unit: _rank(unit, self._seed))
        counts = _counts(sizes.total(), have, fractions)
        reached, tail = 0, len(free)
        for place, unit in enumerate(free):
            if reached >= counts["train"]:
                tail = place
                break
            reached += sizes[unit]
        # A unit of one picture each goes where its place says: first those that train, then test, then validation.
        test = self._take("test", counts["test"], free[tail:] + free[:tail][::-1], sizes)
        self._take("validation", counts["validation"], [unit for unit in reversed(free) if unit not in test], sizes)
        for unit in free:
            self._put(unit, "train")

    def _take(self, split: Split, wanted: int, free: Sequence[str], sizes: Mapping[str, int]) -> set[str]:
        """Hold back units of nearly as many pictures as wanted, one at least, the first ones that fit; return them."""
        taken: set[str] = set()
        missing = wanted
        for unit in free:
            if sizes[unit] <= missing and self._can_spare(unit):
                self._put(unit, split)
                taken.add(unit)
                missing -= sizes[unit]
        if missing:
            others = (unit for unit in free if unit not in taken and self._can_spare(unit))
            smallest = min(others, key=sizes.__getitem__, default=None)
            if smallest is not None and (not taken or sizes[smallest] < 2 * missing):
                self._put(smallest, split)
                taken.add(smallest)
        return taken

    def _can_spare(self, unit: str) -> bool:
        return all(self._trainable[class_id] != {unit} for class_id in self._classes[unit])

    def _hold_back(self, unit: str) -> None:
        for class_id in self._classes[unit]:
            self._trainable[class_id].discard(unit)

    def _put(self, unit: str, split: Split) -> None:
        for image in self._images[unit]:
            self._decided.setdefault(image, split)
        if split != "train":
            self._hold_back(unit)


def resplit(
    dataset: Dataset,
    validation: float = VALIDATION_FRACTION,
    test: float = TEST_FRACTION,
    seed: int = 0,
    *,
    keep_given: bool = True,
) -> Dataset:
    """Share out the pictures of a data set anew; what belongs to pictures that stay goes to them.

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
    others = [without_split(item) for item in dataset.items if not stays(item)]
    shared = iter(assign_splits(others, replace(dataset, items=kept), validation=validation, test=test, seed=seed))
    return replace(dataset, items=tuple(item if stays(item) else next(shared) for item in dataset.items))


def share_anew(dataset: Dataset) -> Dataset:
    """Share out anew in the proportions of now, such as after it was said that near-copies belong together."""
    ours = Counter(item.split for item in dataset.items if not item.stays)
    fractions = {split: round(ours[split] / max(1, ours.total()), 2) for split in HELD_BACK}
    scale = min(1.0, 0.9 / max(0.9, sum(fractions.values())))
    return resplit(dataset, scale * fractions["validation"], scale * fractions["test"])


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
