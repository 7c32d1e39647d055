"""Batches of features, read from disk while the step before works; shuffled and balanced as asked."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tlcore.features.store import LabelledFeatures

PREFETCHED = 2


class Batches:
    """Batches of records: float features as they are stored with int64 labels, anew in every iteration.

    Args:
        features: The records. As an attribute: others of the same shape and number may take their place.
        batch_size: Records in each batch but the last.
        generator: Shuffles the records anew each time; in order when not given.
        balanced: Draw as many records of each class as of any other, rare ones several times.
    """

    def __init__(
        self,
        features: LabelledFeatures,
        batch_size: int,
        generator: np.random.Generator | None = None,
        *,
        balanced: bool = False,
    ) -> None:
        self.features = features
        self._batch_size = batch_size
        self._generator = generator
        self._balanced = balanced
        rows = features.table.take(np.arange(0))
        signature = (tf.TensorSpec((None, *rows.shape[1:]), rows.dtype), tf.TensorSpec((None,), tf.int64))
        self._dataset = tf.data.Dataset.from_generator(self._read, output_signature=signature).prefetch(PREFETCHED)

    def __len__(self) -> int:
        return math.ceil(len(self.features.labels) / self._batch_size)

    def __iter__(self) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        return iter(self._dataset)

    def _read(self) -> Iterator[tuple[NDArray[np.generic], NDArray[np.int64]]]:
        features, length = self.features, len(self.features.labels)
        if self._generator is None:
            order = np.arange(length)
        elif self._balanced:
            order = balanced_order(features.labels, self._generator)
        else:
            order = self._generator.permutation(length)
        for indices in chunks(length, self._batch_size):
            yield features.table.take(order[indices]), features.labels[order[indices]]


def balanced_order(labels: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw `len(labels)` records so that each class comes as often as any other, give or take one, and shuffle them.

    Records of a rare class come several times; of a frequent class other ones are left out every time.
    """
    classes = np.unique(labels)
    shares = np.full(len(classes), len(labels) // len(classes))
    shares[: len(labels) % len(classes)] += 1
    drawn = [
        np.resize(generator.permutation(np.flatnonzero(labels == label)), share)
        for label, share in zip(classes, shares, strict=True)
    ]
    return generator.permutation(np.concatenate(drawn))


def chunks(length: int, size: int) -> Iterator[NDArray[np.int64]]:
    """Yield the indices from 0 to `length`, at most `size` at a time."""
    for start in range(0, length, size):
        yield np.arange(start, min(start + size, length))
