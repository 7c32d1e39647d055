"""Simple heads as layers of a Keras model: from features to probabilities."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from tlcore.model.classifier import PROBABILITIES
from tlcore.simple_heads.heads import SMALLEST_DISTANCE, ClassMeansHead, LinearHead, NeighboursHead, SimpleHead

# Shorter features count as nothing, and stay 0 as in the app.
SMALLEST_LENGTH = 1e-12


def head_answers(
    head: SimpleHead, features: keras.KerasTensor, temperature: float = 1.0
) -> tuple[keras.KerasTensor, float]:
    """Return the probabilities of a simple head, and what is left to do of a temperature.

    Weights lie in layers, never in the operations themselves: those would be written out as text in a `.keras` file.
    All formats know these operations, but the vote of neighbours cannot be made of 8-bit integers: rounded to a 256th,
    the distances of the nearest pictures are 0, and a vote is one divided by a distance.

    Args:
        head: From `load_simple_head`.
        features: float32 of shape `(batch, channels)`.
        temperature: That the probabilities shall be scaled with. A head with scores divides those by it, and 1 is left.
    """
    if isinstance(head, LinearHead):
        rows = _unit_length(features) if head.is_of_unit_length else features
        return _scores(rows, head.weights / temperature, head.bias / temperature), 1.0
    if isinstance(head, ClassMeansHead):
        weights = head.means.T / (head.temperature * temperature)
        return _scores(_unit_length(features), weights, np.zeros(len(head.means), np.float32)), 1.0
    if isinstance(head, NeighboursHead):
        return _votes(_unit_length(features), head), temperature
    raise ValueError(f"`head` must be a known kind of simple head. Received: head={type(head).__name__}")


def _unit_length(features: keras.KerasTensor) -> keras.KerasTensor:
    # Written so that LiteRT sees one operation in it, which divides by nothing when lengths are rounded to a 256th.
    squared_lengths = ops.sum(ops.square(features), axis=-1, keepdims=True)
    return features / ops.sqrt(ops.maximum(squared_lengths, SMALLEST_LENGTH**2))


def _scores(rows: keras.KerasTensor, weights: NDArray[np.floating], bias: NDArray[np.floating]) -> keras.KerasTensor:
    layer = keras.layers.Dense(len(bias), activation="softmax", name=PROBABILITIES)
    answers = layer(rows)
    layer.set_weights([weights, bias])
    return answers


def _votes(rows: keras.KerasTensor, head: NeighboursHead) -> keras.KerasTensor:
    similarity = keras.layers.Dense(len(head.labels), use_bias=False, name="similarity")
    similarities = similarity(rows)
    similarity.set_weights([head.features.T.astype(np.float32)])
    nearest, indices = ops.top_k(similarities, head.num_neighbours)
    classes = keras.layers.Embedding(len(head.labels), head.num_classes, name="classes")
    known = classes(indices)
    classes.set_weights([np.eye(head.num_classes, dtype=np.float32)[head.labels]])
    votes = 1.0 / ops.maximum(1.0 - nearest, SMALLEST_DISTANCE)
    shares = ops.sum(known * votes[..., np.newaxis], axis=1)
    return shares / ops.sum(votes, axis=1, keepdims=True)
