"""Pictures that belong together and are in different parts, as a person may have given them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from tlcore.dataset import ClassLabel, Dataset, Split
from tlcore.intake.splitting import assign_splits, units, without_split


def leaks(dataset: Dataset, split: Split) -> dict[str, str]:
    """Return the pictures of a split of which something that belongs to them is learned, with a training picture each.

    Near-copies count even where they need not be together; they come before pictures that only share a group.

    Args:
        dataset: The data set.
        split: Validation or test.
    """
    unit_of = units(dataset.items)
    learned = dataset.subset("train")
    alike = {item.scene: item.image for item in reversed(learned) if item.scene}
    of_unit = {unit_of[item.image]: item.image for item in reversed(learned)}
    found = {}
    for item in dataset.subset(split):
        other = alike.get(item.scene) if item.scene else None
        other = of_unit.get(unit_of[item.image]) if other is None else other
        if other is not None:
            found[item.image] = other
    return found


def leak_name(dataset: Dataset, found: dict[str, str], number: int) -> str:
    """Return what so many of the pictures that `leaks` found are, such as `near-copies of training pictures`."""
    scenes = {item.image: item.scene for item in dataset.items}
    if all(scenes[one] is not None and scenes[one] == scenes[other] for one, other in found.items()):
        return "a near-copy of a training picture" if number == 1 else "near-copies of training pictures"
    return "of the same scene or group as training pictures"


def without_leaks(dataset: Dataset) -> Dataset:
    """Move training pictures to where pictures that belong to them are held back, as far as each class keeps some."""
    unit_of = units(dataset.items)
    held_back = {unit_of[item.image] for item in dataset.items if item.split != "train"}
    moves = [item for item in dataset.items if item.split == "train" and unit_of[item.image] in held_back]
    moving = set(moves)
    rest = tuple(item for item in dataset.items if item not in moving)
    placed = assign_splits([without_split(item) for item in moves], replace(dataset, items=rest, scenes_together=True))
    split_of = {item.image: item.split for item in placed}
    return replace(
        dataset,
        items=tuple(replace(item, split=split_of.get(item.image, item.split)) for item in dataset.items),
    )


def undivided(dataset: Dataset) -> list[ClassLabel]:
    """Return the classes of which several pictures are there that all belong together, so that none is held back."""
    unit_of = units(dataset.items, scenes_together=dataset.scenes_together)
    images: defaultdict[str, set[str]] = defaultdict(set)
    found: defaultdict[str, set[str]] = defaultdict(set)
    for item in dataset.items:
        images[item.class_id].add(item.image)
        found[item.class_id].add(unit_of[item.image])
    return [label for label in dataset.classes if len(images[label.id]) > 1 and len(found[label.id]) == 1]
