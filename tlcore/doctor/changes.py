"""What a person changed in a data set since a model learned from it, and what that brought."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from tlcore.dataset import Dataset
from tlcore.results.evaluation import Evaluation


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


def judged_alike(before: Evaluation, after: Evaluation, old: Dataset, new: Dataset) -> tuple[Evaluation, Evaluation]:
    """Return two models' answers to the pictures that both answered, both judged by the classes as they are later.

    A picture that was given another class counts by that one, else the correction of a wrong label would look like a
    loss of the model before. A picture of a class that the model before did not have is left out.

    Args:
        before: Answers of the earlier model.
        after: Answers of the later model.
        old: What the earlier one learned from.
        new: What the later one learned from.
    """
    place, index = {image: number for number, image in enumerate(before.images)}, old.class_index()
    ids = [new.classes[truth].id for truth in after.y_true]
    both = [n for n, image in enumerate(after.images) if image in place and ids[n] in index]
    images = tuple(after.images[n] for n in both)
    return (
        replace(
            before,
            images=images,
            y_true=np.array([index[ids[n]] for n in both], np.int64),
            probabilities=before.probabilities[[place[image] for image in images]],
        ),
        replace(after, images=images, y_true=after.y_true[both], probabilities=after.probabilities[both]),
    )


def _by_image(dataset: Dataset, name: str) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for item in dataset.items:
        found[item.image].add(getattr(item, name))
    return dict(found)
