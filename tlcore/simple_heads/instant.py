"""Instant answers: a first classifier in milliseconds while pictures still come in, without TensorFlow."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tlcore.config import ModelConfig
from tlcore.dataset import Dataset, Item
from tlcore.features.engines import as_stored, compiled_prefix_path
from tlcore.features.litert import CompiledModel
from tlcore.features.store import FeatureStore, record_key
from tlcore.home import DataRoot
from tlcore.images.views import square_pixels
from tlcore.intake.splitting import units
from tlcore.model.cut import plan_model
from tlcore.results.prediction import Predictor, PredictorSpec
from tlcore.simple_heads.heads import SimpleHead
from tlcore.simple_heads.prediction import simple_head_predictor
from tlcore.simple_heads.training import left_out_similarities, train_class_means, train_logistic_regression
from tlcore.storage.images import ImageStore

Method = Literal["class_means", "logistic_regression"]

MIN_PICTURES = 2
"""Pictures that a class needs before it takes part."""
MAX_PICTURES = 600
"""Pictures that are looked at; of more, as many of each class. A first answer needs no more."""
MAX_KNOWN = 20_000
"""Pictures whose features stay in memory, those of all projects together; about 50 MB."""
# With fewer, a class mean is the better guess, and the validation pictures are too few to say how good anything is.
ENOUGH_TRAINING = 10
ENOUGH_VALIDATION = 10


class InstantFeatures:
    """Features of pictures by the fully frozen backbone, kept in memory; several threads may use one.

    What earlier runs computed is read from their cache; nothing is written there.

    Args:
        model: Backbone, picture size and resize mode; everything must be frozen and averaged.
        home: The data root.

    Raises:
        RunError: If the compiled backbone is missing or damaged.
    """

    def __init__(self, model: ModelConfig, home: DataRoot) -> None:
        self.model = model
        self.prefix = plan_model(model).prefix
        self._images = ImageStore(home)
        self._features = FeatureStore(home).open(self.prefix, self.prefix.features_key(model.resize_mode))
        self.compiled = CompiledModel(compiled_prefix_path(self.prefix, home))
        self.lock = threading.Lock()
        self._known: dict[str, NDArray[np.float16]] = {}

    def known(self, images: Sequence[str]) -> dict[str, NDArray[np.float16]]:
        """Return the features that are there, each float16 of shape `(channels,)`, by the key of the picture."""
        found = ((image, self._known.get(image)) for image in images)
        return {image: features for image, features in found if features is not None}

    def advance(self, images: Sequence[str], budget_seconds: float) -> int:
        """Compute features until all are there or the time is over, one picture at least; return how many are missing.

        Raises:
            ImageError: If a stored picture is missing or damaged.
        """
        deadline = time.monotonic() + budget_seconds
        missing = [image for image in dict.fromkeys(images) if image not in self._known]
        if missing:
            with self.lock:
                missing = self._read_stored(missing)
        for done, image in enumerate(missing):
            if done and time.monotonic() >= deadline:
                return len(missing) - done
            square = square_pixels(self._images.read(image), self.model)
            with self.lock:
                self._keep(image, as_stored(self.compiled(square)))
        return 0

    def _read_stored(self, images: Sequence[str]) -> list[str]:
        """Take over what runs have cached; return the pictures that they have not."""
        keys = [record_key(image) for image in images]
        absent = set(self._features.missing(keys))
        present = [position for position in range(len(images)) if position not in absent]
        if present:
            rows = self._features.table([keys[position] for position in present]).take(np.arange(len(present)))
            for position, features in zip(present, rows.astype(np.float16), strict=True):
                self._keep(images[position], features)
        return [images[position] for position in sorted(absent)]

    def _keep(self, image: str, features: NDArray[np.float16]) -> None:
        while len(self._known) >= MAX_KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[image] = features


@dataclass(frozen=True, slots=True)
class InstantClassifier:
    """A classifier for the pictures so far.

    Attributes:
        predictor: Answers pictures; knows only the classes that have enough of them.
        method: How it answers.
        correct: Pictures that were answered right by a classifier that had not learned from them.
        total: Pictures that were asked about.
        learned_from: Pictures that it learned from.
    """

    predictor: Predictor
    method: Method
    correct: int
    total: int
    learned_from: int


def instant_items(dataset: Dataset) -> tuple[Item, ...]:
    """Return the pictures to look at: those for training and validation, of classes that have enough of them.

    The test pictures stay out, for the exam at the end. Of more than 600 the first ones of each class are taken.
    """
    by_class = [[item for item in dataset.of_class(label.id) if item.split != "test"] for label in dataset.classes]
    usable = [items for items in by_class if len({item.image for item in items}) >= MIN_PICTURES]
    if sum(map(len, usable)) > MAX_PICTURES:
        share = max(MIN_PICTURES, MAX_PICTURES // len(usable))
        usable = [items[:share] for items in usable]
    return tuple(item for items in usable for item in items)


def fit_instant(
    dataset: Dataset, items: Sequence[Item], known: Mapping[str, NDArray[np.float16]], features: InstantFeatures
) -> InstantClassifier | None:
    """Train a classifier on the pictures whose features are known, in milliseconds, and say how good it is.

    With few pictures it is the nearest class mean, judged by leaving out each picture in turn, with all that belongs to
    it; pictures of a class in which everything belongs together are not asked about. As soon as there are
    enough it is a logistic regression on the training pictures, judged on the validation pictures.

    Args:
        dataset: Whose classes they are.
        items: From `instant_items`.
        known: Features by the key of the picture, from `InstantFeatures.known`.
        features: The frozen backbone, for the answers.

    Returns:
        The classifier; `None` while fewer than two classes have two pictures with known features.
    """
    ready = [item for item in items if item.image in known]
    images_of: dict[str, set[str]] = {}
    for item in ready:
        images_of.setdefault(item.class_id, set()).add(item.image)
    classes = [label for label in dataset.classes if len(images_of.get(label.id, ())) >= MIN_PICTURES]
    if len(classes) < 2:
        return None
    index = {label.id: position for position, label in enumerate(classes)}
    ready = [item for item in ready if item.class_id in index]
    rows = np.stack([known[item.image] for item in ready]).astype(np.float32)
    labels = np.array([index[item.class_id] for item in ready], np.int64)
    is_training = np.array([item.split == "train" for item in ready])
    validation = int((~is_training).sum())
    enough = np.bincount(labels[is_training], minlength=len(classes)).min() >= ENOUGH_TRAINING
    head: SimpleHead
    if enough and validation >= ENOUGH_VALIDATION:
        method: Method = "logistic_regression"
        head = train_logistic_regression(rows[is_training], labels[is_training], len(classes))
        y_pred = head.probabilities(rows[~is_training]).argmax(axis=1)
        correct, total, learned_from = int((y_pred == labels[~is_training]).sum()), validation, int(is_training.sum())
    else:
        method = "class_means"
        head = train_class_means(rows, labels, len(classes))
        unit_of = units(dataset.items, scenes_together=dataset.scenes_together)
        _, groups = np.unique([unit_of[item.image] for item in ready], return_inverse=True)
        y_pred = left_out_similarities(rows, labels, len(classes), groups).argmax(axis=1)
        # Without the pictures of a class that all belong together, nothing is left to know the class by.
        asked = np.array([len(np.unique(groups[labels == label])) > 1 for label in range(len(classes))])[labels]
        correct, total, learned_from = int((y_pred == labels)[asked].sum()), int(asked.sum()), len(labels)
    names, colors = tuple(label.name for label in classes), tuple(label.color for label in classes)
    spec = PredictorSpec(features.prefix, features.model.resize_mode, names, colors)
    predictor = simple_head_predictor(spec, features.compiled, head, features.lock)
    return InstantClassifier(predictor, method, correct, total, learned_from)
