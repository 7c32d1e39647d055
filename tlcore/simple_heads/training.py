"""Training of simple heads on pooled features: logistic regression, nearest neighbours, linear SVM, class means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlcore.errors import DatasetError
from tlcore.features.pooled import unit_length
from tlcore.simple_heads.heads import ClassMeansHead, LinearHead, NeighboursHead, SimpleHead, softmax
from tlcore.storage.requests import SimpleHeadKind

NUM_NEIGHBOURS = 5
# Inverse strengths of the L2 penalty, whatever the number of pictures: the penalty says what weights are likely before
# any picture was seen. Chosen together with the scaling over random splits of five sets (photos of 2 and of 17 classes,
# tiny pictures, digits, medical scans) with 3, 5, 10, 20 and all pictures of a class.
LOGISTIC_REGRESSION_STRENGTH = 0.05
LINEAR_SVM_STRENGTH = 0.001
# Further steps take three times as long and change the answers in the third decimal.
LOGISTIC_REGRESSION_TOLERANCE = 1e-2
LINEAR_SVM_TOLERANCE = 0.1
MAX_STEPS = 300
# A channel with a smaller part of the largest variance is as good as the same in all pictures.
LEAST_VARIANCE = 1e-6
CALIBRATION_PARTS = 4
ENOUGH_CALIBRATION = 1000
# Of two or three pictures, means without one say too little to find a temperature; this one keeps answers apart.
LARGEST_MEANS_TEMPERATURE = 0.1
TEMPERATURES = np.geomspace(0.01, 10, 100)


@dataclass(frozen=True, slots=True)
class SimpleHeadSpec:
    """A kind of simple head.

    Attributes:
        kind: Its name.
        title: What the field calls it.
        sentence: What it does, in plain words.
        train: Takes float features of shape `(pictures, channels)`, int64 classes of shape `(pictures,)` and the
            number of classes; returns the trained head.
        min_pictures: Training pictures of each class that it needs.
    """

    kind: SimpleHeadKind
    title: str
    sentence: str
    train: Callable[[NDArray[np.generic], NDArray[np.int64], int], SimpleHead]
    min_pictures: int = 1


def train_logistic_regression(features: NDArray[np.generic], labels: NDArray[np.int64], num_classes: int) -> LinearHead:
    """Fit the probabilities directly: softmax of weighted sums with the smallest log loss and an L2 penalty.

    Args:
        features: Float of shape `(pictures, channels)`.
        labels: int64 of shape `(pictures,)`; every class must be there.
        num_classes: Number of classes.
    """
    from sklearn.linear_model import LogisticRegression

    _check_labels(labels, num_classes)
    scaled, mean, divisor = scaled_features(features)
    model = LogisticRegression(
        C=LOGISTIC_REGRESSION_STRENGTH, tol=LOGISTIC_REGRESSION_TOLERANCE, max_iter=MAX_STEPS
    ).fit(scaled, labels)
    return _linear_head(model.coef_, model.intercept_, mean, divisor)


def train_linear_svm(features: NDArray[np.generic], labels: NDArray[np.int64], num_classes: int) -> LinearHead:
    """Fit one line per class that keeps it apart from the rest with the widest margin, then find its probabilities.

    A support vector machine has scores, not probabilities. The softmax of the scores, divided by one temperature,
    makes them such; the temperature is the one with the smallest log loss when each quarter of the pictures is
    answered by a machine that learned from the other three; of many pictures one quarter is enough. It leaves every
    answer as it is.

    Args:
        features: Float of shape `(pictures, channels)`.
        labels: int64 of shape `(pictures,)`; at least two of every class.
        num_classes: Number of classes.

    Source:
        Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural networks",
        https://arxiv.org/abs/1706.04599, section 4.2 (temperature scaling).
    """
    from sklearn.model_selection import StratifiedKFold
    from sklearn.svm import LinearSVC

    _check_labels(labels, num_classes, at_least=2)
    scaled, mean, divisor = scaled_features(features)
    # The dual problem is the smaller one: there are about as many pictures as channels.
    machine = LinearSVC(C=LINEAR_SVM_STRENGTH, tol=LINEAR_SVM_TOLERANCE, dual=True, random_state=0)
    parts = StratifiedKFold(min(CALIBRATION_PARTS, int(np.bincount(labels).min())), shuffle=True, random_state=0)
    scores, truth = np.zeros((0, num_classes)), np.zeros(0, np.int64)
    for seen, unseen in parts.split(scaled, labels):
        if len(truth) < ENOUGH_CALIBRATION:
            answers = machine.fit(scaled[seen], labels[seen]).decision_function(scaled[unseen])
            scores = np.concatenate([scores, answers if num_classes > 2 else _both_sides(answers)])
            truth = np.concatenate([truth, labels[unseen]])
    temperature = best_temperature(scores, truth)
    machine.fit(scaled, labels)
    return _linear_head(machine.coef_ / temperature, machine.intercept_ / temperature, mean, divisor)


def train_nearest_neighbours(
    features: NDArray[np.generic], labels: NDArray[np.int64], num_classes: int
) -> NeighboursHead:
    """Keep the training pictures; the five most alike will vote.

    Args:
        features: Float of shape `(pictures, channels)`.
        labels: int64 of shape `(pictures,)`.
        num_classes: Number of classes.
    """
    kept = unit_length(features).astype(np.float16)
    return NeighboursHead(kept, labels, num_classes, min(NUM_NEIGHBOURS, len(labels)))


def train_class_means(features: NDArray[np.generic], labels: NDArray[np.int64], num_classes: int) -> ClassMeansHead:
    """Take the mean of each class; the temperature has the smallest log loss when each picture is left out in turn.

    Args:
        features: Float of shape `(pictures, channels)`.
        labels: int64 of shape `(pictures,)`; at least two of every class.
        num_classes: Number of classes.

    Source:
        Snell, Swersky and Zemel 2017, "Prototypical networks for few-shot learning",
        https://arxiv.org/abs/1703.05175, with cosine similarity.
    """
    similarities = left_out_similarities(features, labels, num_classes)
    sums = _class_sums(unit_length(features), labels, num_classes)
    temperature = min(LARGEST_MEANS_TEMPERATURE, best_temperature(similarities, labels))
    return ClassMeansHead(unit_length(sums), temperature)


def left_out_similarities(
    features: NDArray[np.generic],
    labels: NDArray[np.int64],
    num_classes: int,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Return how alike each picture is to each class mean that was made without it.

    Its largest value names the class that `train_class_means` would answer if it had never seen the picture.

    Args:
        features: As of `train_class_means`.
        labels: As of `train_class_means`.
        num_classes: Number of classes.
        groups: What belongs together and is left out together, int64 of shape `(pictures,)`, from 0; each picture is
            a group of its own when not given.

    Returns:
        Cosine similarities in `[-1, 1]`, float64 of shape `(pictures, classes)`; 0 to a class of which all is left out.
    """
    _check_labels(labels, num_classes, at_least=2)
    pictures = unit_length(features)
    sums = _class_sums(pictures, labels, num_classes)
    groups = np.arange(len(labels)) if groups is None else groups
    cells, inverse = np.unique(np.stack([groups, labels]), axis=1, return_inverse=True)
    members = _class_sums(pictures, inverse.ravel(), cells.shape[1])
    sizes, left_out = np.bincount(labels, minlength=num_classes), np.bincount(inverse.ravel())
    similarities = (pictures @ unit_length(sums).T).astype(np.float64)
    for cell, (group, label) in enumerate(cells.T):
        others = sums[label] - members[cell] if left_out[cell] < sizes[label] else np.zeros_like(sums[label])
        rows = np.flatnonzero(groups == group)
        similarities[rows, label] = pictures[rows] @ unit_length(others[None])[0]
    return similarities


SIMPLE_HEADS: tuple[SimpleHeadSpec, ...] = (
    SimpleHeadSpec(
        "logistic_regression",
        "Logistic regression",
        "Weighs every feature for every class, as the smallest head of a network does, and finds the best weights.",
        train_logistic_regression,
    ),
    SimpleHeadSpec(
        "nearest_neighbours",
        "k nearest neighbours",
        f"Learns nothing: it remembers all training pictures, and the {NUM_NEIGHBOURS} most alike vote.",
        train_nearest_neighbours,
    ),
    SimpleHeadSpec(
        "linear_svm",
        "Linear SVM",
        "Draws a line between each class and the rest, with the widest margin it can get (support vector machine).",
        train_linear_svm,
        min_pictures=2,
    ),
)


def find_simple_head_spec(kind: str) -> SimpleHeadSpec:
    """Return the row of a kind of simple head.

    Raises:
        ValueError: If there is none.
    """
    for spec in SIMPLE_HEADS:
        if spec.kind == kind:
            return spec
    raise ValueError(f"`kind` must be one of {', '.join(spec.kind for spec in SIMPLE_HEADS)}. Received: kind={kind!r}")


def scaled_features(
    features: NDArray[np.generic],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return what linear heads learn from, and what was taken away and divided by.

    Each picture's features are scaled to length 1, so that a picture with strong contrast does not outweigh the
    others. Then each channel's mean is taken away, and it is divided by the root of its variance plus the median
    variance of all channels. Dividing by the deviation alone would blow up channels that hardly move in a few
    training pictures, and then move in a new one.

    Args:
        features: Float of shape `(pictures, channels)`.

    Returns:
        float32 of shape `(pictures, channels)`, and two float32 of shape `(channels,)`.
    """
    rows = unit_length(features)
    mean, variance = rows.mean(axis=0), rows.var(axis=0)
    moving = variance[variance > LEAST_VARIANCE * variance.max()]
    divisor = np.sqrt(variance + (np.median(moving) if len(moving) else 1))
    return (rows - mean) / divisor, mean, divisor


def best_temperature(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the temperature at which the softmax of scores has the smallest log loss.

    Of a few pictures all may be right by luck, and no temperature would be too small. So each counts as wrong in one
    of `pictures + 2` parts, as if one right and one wrong answer had been seen before.

    Args:
        scores: Of pictures that were not learned from, shape `(pictures, classes)`.
        labels: int64 of shape `(pictures,)`.

    Source:
        J. Platt, Probabilistic outputs for support vector machines, 1999, section 2.2.
    """
    wrong = 1 / (len(labels) + 2)
    truth = np.full(scores.shape, wrong / (scores.shape[1] - 1))
    truth[np.arange(len(labels)), labels] = 1 - wrong
    losses = [-(truth * np.log(softmax(scores / one) + 1e-9)).sum(axis=1).mean() for one in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _check_labels(labels: NDArray[np.int64], num_classes: int, at_least: int = 1) -> None:
    if np.bincount(labels, minlength=num_classes).min() < at_least:
        pictures = "picture" if at_least == 1 else "pictures"
        raise DatasetError(f"Every class needs at least {at_least} training {pictures} for this. Add some on Data.")


def _linear_head(
    coefficients: NDArray[np.float64],
    intercepts: NDArray[np.float64],
    mean: NDArray[np.float32],
    divisor: NDArray[np.float32],
) -> LinearHead:
    """Fold the scaling of the features into the weights."""
    if len(coefficients) == 1:  # scikit-learn has one row for two classes: the score of the second
        coefficients, intercepts = _both_sides(coefficients[0]).T, _both_sides(intercepts)[0]
    weights = coefficients / divisor
    return LinearHead(weights.T.astype(np.float32), (intercepts - weights @ mean).astype(np.float32))


def _both_sides(second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return scores of two classes of shape `(n, 2)` whose difference is the score of the second."""
    return np.stack([-second / 2, second / 2], axis=1)


def _class_sums(pictures: NDArray[np.float32], labels: NDArray[np.int64], num_classes: int) -> NDArray[np.float32]:
    sums = np.zeros((num_classes, pictures.shape[1]), np.float32)
    np.add.at(sums, labels, pictures)
    return sums
