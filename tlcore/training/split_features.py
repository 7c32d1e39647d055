"""Features and classes of the parts of a data set: what is trained on, validated on and tested on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tlcore.config import AugmentationConfig, TrainingConfig
from tlcore.dataset import Dataset, Item
from tlcore.features.extractor import FeatureExtractor, FeaturePass
from tlcore.features.store import LabelledFeatures
from tlcore.home import DataRoot
from tlcore.images.views import ViewRequest, view_of_epoch
from tlcore.model.cut import ModelPlan
from tlcore.progress import Phase, Progress

MAX_TRAIN_ANSWERS = 1000
"""To so many training pictures a model's answers are kept: enough for an interval of three points to either side."""


def asked_of_training(dataset: Dataset) -> tuple[Item, ...]:
    """Return the training pictures to which answers are kept: all, or of many the same ones for every model."""
    # By the hash of their content, which has nothing to do with what they show.
    return tuple(sorted(dataset.subset("train"), key=lambda item: item.image)[:MAX_TRAIN_ANSWERS])


def keeps_training_answers(augmentation: AugmentationConfig) -> bool:
    """Whether a run keeps answers to training pictures.

    With augmentation it has seen other views of them; a pass for these answers alone would take too long. What happens
    to be cached does not count: the same run keeps the same on every computer.
    """
    return augmentation.is_identity


class SplitFeatures:
    """The features of a data set through the frozen part of one model; computed when asked for, and cached.

    Args:
        dataset: Pictures of the data root, with classes and splits.
        plan: Whose frozen part it is.
        augmentation: What views are drawn from.
        home: The data root.
    """

    def __init__(self, dataset: Dataset, plan: ModelPlan, augmentation: AugmentationConfig, home: DataRoot) -> None:
        self._dataset = dataset
        self._augmentation = augmentation
        self._class_index = dataset.class_index()
        self._extractor = FeatureExtractor(plan, augmentation, home)

    @property
    def passes(self) -> tuple[FeaturePass, ...]:
        """What was computed so far, and when."""
        return tuple(self._extractor.passes)

    def views(self, epoch: int, config: TrainingConfig, progress: Progress) -> LabelledFeatures:
        """Return the training features of an epoch, counted from 0: each picture under its view of that epoch."""
        items = self._dataset.subset("train")
        requests = [view_of_epoch(item.image, epoch, self._augmentation, config) for item in items]
        what: Phase = "features" if self._augmentation.is_identity else "view_features"
        return self._labelled(items, requests, progress, what)

    def plain(self, items: Sequence[Item], progress: Progress, phase: Phase) -> LabelledFeatures:
        """Return the features of pictures as they are."""
        return self._labelled(items, [ViewRequest(item.image) for item in items], progress, phase)

    def asked_of_training(self) -> tuple[Item, ...]:
        """Return the training pictures to which the run keeps answers: none where `keeps_training_answers` says no."""
        return asked_of_training(self._dataset) if keeps_training_answers(self._augmentation) else ()

    def _labelled(
        self, items: Sequence[Item], requests: Sequence[ViewRequest], progress: Progress, phase: Phase
    ) -> LabelledFeatures:
        labels = np.array([self._class_index[item.class_id] for item in items], np.int64)
        return LabelledFeatures(self._extractor.table(requests, progress, phase), labels)
