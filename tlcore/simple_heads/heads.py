"""Simple heads on pooled features: from features to probabilities with nothing but NumPy, and their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tlcore.errors import RunError
from tlcore.features.pooled import unit_length
from tlcore.home import write_atomically
from tlcore.results.evaluation import DAMAGE

SIMPLE_HEAD_FILE = "probe.npz"
# A picture that lies this close counts as the same; its vote would be infinite otherwise.
SMALLEST_DISTANCE = 1e-6
# So many pictures of each class say how alike a picture is to the class. Fewer make restless heat maps: with 5 these
# found a planted patch in 80 of 100 pictures, with 25 in 94, with 100 in 89.
NUM_ALIKE = 25
# What these mean likenesses are divided by; a heat map sees only which part changes them most.
ALIKE_TEMPERATURE = 0.02
# Rows of the table of distances that are in memory at once.
CHUNK_ROWS = 512


class SimpleHead(Protocol):
    """A trained head."""

    def probabilities(self, features: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return the answers to pooled features.

        Args:
            features: Any float of shape `(pictures, channels)`, from a frozen backbone with average pooling.

        Returns:
            float32 of shape `(pictures, classes)`; each row adds up to 1.
        """

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what must be kept of it, by name."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """One score per class, a weighted sum of the features, and softmax: logistic regression, linear SVM.

    Attributes:
        weights: float32 of shape `(channels, classes)`.
        bias: float32 of shape `(classes,)`.
        is_of_unit_length: Whether the features are scaled to length 1 first. The heads of former versions did not.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    is_of_unit_length: bool = True

    def probabilities(self, features: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return the softmax of the scores, float32 of shape `(pictures, classes)`."""
        rows = unit_length(features) if self.is_of_unit_length else np.asarray(features, np.float32)
        scores: NDArray[np.float32] = rows @ self.weights + self.bias
        return softmax(scores)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return weights and bias, and what they are for."""
        return {"weights": self.weights, "bias": self.bias, "is_of_unit_length": np.array(self.is_of_unit_length)}


@dataclass(frozen=True, slots=True, eq=False)
class NeighboursHead:
    """The training pictures that are most alike vote, nearer ones with more weight.

    Nothing is learned: the features of all training pictures are kept. How far apart two pictures are is the
    cosine distance of their features, from 0 (alike) to 2; a vote counts one over its distance.

    Attributes:
        features: Of the training pictures, scaled to length 1, float of shape `(pictures, channels)`; half precision is
            enough, single is answered from sooner.
        labels: Their classes, int64 of shape `(pictures,)`.
        num_classes: Number of classes.
        num_neighbours: How many vote.
    """

    features: NDArray[np.floating]
    labels: NDArray[np.int64]
    num_classes: int
    num_neighbours: int

    def probabilities(self, features: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return each class's share of the votes, float32 of shape `(pictures, classes)`."""
        kept = self.features.astype(np.float32, copy=False)
        pictures = unit_length(features)
        shares = [
            self._shares(pictures[start : start + CHUNK_ROWS], kept) for start in range(0, len(pictures), CHUNK_ROWS)
        ]
        answers: NDArray[np.float32] = np.concatenate([np.zeros((0, self.num_classes), np.float32), *shares])
        return answers

    def likeness(self, features: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return how alike pictures are to each class, as probabilities that change with every change of a picture.

        The vote stays the same until another picture comes among the nearest, so it does not tell a small change of a
        picture from none. The mean cosine similarity to a class's most similar pictures does.

        Args:
            features: As of `probabilities`.

        Returns:
            float32 of shape `(pictures, classes)`; each row adds up to 1. Often the vote's answer, but not always.
        """
        similarities = unit_length(features) @ self.features.astype(np.float32, copy=False).T
        means = np.full((len(similarities), self.num_classes), -1, np.float32)  # of a class without pictures: unlike
        for class_index in np.unique(self.labels):
            of_class = similarities[:, self.labels == class_index]
            count = min(NUM_ALIKE, of_class.shape[1])
            means[:, class_index] = np.partition(of_class, -count, axis=1)[:, -count:].mean(axis=1)
        return softmax(means / ALIKE_TEMPERATURE)

    def _shares(self, pictures: NDArray[np.float32], kept: NDArray[np.float32]) -> NDArray[np.float32]:
        distances = 1 - pictures @ kept.T
        nearest = np.argpartition(distances, self.num_neighbours - 1, axis=1)[:, : self.num_neighbours]
        votes = 1 / np.maximum(np.take_along_axis(distances, nearest, axis=1), SMALLEST_DISTANCE)
        shares = np.zeros((len(pictures), self.num_classes), np.float64)
        np.add.at(shares, (np.arange(len(pictures))[:, None], self.labels[nearest]), votes)
        return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the training pictures' features and classes."""
        sizes = np.array([self.num_classes, self.num_neighbours])
        return {"features": self.features.astype(np.float16, copy=False), "labels": self.labels, "sizes": sizes}


@dataclass(frozen=True, slots=True, eq=False)
class ClassMeansHead:
    """The class whose mean picture is most alike: good from two pictures of each class on.

    Attributes:
        means: Mean features of each class, scaled to length 1, float32 of shape `(classes, channels)`.
        temperature: What the cosine similarities are divided by before softmax, above 0; small makes sure answers.
    """

    means: NDArray[np.float32]
    temperature: float

    def probabilities(self, features: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return the softmax of the similarities, float32 of shape `(pictures, classes)`."""
        return softmax(unit_length(features) @ self.means.T / self.temperature)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return means and temperature."""
        return {"means": self.means, "temperature": np.array(self.temperature)}


def softmax(scores: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return probabilities of scores, float32 of the same shape `(pictures, classes)`."""
    shifted = np.asarray(scores, np.float64)
    powers = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def save_simple_head(head: SimpleHead, folder: Path) -> None:
    """Write a head into its folder, whole or not at all.

    Raises:
        StorageError: If the disk is full or cannot be written.
    """
    write_atomically(folder / SIMPLE_HEAD_FILE, lambda path: np.savez(path, allow_pickle=False, **head.arrays()))


def load_simple_head(folder: Path) -> SimpleHead:
    """Read back what `save_simple_head` wrote.

    Raises:
        RunError: If the file is missing or damaged.
    """
    try:
        with np.load(folder / SIMPLE_HEAD_FILE, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if "weights" in arrays:
            return LinearHead(arrays["weights"], arrays["bias"], bool(arrays.get("is_of_unit_length", False)))
        if "means" in arrays:
            return ClassMeansHead(arrays["means"], float(arrays["temperature"]))
        num_classes, num_neighbours = map(int, arrays["sizes"])
        return NeighboursHead(arrays["features"], arrays["labels"], num_classes, num_neighbours)
    except DAMAGE as error:
        raise RunError("The files of this simple head are missing or damaged. Train it again.") from error
