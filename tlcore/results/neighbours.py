"""Which training pictures are most alike to a picture, by the features of the frozen part of a model."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tlcore.config import AugmentationConfig, ModelConfig, ResizeMode, RunConfig, TrainingConfig
from tlcore.dataset import Dataset, Item
from tlcore.errors import RunError
from tlcore.features.engines import as_stored, compiled_prefix_path
from tlcore.features.extractor import request_keys
from tlcore.features.litert import CompiledModel, Loader
from tlcore.features.pooled import pooled, unit_length
from tlcore.features.store import FeatureStore
from tlcore.home import DataRoot
from tlcore.images.resizing import resize_image
from tlcore.images.views import ViewRequest, view_of_epoch
from tlcore.model.cut import PIXELS, Prefix, plan_model
from tlcore.storage.runs import Run
from tlcore.storage.simple_heads import TrainedSimpleHead, frozen_backbone

Loaded = TypeVar("Loaded")

NUM_NEIGHBOURS = 5
"""How many training pictures are shown, and how many say how strange a picture is."""

# What may be in memory for one model, 100 MB: 20,000 pictures of the usual backbone.
MAX_VALUES = 20_000 * 1_280
# What may be read from disk for it: maps of early blocks are large.
MAX_READ_BYTES = 400_000_000
# Where features of some pictures are missing, so many are enough.
ENOUGH = 2_000
# Rows of features that are read, or compared, at once.
CHUNK_BYTES = 32_000_000

NOTHING_FROZEN = (
    "This model learned everything itself: it has no frozen backbone by whose features its training pictures could be "
    "compared."
)
NOT_CACHED = (
    "The features of this model's training pictures are not on this computer (any more). "
    "Train simple heads on Understand, which takes seconds: that computes them."
)
ONLY_ITS_OWN = (
    "The features of this model's training pictures are not on this computer any more. "
    "Train it again: that computes them."
)
MEMBERS_GONE = "The runs of this group were deleted. Make a new group."


@dataclass(frozen=True, slots=True)
class Comparison:
    """By which features pictures are compared.

    Attributes:
        prefix: The frozen part.
        resize_mode: How a picture becomes square.
        is_whole: Whether it is the whole backbone; else it is the blocks before the freeze line.
        augmentation: What views of the training pictures are drawn from.
        training: Chooses the view of each training picture that stands for it; `None` for the picture as it is.
    """

    prefix: Prefix
    resize_mode: ResizeMode
    is_whole: bool
    augmentation: AugmentationConfig
    training: TrainingConfig | None = None

    @property
    def has_views(self) -> bool:
        """Whether an augmented view stands for each training picture."""
        return self.training is not None


def comparisons(config: RunConfig | ModelConfig) -> tuple[Comparison, ...]:
    """Return by which features a model's pictures can be compared, the best first.

    The whole frozen backbone says most about what a picture shows. Where blocks were thawed from the beginning, what
    lies before the freeze line is there anyhow. The training pictures as they are come before views of them, which a
    run with augmentation has learned from.

    Args:
        config: Of a run, or the backbone in front of a simple head.

    Returns:
        None for a model that learned everything itself.
    """
    if isinstance(config, ModelConfig):
        config = RunConfig(model=frozen_backbone(config))
    whole = plan_model(frozen_backbone(config.model))
    plans = [plan_model(phase.model) for phase in config.phases]
    # What a backbone with random weights finds alike is of use only where the model looks through it.
    is_whole = {} if whole.is_random else {whole.prefix: True}
    for plan in plans:
        if plan.prefix.cut != PIXELS:
            is_whole.setdefault(plan.prefix, plan.config.first_trainable is None)
    views = [None] if config.augmentation.is_identity else [None, config.training]
    return tuple(
        Comparison(prefix, config.model.resize_mode, all_of_it, config.augmentation, view)
        for prefix, all_of_it in is_whole.items()
        for view in views
    )


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A training picture that is alike.

    Attributes:
        image: Its key.
        class_name: Its class.
        likeness: Cosine similarity of the features: 1 for the same, near 0 for what has nothing in common.
    """

    image: str
    class_name: str
    likeness: float


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The training pictures of a model by their features; several threads may ask it.

    Attributes:
        comparison: What is compared.
        items: The pictures.
        class_names: The class of each.
        vectors: Their features, of length 1, float32 of shape `(pictures, channels)`.
        total: How many training pictures there are; more than `items` where there are too many to compare, or the
            features of some are missing.
    """

    comparison: Comparison
    items: tuple[Item, ...]
    class_names: tuple[str, ...]
    vectors: NDArray[np.float32]
    total: int

    def nearest(
        self, vector: NDArray[np.float32], k: int = NUM_NEIGHBOURS, *, without: str | None = None
    ) -> tuple[Neighbour, ...]:
        """Return the `k` training pictures that are most alike, the most alike first.

        Args:
            vector: Features of the picture, of length 1, float32 of shape `(channels,)`.
            k: How many; fewer where there are not as many.
            without: The key of a picture to leave out: the one that is asked about.
        """
        likeness = self.vectors @ vector
        if without is not None:
            likeness[[place for place, item in enumerate(self.items) if item.image == without]] = -np.inf
        k = min(k, int(np.isfinite(likeness).sum()))
        if not k:
            return ()
        places = np.argpartition(-likeness, k - 1)[:k]
        places = places[np.argsort(-likeness[places], kind="stable")]
        return tuple(
            Neighbour(self.items[place].image, self.class_names[place], float(likeness[place])) for place in places
        )

    def strangeness(self, vectors: NDArray[np.float32], k: int = NUM_NEIGHBOURS) -> NDArray[np.float32]:
        """Return how unlike pictures are to their `k` nearest training pictures: the mean of the cosine distances.

        Args:
            vectors: Features of length 1, float32 of shape `(pictures, channels)`.
            k: How many; all where there are fewer.

        Returns:
            float32 of shape `(pictures,)`: 0 for pictures that were learned from, larger for stranger ones, up to 2.
        """
        k = min(k, len(self.items))
        rows = max(1, CHUNK_BYTES // (4 * len(self.items)))
        scores = [np.zeros(0, np.float32)]
        for start in range(0, len(vectors), rows):
            distances = 1 - vectors[start : start + rows] @ self.vectors.T
            scores.append(np.partition(distances, k - 1, axis=1)[:, :k].mean(axis=1))
        return np.concatenate(scores).astype(np.float32)


def load_neighbours(dataset: Dataset, compared: Sequence[Comparison], home: DataRoot) -> Neighbours:
    """Read the features of a model's training pictures from the cache; nothing is computed.

    Args:
        dataset: What the model learned from.
        compared: From `comparisons`; the first one whose features are there is taken.
        home: The data root.

    Raises:
        RunError: If the model has no frozen part, or the features of its training pictures are not there.
    """
    if not compared:
        raise RunError(NOTHING_FROZEN)
    training = dataset.subset("train")
    for comparison in compared:
        if not compiled_prefix_path(comparison.prefix, home).is_file():
            continue
        share = even_share(comparison, training)
        items, vectors = read_vectors(comparison, share, home)
        if items and len(items) >= min(len(share) / 2, ENOUGH):
            name_of = {label.id: label.name for label in dataset.classes}
            names = tuple(name_of[item.class_id] for item in items)
            return Neighbours(comparison, items, names, vectors, len(training))
    # Simple heads look at the pictures as they are, through the whole backbone.
    raise RunError(NOT_CACHED if any(one.is_whole and not one.has_views for one in compared) else ONLY_ITS_OWN)


def first_comparable(
    members: Sequence[Run | TrainedSimpleHead], load: Callable[[tuple[Comparison, ...]], Loaded]
) -> tuple[Run | TrainedSimpleHead, Loaded]:
    """Return the first model of a group by whose features pictures can be compared, and what was loaded for that.

    Args:
        members: From `tlcore.storage.models.members_of`; the one model that is no group.
        load: Takes what `comparisons` says of a member, and reads what is needed, such as with `load_neighbours`.

    Raises:
        RunError: If there are no features of any of them, as `load` said of the last one.
    """
    missing = RunError(MEMBERS_GONE)
    for member in members:
        try:
            return member, load(comparisons(member.model if isinstance(member, TrainedSimpleHead) else member.config))
        except RunError as error:
            missing = error
    raise missing


def even_share(comparison: Comparison, items: Sequence[Item], at_most: int = sys.maxsize) -> Sequence[Item]:
    """Return as many pictures as may be read at once, from all over: those of a class stand together."""
    most = min(MAX_VALUES // comparison.prefix.shape[-1], MAX_READ_BYTES // _record_bytes(comparison.prefix), at_most)
    if len(items) <= most:
        return items
    return [items[place] for place in np.linspace(0, len(items) - 1, max(1, most)).round().astype(int)]


def read_vectors(
    comparison: Comparison, items: Sequence[Item], home: DataRoot
) -> tuple[tuple[Item, ...], NDArray[np.float32]]:
    """Return the pictures whose features are cached, and these, of length 1.

    Args:
        comparison: Which features.
        items: Pictures, of which each is looked for; see `even_share`.
        home: The data root.

    Returns:
        The pictures, and float32 of shape `(pictures, channels)`.
    """
    prefix = comparison.prefix
    features = FeatureStore(home).open(prefix, prefix.features_key(comparison.resize_mode))
    keys = request_keys([_request(comparison, item) for item in items], comparison.augmentation)
    missing = set(features.missing(keys))
    there = [place for place in range(len(items)) if place not in missing]
    vectors = np.empty((len(there), prefix.shape[-1]), np.float32)
    if there:
        table = features.table([keys[place] for place in there])
        step = max(1, CHUNK_BYTES // _record_bytes(prefix))
        for start in range(0, len(there), step):
            rows = np.arange(start, min(start + step, len(there)))
            vectors[rows] = unit_length(pooled(table.take(rows)))
    return tuple(items[place] for place in there), vectors


def _request(comparison: Comparison, item: Item) -> ViewRequest:
    """Return what stands for a picture: itself, or its view of the first epoch where it was learned from as such."""
    if comparison.training is None or item.split != "train":
        return ViewRequest(item.image)
    return view_of_epoch(item.image, 0, comparison.augmentation, comparison.training)


def _record_bytes(prefix: Prefix) -> int:
    return int(np.prod(prefix.shape)) * np.dtype(prefix.dtype).itemsize


class FrozenPart:
    """The frozen part of a model, compiled: the features of any picture; several threads may ask it.

    Args:
        prefix: The frozen part.
        resize_mode: How a picture becomes square.
        home: The data root.
        load: Loads it.

    Raises:
        RunError: If the compiled model is missing or damaged.
    """

    def __init__(self, prefix: Prefix, resize_mode: ResizeMode, home: DataRoot, load: Loader = CompiledModel) -> None:
        self._image_size, self._resize_mode = prefix.image_size, resize_mode
        self._compiled = load(compiled_prefix_path(prefix, home), 1)
        self._lock = threading.Lock()

    def vector(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features of a picture of any size, averaged over places and of length 1.

        Args:
            pixels: uint8 RGB of shape `(height, width, 3)`.

        Returns:
            float32 of shape `(channels,)`.
        """
        square = resize_image(pixels, self._image_size, self._resize_mode)
        with self._lock:
            features = as_stored(self._compiled(square))
        vector: NDArray[np.float32] = unit_length(pooled(features[np.newaxis]))[0]
        return vector
