"""The whole examination of a data set: every picture measured, compared with the others, and its class judged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tlcore.backbones.weights.status import require_weights
from tlcore.config import AugmentationConfig, ModelConfig
from tlcore.dataset import Dataset, Item
from tlcore.doctor.background import find_backgrounds
from tlcore.doctor.findings import FINDINGS, BackgroundFinding, DoctorReport, Finding, FindingKind, Suspect
from tlcore.doctor.label_quality import confident_classes, out_of_fold_twice
from tlcore.doctor.picture_quality import PictureMeasures, measure_picture, odd_pictures
from tlcore.errors import ImageError
from tlcore.features.compiled import configure_tensorflow, ensure_compiled
from tlcore.features.engines import num_compute_threads
from tlcore.home import DataRoot
from tlcore.images.resizing import decode_image
from tlcore.intake.leaks import leaks
from tlcore.intake.near_copies import find_scenes
from tlcore.intake.splitting import HELD_BACK, units
from tlcore.model.cut import plan_model
from tlcore.progress import Progress, in_order
from tlcore.storage.images import ImageStore
from tlcore.storage.simple_heads import frozen_backbone
from tlcore.training.split_features import SplitFeatures


def examine(dataset: Dataset, model: ModelConfig, progress: Progress, home: DataRoot) -> DoctorReport:
    """Look through all pictures of a data set for faults; nothing is changed.

    Features that are not cached are computed first, which takes as long as the first epoch of a run.

    Args:
        dataset: Pictures of the data root, with classes and splits.
        model: Backbone, picture size and resize mode; the rest of it is not used. A backbone that has learned nothing
            yet is of no use here, so the usual one is taken instead.
        progress: Told what happens; may ask to stop.
        home: The data root.

    Raises:
        StopRequested: If the person asked to stop.
        WeightsError: If the backbone's weights are not on this computer.
        StorageError: If the disk is full.
    """
    measures = _measure(dataset, progress, home)
    scenes: dict[str, str] = {}
    if any(item.scene is None for item in dataset.items):
        keys = [item.image for item in dataset.items]
        found = find_scenes(
            keys, ImageStore(home).thumbnail, lambda done, all_: progress.phase("comparing", done, all_)
        )
        scenes = {item.image: found.get(item.image, "") for item in dataset.items if item.scene is None}
        dataset = replace(
            dataset, items=tuple(replace(item, scene=scenes.get(item.image, item.scene)) for item in dataset.items)
        )
    readable = [item for item in dataset.items if item.image in measures]
    probabilities, backgrounds = _judge(dataset, readable, model, progress, home)
    labels = _labels(dataset, readable)
    suspects: dict[FindingKind, Iterable[Suspect]] = {
        "unreadable": [Suspect(i.image, i.class_id) for i in dataset.items if i.image not in measures],
        **{kind: [Suspect(*one) for one in odd] for kind, odd in odd_pictures(measures, readable).items()},
        "two_classes": _in_two_classes(dataset, readable, probabilities),
        "leak": _leaks(dataset),
        "mislabelled": _mislabelled(dataset, readable, probabilities, labels),
        "near_copies": _near_copies(dataset),
    }
    judged = ~np.isnan(probabilities).any(axis=1)
    agreed = probabilities[judged].argmax(axis=1) == labels[judged]
    pictures = len({item.image for item in dataset.items})
    return DoctorReport(_each_once(suspects), pictures, int(judged.sum()), int(agreed.sum()), scenes, backgrounds)


def _measure(dataset: Dataset, progress: Progress, home: DataRoot) -> dict[str, PictureMeasures]:
    """Measure every picture that can be read."""
    store = ImageStore(home)
    keys = list(dict.fromkeys(item.image for item in dataset.items))
    cv2.setNumThreads(1)  # OpenCV's own threads would compete with these

    def measure(key: str) -> PictureMeasures | None:
        try:
            return measure_picture(decode_image(store.read(key)))
        except ImageError:
            return None

    found: dict[str, PictureMeasures] = {}
    threads = num_compute_threads()
    with ThreadPoolExecutor(threads, thread_name_prefix="measure") as pool:
        for done, (key, one) in enumerate(zip(keys, in_order(pool, measure, keys, 8 * threads), strict=True)):
            if one is not None:
                found[key] = one
            progress.phase("looking", done + 1, len(keys))
    return found


def _judge(
    dataset: Dataset, items: Sequence[Item], model: ModelConfig, progress: Progress, home: DataRoot
) -> tuple[NDArray[np.float32], tuple[BackgroundFinding, ...]]:
    """Return what a classifier says of each picture that it had not learned from, and classes told by backgrounds."""
    if len({item.class_id for item in items}) < 2:
        return np.full((len(items), dataset.num_classes), np.nan, np.float32), ()
    configure_tensorflow()
    progress.phase("preparing")
    usable = frozen_backbone(ModelConfig() if model.weights == "random" else model)
    plan = plan_model(usable)
    require_weights(plan.backbone, home, usable.weights)
    ensure_compiled(plan, progress, home)
    found = SplitFeatures(dataset, plan, AugmentationConfig(), home).plain(items, progress, "features")
    features = found.table.take(np.arange(len(items))).astype(np.float32)
    unit_of = units(items)
    _, groups = np.unique([unit_of[item.image] for item in items], return_inverse=True)
    with threadpool_limits(num_compute_threads()):
        probabilities = out_of_fold_twice(
            features,
            found.labels,
            groups,
            dataset.num_classes,
            lambda done, folds: progress.phase("judging", done, folds),
        )
    return probabilities, find_backgrounds(dataset, items, plan, progress, home)


def _labels(dataset: Dataset, items: Sequence[Item]) -> NDArray[np.int64]:
    index = dataset.class_index()
    return np.array([index[item.class_id] for item in items], np.int64)


def _mislabelled(
    dataset: Dataset, items: Sequence[Item], probabilities: NDArray[np.float32], labels: NDArray[np.int64]
) -> list[Suspect]:
    if not items:
        return []
    probable = confident_classes(probabilities, labels)
    rows = np.arange(len(items))
    margin = probabilities[rows, probable] - probabilities[rows, labels]
    order = [index for index in np.argsort(-margin, kind="stable") if probable[index] != labels[index]]
    return [Suspect(items[i].image, items[i].class_id, dataset.classes[probable[i]].id) for i in order]


def _in_two_classes(dataset: Dataset, items: Sequence[Item], probabilities: NDArray[np.float32]) -> list[Suspect]:
    """Return the pictures of a scene whose class is the less probable one, each with one that has the other class."""
    index = dataset.class_index()
    scenes: defaultdict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        scenes[item.scene or item.image].append(place)
    found = []
    for places in scenes.values():
        if len({items[place].class_id for place in places}) < 2:
            continue
        said = np.nan_to_num(probabilities[places]).sum(axis=0)
        first = {items[place].class_id: items[place] for place in reversed(places)}
        # Where nothing was judged, the class of more of them.
        number = {one: sum(items[place].class_id == one for place in places) for one in first}
        best = max(first, key=lambda one: (said[index[one]], number[one]))
        found += [
            Suspect(items[place].image, items[place].class_id, best, first[best].image)
            for place in places
            if items[place].class_id != best
        ]
    return found


def _leaks(dataset: Dataset) -> list[Suspect]:
    class_of = {item.image: item.class_id for item in dataset.items}
    return [
        Suspect(image, class_of[image], other=other)
        for split in HELD_BACK
        for image, other in leaks(dataset, split).items()
    ]


def _near_copies(dataset: Dataset) -> list[Suspect]:
    """Return the near-copies of a picture in the same class and part, each with the first one, which stays."""
    first: dict[tuple[str, str, str], str] = {}
    found = []
    for item in dataset.items:
        if item.scene:
            kept = first.setdefault((item.scene, item.class_id, item.split), item.image)
            if kept != item.image:
                found.append(Suspect(item.image, item.class_id, other=kept))
    return found


def _each_once(suspects: dict[FindingKind, Iterable[Suspect]]) -> tuple[Finding, ...]:
    """Return the findings, the gravest kind first; each picture is in the gravest that it belongs to."""
    taken: set[tuple[str, str]] = set()
    findings = []
    for kind in FINDINGS:
        new = tuple(one for one in suspects.get(kind, ()) if (one.image, one.class_id) not in taken)
        taken |= {(one.image, one.class_id) for one in new}
        if new:
            findings.append(Finding(kind, new))
    return tuple(findings)
