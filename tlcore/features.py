"""The feature pass: pictures through the frozen prefix, once per picture and view, on all cores."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import filelock
import numpy as np
from numpy.typing import NDArray

from tlcore.config import AugmentationConfig, ModelConfig, to_json
from tlcore.cut import PIXELS, Prefix, prefix_of
from tlcore.feature_store import FeatureStore, FeatureTable, record_key
from tlcore.home import home_dir
from tlcore.litert import CompiledModel
from tlcore.progress import Progress
from tlcore.storage.images import ImageStore
from tlcore.views import ViewRequest, view_pixels

# A pass is committed in pieces, so that what was computed before a stop or a crash is kept.
SEGMENT_RECORDS = 2048
LOCK_POLL_SECONDS = 0.5

# Turns a square picture into features: uint8 (size, size, 3) -> the prefix's shape.
PrefixFunction = Callable[[NDArray[np.uint8]], NDArray[np.generic]]


def compiled_prefix_path(prefix: Prefix, home: Path | None = None) -> Path:
    """Return where the compiled prefix is, or will be."""
    return (home or home_dir()) / "compiled" / f"{prefix.key}.tflite"


def num_feature_threads() -> int:
    """Return how many pictures are computed at the same time: the cores of this machine."""
    return max(1, int(os.environ.get("TRANSFER_LAB_THREADS", os.cpu_count() or 1)))


class FeatureExtractor:
    """Computes and caches the features of one model's frozen prefix.

    Args:
        config: Backbone, freeze line, picture size and resize mode.
        augmentation: What a view draws from.
        images: Where the pictures are.
        home: The data root; the configured one when not given.
    """

    def __init__(
        self, config: ModelConfig, augmentation: AugmentationConfig, images: ImageStore, home: Path | None = None
    ) -> None:
        self.prefix = prefix_of(config)
        self._config = config
        self._augmentation = augmentation
        self._images = images
        self._store = FeatureStore(home)
        self._path = compiled_prefix_path(self.prefix, home)
        self._features = self._store.open(self.prefix, self.prefix.features_key(config.resize_mode))
        self._view_identity = to_json(augmentation)

    def table(self, requests: Sequence[ViewRequest], progress: Progress, phase: str) -> FeatureTable:
        """Return the features of all requests, computing those that are not cached.

        Args:
            requests: The records, in the order in which the table shall have them.
            progress: Told about every picture.
            phase: What to call this on screen.

        Raises:
            StopRequested: If the person asked to stop; what was computed so far stays cached.
            ImageError: If a stored picture is missing or damaged.
            RunError: If the compiled prefix is missing.
            StorageError: If the disk is full.
        """
        keys = [self._key(request) for request in requests]
        if self._features.missing(keys):
            with self._alone(progress):
                missing = list({keys[i]: i for i in self._features.missing(keys)}.values())
                self._compute([(keys[i], requests[i]) for i in missing], progress, phase)
            self._store.evict()
        return self._features.table(keys)

    def _key(self, request: ViewRequest) -> bytes:
        return record_key(request.image, "" if request.view is None else f"{request.view} {self._view_identity}")

    @contextlib.contextmanager
    def _alone(self, progress: Progress) -> Iterator[None]:
        """Hold the lock of this set of features; another run may be computing the same ones."""
        lock = self._features.lock()
        while not lock.is_locked:
            with contextlib.suppress(filelock.Timeout):
                lock.acquire(timeout=LOCK_POLL_SECONDS)
            if not lock.is_locked:
                progress.phase("Waiting for another run that computes the same features")
        try:
            yield
        finally:
            lock.release()

    def _compute(self, records: Sequence[tuple[bytes, ViewRequest]], progress: Progress, phase: str) -> None:
        total, done = len(records), 0
        progress.phase(phase, 0, total)
        local = threading.local()

        def features_of(request: ViewRequest) -> NDArray[np.generic]:
            function: PrefixFunction | None = getattr(local, "function", None)
            if function is None:
                function = local.function = self._prefix_function()
            stored = self._images.read(request.image)
            return function(view_pixels(stored, request, self._config, self._augmentation))

        threads = num_feature_threads()
        with ThreadPoolExecutor(threads, thread_name_prefix="features") as pool:
            for start in range(0, total, SEGMENT_RECORDS):
                piece = records[start : start + SEGMENT_RECORDS]
                with self._features.writer([key for key, _ in piece]) as writer:
                    for record in _ordered(pool, features_of, [request for _, request in piece], 4 * threads):
                        writer.append(record)
                        done += 1
                        progress.phase(phase, done, total)
        self._features.refresh()

    def _prefix_function(self) -> PrefixFunction:
        if self.prefix.cut == PIXELS:
            return lambda picture: picture
        model = CompiledModel(self._path)
        return lambda picture: model(picture).astype(np.float16)


def _ordered(
    pool: ThreadPoolExecutor,
    function: Callable[[ViewRequest], NDArray[np.generic]],
    requests: Sequence[ViewRequest],
    ahead: int,
) -> Iterator[NDArray[np.generic]]:
    """Yield results in order while at most `ahead` are under way, so that memory stays flat."""
    waiting: deque[Future[NDArray[np.generic]]] = deque()
    try:
        for request in requests:
            waiting.append(pool.submit(function, request))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
