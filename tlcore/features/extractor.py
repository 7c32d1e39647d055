"""The feature pass: pictures through the frozen prefix, once per picture and view, on all cores."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tlcore.config import AugmentationConfig
from tlcore.documents import to_json
from tlcore.features.engines import (
    Engine,
    LiteRTEngine,
    PixelsEngine,
    compiled_prefix_path,
    num_compute_threads,
    read_engine_speeds,
)
from tlcore.features.store import FeatureStore, FeatureTable, record_key
from tlcore.home import DataRoot
from tlcore.images.views import ViewRequest, square_pixels, view_pixels
from tlcore.model.cut import PIXELS, ModelPlan
from tlcore.progress import Phase, Progress, in_order
from tlcore.storage.images import ImageStore

# A pass is committed in pieces, so that what was computed before a stop or a crash is kept.
SEGMENT_RECORDS = 2048


@dataclass(frozen=True, slots=True)
class FeaturePass:
    """What happened in one feature pass; times are of the clock `time.monotonic`, in seconds.

    Attributes:
        augmented: Whether it computed augmented views, and not the pictures as they are.
        pictures: How many records it computed.
        at_once: How many of them the engines work on at the same time.
        started: When it began to make its engine ready.
        first: When the first records were computed.
        ended: When all were on disk.
    """

    augmented: bool
    pictures: int
    at_once: int
    started: float
    first: float
    ended: float


class FeatureExtractor:
    """Computes and caches the features of one model's frozen prefix.

    Args:
        plan: Backbone, freeze line, picture size and resize mode.
        augmentation: What a view draws from.
        home: The data root.
        images: Where the pictures are; those of the data root when not given.

    Attributes:
        passes: What was computed so far, and when.
    """

    def __init__(
        self, plan: ModelPlan, augmentation: AugmentationConfig, home: DataRoot, images: ImageStore | None = None
    ) -> None:
        self.prefix = plan.prefix
        self._plan = plan
        self._augmentation = augmentation
        self._images = images or ImageStore(home)
        self._store = FeatureStore(home)
        self._home = home
        self._features = self._store.open(self.prefix, self.prefix.features_key(plan.config.resize_mode))
        self._made_engine: tuple[Callable[[], Engine], int] | None = None
        self.passes: list[FeaturePass] = []

    def table(self, requests: Sequence[ViewRequest], progress: Progress, phase: Phase) -> FeatureTable:
        """Return the features of all requests, computing those that are not cached.

        Args:
            requests: The records, in the order in which the table shall have them.
            progress: Told about every picture.
            phase: What this is for.

        Raises:
            StopRequested: If the person asked to stop; the pieces that were complete stay cached.
            ImageError: If a stored picture is missing or damaged.
            RunError: If the compiled prefix is missing.
            StorageError: If the disk is full.
        """
        keys = request_keys(requests, self._augmentation)
        if self._features.missing(keys):
            with self._features.alone(lambda: progress.phase("waiting_for_features")):
                missing = list({keys[i]: i for i in self._features.missing(keys)}.values())
                if missing:  # none when another run computed them meanwhile
                    self._compute([(keys[i], requests[i]) for i in missing], progress, phase)
            self._store.evict()
        return self._features.table(keys)

    def count_missing(self, requests: Sequence[ViewRequest]) -> int:
        """Return how many records of these requests would have to be computed; quick, for telling the price."""
        return self._features.count_missing(request_keys(requests, self._augmentation))

    def _compute(self, records: Sequence[tuple[bytes, ViewRequest]], progress: Progress, phase: Phase) -> None:
        # OpenCV's own threads would compete with these, which work on one picture per core.
        cv2.setNumThreads(1)
        total, done = len(records), 0
        started = first = time.monotonic()
        progress.phase(phase, 0, total)
        if self._made_engine is None:
            self._made_engine = fastest_engine(self._plan, self._home)
        make_engine, batch_size = self._made_engine
        local = threading.local()

        def features_of(requests: Sequence[ViewRequest]) -> NDArray[np.generic]:
            if not hasattr(local, "engine"):
                local.engine = make_engine()
            features: NDArray[np.generic] = local.engine([self._pixels(request) for request in requests])
            return features

        def written(batches: Iterable[NDArray[np.generic]]) -> Iterator[NDArray[np.generic]]:
            nonlocal done, first
            for features in batches:
                yield from features
                if not done:
                    first = time.monotonic()
                done += len(features)
                progress.phase(phase, done, total)

        threads = num_compute_threads()
        ahead = threads * max(2, 4 // batch_size)
        with ThreadPoolExecutor(threads, thread_name_prefix="features") as pool:
            for start in range(0, total, SEGMENT_RECORDS):
                keys, requests = zip(*records[start : start + SEGMENT_RECORDS], strict=True)
                batches = (requests[at : at + batch_size] for at in range(0, len(requests), batch_size))
                with contextlib.closing(in_order(pool, features_of, batches, ahead)) as computed:
                    self._features.write(keys, written(computed))
        self._features.refresh()
        augmented = records[0][1].view is not None
        self.passes.append(FeaturePass(augmented, total, threads * batch_size, started, first, time.monotonic()))

    def _pixels(self, request: ViewRequest) -> NDArray[np.uint8]:
        square = square_pixels(self._images.read(request.image), self._plan.config)
        return view_pixels(square, request, self._augmentation)


def request_keys(requests: Sequence[ViewRequest], augmentation: AugmentationConfig) -> list[bytes]:
    """Return under which keys the store has the features of some pictures, plain or under views of an augmentation."""
    identity = to_json(augmentation)
    return [record_key(one.image, "" if one.view is None else f"{one.view} {identity}") for one in requests]


def fastest_engine(plan: ModelPlan, home: DataRoot) -> tuple[Callable[[], Engine], int]:
    """Return what makes an engine for each thread of a feature pass, and how many pictures it takes at a time.

    Args:
        plan: Backbone, freeze line and picture size; the prefix is compiled already.
        home: The data root.

    Raises:
        RunError: If the compiled prefix is missing.
    """
    prefix = plan.prefix
    if prefix.cut == PIXELS:
        return PixelsEngine, PixelsEngine.batch_size
    speeds = read_engine_speeds(prefix, home)
    if speeds is not None and speeds.fastest == "tensorflow":
        from tlcore.features.compiling import FoldedEngine
        from tlcore.model.classifier import build_prefix

        shared = FoldedEngine(build_prefix(plan, home))
        return lambda: shared, shared.batch_size
    path = compiled_prefix_path(prefix, home)
    return lambda: LiteRTEngine(path), LiteRTEngine.batch_size
