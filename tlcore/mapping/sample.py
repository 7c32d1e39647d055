"""Which pictures are on a map: all of them, or of many a sample in which every class has its share."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from tlcore.dataset import Dataset, Item

MAX_POINTS = 5000
"""Points that a browser moves smoothly."""


def different_pictures(dataset: Dataset) -> tuple[Item, ...]:
    """Return each picture once; of one that is in several classes the first."""
    first: dict[str, Item] = {}
    for item in dataset.items:
        first.setdefault(item.image, item)
    return tuple(first.values())


def map_sample(dataset: Dataset, limit: int = MAX_POINTS, seed: int = 0) -> tuple[Item, ...]:
    """Return the pictures of a map, in the order of the data set.

    Args:
        dataset: Whose pictures.
        limit: At most so many, except that every class that has pictures keeps one.
        seed: Another seed takes others.

    Returns:
        Each picture once. Of more than `limit` a sample, in which each class has the share that it has of all.
    """
    items = different_pictures(dataset)
    if len(items) <= limit:
        return items
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        places[item.class_id].append(place)
    random = np.random.default_rng(seed)
    taken: set[int] = set()
    for class_id, number in _shares({one: len(of_class) for one, of_class in places.items()}, limit).items():
        taken.update(random.choice(places[class_id], number, replace=False).tolist())
    return tuple(item for place, item in enumerate(items) if place in taken)


def _shares(sizes: dict[str, int], limit: int) -> dict[str, int]:
    """Return how many of each class to take: its share rounded down, and what is left to those that lost most by it."""
    total = sum(sizes.values())
    exact = {one: size * limit / total for one, size in sizes.items()}
    shares = {one: max(1, int(share)) for one, share in exact.items()}
    left = max(0, limit - sum(shares.values()))
    for one in sorted(exact, key=lambda one: shares[one] - exact[one])[:left]:
        shares[one] += 1
    return shares
