"""What a person changed in a data set since a model learned from it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tlcore.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Changes:
    """Pictures that are otherwise now, each counted once.

    Attributes:
        added: New ones.
        removed: Those that are gone.
        relabelled: Those in another class.
        moved: Those in the same class and another part.
    """

    added: int
    removed: int
    relabelled: int
    moved: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.added + self.removed + self.relabelled + self.moved


def changes_between(before: Dataset, after: Dataset) -> Changes:
    """Count the pictures that are otherwise in a later version of a data set."""
    classes_before, classes_after = _by_image(before, "class_id"), _by_image(after, "class_id")
    splits_before, splits_after = _by_image(before, "split"), _by_image(after, "split")
    both = classes_before.keys() & classes_after.keys()
    relabelled = {image for image in both if classes_before[image] != classes_after[image]}
    return Changes(
        added=len(classes_after.keys() - both),
        removed=len(classes_before.keys() - both),
        relabelled=len(relabelled),
        moved=sum(splits_before[image] != splits_after[image] for image in both - relabelled),
    )


def _by_image(dataset: Dataset, name: str) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for item in dataset.items:
        found[item.image].add(getattr(item, name))
    return dict(found)
