"""Classes told apart by their background: how far the edges of pictures alone give the class away."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tlcore.dataset import Dataset, Item
from tlcore.doctor.edges import only_edges, only_middle
from tlcore.doctor.findings import BackgroundFinding
from tlcore.doctor.label_quality import out_of_fold_probabilities
from tlcore.features.engines import num_compute_threads
from tlcore.features.extractor import fastest_engine
from tlcore.home import DataRoot
from tlcore.images.views import square_pixels
from tlcore.intake.splitting import units
from tlcore.model.cut import ModelPlan
from tlcore.progress import Progress, in_order
from tlcore.storage.images import ImageStore

# A sample is enough, as only what nearly all pictures of a class share is looked for.
MOST_PICTURES = 600
MOST_OF_CLASS = 60
LEAST_OF_CLASS = 10
# Chosen with the 41 classes of five sets, each as it is and on a ground of its own. Edges of real classes reach up to
# an area of 0.994, and are always less distant than the middles. On a ground of their own they reach 0.998, and are 1.4
# times as distant. Of surfaces, which fill the picture, both are far, and either may be 1.35 times as far. On seven
# grounds of other looks and widths, which nothing was chosen with, 32 of 35 classes were found and no other one named;
# `python3 -m tests.bench understand backgrounds` measures it.
GIVEN_AWAY = 0.98
MORE_CLEARLY = 1.4
FILLS_THE_PICTURE = 7.0
# In each round one class is found. Where so many are, all that is left is found at once.
MOST_ROUNDS = 12
_SMALLEST_PROBABILITY = 1e-7


@dataclass(frozen=True, slots=True)
class Separation:
    """How well the answers of a classifier keep a class apart from the others.

    Attributes:
        area: Area under the ROC curve, in `[0, 1]`: how often a picture of the class is taken for one of it rather than
            a picture of another class. 0.5 is chance.
        distance: How many standard deviations lie between the log odds of its pictures and of the others. It goes on
            growing where `area` is 1 already.
    """

    area: float
    distance: float


def find_backgrounds(
    dataset: Dataset, items: Sequence[Item], plan: ModelPlan, progress: Progress, home: DataRoot
) -> tuple[BackgroundFinding, ...]:
    """Return the classes that a classifier tells by the edges of their pictures, and better than by the middles.

    Where the thing itself lies in the middle, its class should be seen there best. A class whose pictures have the same
    ground, frame or stamp around it is told by that instead, and a model may learn it.

    Args:
        dataset: Has the classes.
        items: Its pictures that can be read, with scenes.
        plan: A frozen backbone with average pooling, compiled already.
        progress: Told about every picture; may ask to stop.
        home: The data root.

    Raises:
        StopRequested: If the person asked to stop.
    """
    chosen, index = _sample(items), dataset.class_index()
    labels = np.array([index[item.class_id] for item in chosen], np.int64)
    if len(np.unique(labels)) < 2:
        return ()
    unit_of = units(items)
    _, groups = np.unique([unit_of[item.image] for item in chosen], return_inverse=True)
    with threadpool_limits(num_compute_threads()):
        parts = _features(chosen, plan, progress, home)
        return _given_away(dataset, parts, labels, groups.astype(np.int64), progress)


def _given_away(
    dataset: Dataset,
    parts: Sequence[NDArray[np.float32]],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    progress: Progress,
) -> tuple[BackgroundFinding, ...]:
    """Return the classes that edges give away, the clearest first.

    A class is judged beside those that are not found yet: where cats, dogs and flowers are told apart and all dogs have
    a frame, cats are what has none and is no flower. Without the dogs it shows that cats have no ground of their own.

    Args:
        dataset: Has the classes.
        parts: Features of the edges and of the middles, each float32 of shape `(pictures, channels)`.
        labels: int64 of shape `(pictures,)`, positions among the classes.
        groups: What belongs together, int64 of shape `(pictures,)`.
        progress: Told about every fold.
    """
    left, found = np.unique(labels), list[BackgroundFinding]()
    while len(left) >= 2:
        rows = np.isin(labels, left)
        edges, middles = (
            _separations(part[rows], np.searchsorted(left, labels[rows]), groups[rows], number, progress)
            for number, part in enumerate(parts)
        )
        suspected = {
            number: (edge, middle)
            for number, (edge, middle) in enumerate(zip(edges, middles, strict=True))
            if edge is not None and middle is not None and is_given_away(edge, middle)
        }
        order = sorted(suspected, key=lambda number: -suspected[number][0].distance)
        if not order:
            break
        taken: list[tuple[int, ...]]
        if len(left) == 2:  # what tells one of two tells the other
            taken = [(0, 1)]
        elif len(found) < MOST_ROUNDS:
            taken = [(order[0],)]
        else:
            taken = [(number,) for number in order]
        for numbers in taken:
            ids = tuple(dataset.classes[left[number]].id for number in numbers)
            edge, middle = suspected[order[0] if len(numbers) == 2 else numbers[0]]
            found.append(BackgroundFinding(ids, edge.area, middle.area))
        if len(left) == 2 or len(taken) > 1:
            break
        left = np.delete(left, order[0])
    return tuple(found)


def _separations(
    features: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64], part: int, progress: Progress
) -> list[Separation | None]:
    """Return how well a classifier that sees one part of each picture keeps each class apart."""
    num_classes = int(labels.max()) + 1
    probabilities = out_of_fold_probabilities(
        features,
        labels,
        groups,
        num_classes,
        on_fold=lambda done, folds: progress.phase("judging_edges", part * folds + done, 2 * folds),
    )
    return [separation(probabilities[:, number], labels == number) for number in range(num_classes)]


def is_given_away(edges: Separation, middles: Separation) -> bool:
    """Whether the edges tell a class nearly always, and clearly better than the middle, which leaves some doubt."""
    return (
        edges.area >= GIVEN_AWAY
        and edges.distance >= MORE_CLEARLY * middles.distance
        and middles.distance < FILLS_THE_PICTURE
    )


def separation(probabilities: NDArray[np.float32], is_class: NDArray[np.bool_]) -> Separation | None:
    """Return how well the probabilities of a class keep its pictures apart; `None` where they could not be judged.

    Args:
        probabilities: Of one class, float of shape `(pictures,)`; NaN for pictures that could not be judged.
        is_class: Which pictures have it, bool of shape `(pictures,)`.
    """
    from sklearn.metrics import roc_auc_score

    judged = np.isfinite(probabilities)
    of_class, of_others = judged & is_class, judged & ~is_class
    if min(of_class.sum(), of_others.sum()) < 2:
        return None
    clipped = np.clip(probabilities.astype(np.float64), _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    odds = np.log(clipped) - np.log1p(-clipped)
    spread = np.sqrt((odds[of_class].var() + odds[of_others].var()) / 2)
    distance = (odds[of_class].mean() - odds[of_others].mean()) / max(float(spread), 1e-6)
    return Separation(float(roc_auc_score(is_class[judged], odds[judged])), float(distance))


def _sample(items: Sequence[Item]) -> list[Item]:
    """Return so many pictures of each class that can be judged, chosen by their keys and so always the same."""
    of_class: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        of_class[item.class_id].append(item)
    large = [one for one in of_class.values() if len(one) >= LEAST_OF_CLASS]
    number = min(MOST_OF_CLASS, max(LEAST_OF_CLASS, MOST_PICTURES // max(1, len(large))))
    return [item for one in large for item in sorted(one, key=lambda item: item.image)[:number]]


def _features(
    items: Sequence[Item], plan: ModelPlan, progress: Progress, home: DataRoot
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the features of the edges and of the middles, each float32 of shape `(pictures, channels)`."""
    cv2.setNumThreads(1)  # OpenCV's own threads would compete with these
    store, local = ImageStore(home), threading.local()
    make_engine, batch_size = fastest_engine(plan, home)
    covers: tuple[Callable[[NDArray[np.uint8]], NDArray[np.uint8]], ...] = (only_edges, only_middle)

    def features_of(batch: Sequence[Item]) -> list[NDArray[np.generic]]:
        if not hasattr(local, "engine"):
            local.engine = make_engine()
        pictures = [square_pixels(store.read(item.image), plan.config) for item in batch]
        return [local.engine([cover(picture) for picture in pictures]) for cover in covers]

    threads, computed = num_compute_threads(), []
    batches = [items[at : at + batch_size] for at in range(0, len(items), batch_size)]
    progress.phase("covering", 0, len(items))
    with (
        ThreadPoolExecutor(threads, thread_name_prefix="covered") as pool,
        contextlib.closing(in_order(pool, features_of, batches, 2 * threads)) as found,
    ):
        for done, both in enumerate(found):
            computed.append(both)
            progress.phase("covering", min((done + 1) * batch_size, len(items)), len(items))
    edges, middles = (np.concatenate(part).astype(np.float32) for part in zip(*computed, strict=True))
    return edges, middles
