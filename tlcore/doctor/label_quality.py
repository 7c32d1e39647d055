"""Pictures that look mislabelled: what a classifier says that had not learned from them, and when to believe it."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tlcore.simple_heads.training import train_logistic_regression

FOLDS = 5
# On four sets of photographs and digits with 5 % of the labels swapped, no more than 13 % of what is reported at this
# limit was not swapped; without one up to 29 %, and hardly more was found. Where the classifier itself is often wrong
# it is about a half instead of three quarters.
MOST_PROBABLE = 0.05


def out_of_fold_twice(
    features: NDArray[np.generic],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    num_classes: int,
    on_fold: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float32]:
    """Return `out_of_fold_probabilities` of a second turn that learns only from what the first one agreed with.

    Wrong labels mislead the classifier that is to find them, those in small sets most.
    """
    first = out_of_fold_probabilities(
        features, labels, groups, num_classes, on_fold=lambda done, folds: on_fold(done, 2 * folds)
    )
    agreed = np.isnan(first).any(axis=1) | (first.argmax(axis=1) == labels)
    return out_of_fold_probabilities(
        features,
        labels,
        groups,
        num_classes,
        trusted=agreed,
        on_fold=lambda done, folds: on_fold(folds + done, 2 * folds),
    )


def out_of_fold_probabilities(
    features: NDArray[np.generic],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    num_classes: int,
    *,
    trusted: NDArray[np.bool_] | None = None,
    seed: int = 0,
    on_fold: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float32]:
    """Return what a logistic regression answers to each picture when it learned from the others.

    Args:
        features: Float of shape `(pictures, channels)`, from a frozen backbone with average pooling.
        labels: int64 of shape `(pictures,)`, positions among the classes.
        groups: What belongs together and is left out together, int64 of shape `(pictures,)`.
        num_classes: Number of classes.
        trusted: Which pictures are learned from, bool of shape `(pictures,)`; all when not given.
        seed: Another seed makes other folds.
        on_fold: Called with the number of folds done and of all; it may raise.

    Returns:
        float32 of shape `(pictures, classes)`; each row adds up to 1, or is NaN where nothing was left to know the
        picture's class by.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    probabilities = np.full((len(labels), num_classes), np.nan, np.float32)
    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2:
        return probabilities
    trusted = np.ones(len(labels), bool) if trusted is None else trusted
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class of fewer pictures than folds is in some folds only, which is what is wanted.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        parts = list(splitter.split(features, _stratified(labels, folds), groups))
    for done, (seen, unseen) in enumerate(parts):
        on_fold(done, folds)
        seen = seen[trusted[seen]]
        present, learned = np.unique(labels[seen], return_inverse=True)
        asked = unseen[np.isin(labels[unseen], present)]
        if len(present) < 2 or not len(asked):
            continue
        head = train_logistic_regression(features[seen], learned.astype(np.int64), len(present))
        answers = np.zeros((len(asked), num_classes), np.float32)
        answers[:, present] = head.probabilities(features[asked])
        probabilities[asked] = answers
    on_fold(folds, folds)
    return probabilities


def _stratified(labels: NDArray[np.int64], folds: int) -> NDArray[np.int64]:
    """Return what to stratify by: the classes, or nothing where all are so small that no fold could be."""
    return labels if np.bincount(labels).max() >= folds else np.zeros_like(labels)


def confident_classes(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the class in which each picture probably belongs: its own, unless that is improbable and another fits.

    A class claims a picture when it is at least as probable as it is, in the mean, for the pictures that have this
    class. So a class that a classifier is seldom sure of needs less to claim one, and a class that it is always sure
    of needs more. Of several the most probable one counts.

    Args:
        probabilities: Of pictures that were not learned from, float of shape `(pictures, classes)`; NaN for those that
            could not be judged.
        labels: int64 of shape `(pictures,)`.

    Returns:
        int64 of shape `(pictures,)`.

    Source:
        Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty in dataset labels",
        https://arxiv.org/abs/1911.00068, section 3.1: the off-diagonal of the confident joint. Their own package,
        cleanlab, is under the AGPL, so it can be no part of this one.
    """
    judged = np.isfinite(probabilities).all(axis=1)
    num_classes = probabilities.shape[1]
    own = np.where(judged, probabilities[np.arange(len(labels)), labels], 0)
    sizes = np.bincount(labels[judged], minlength=num_classes)
    sums = np.bincount(labels, weights=own, minlength=num_classes)
    # Nothing is claimed for a class of which nothing is known.
    thresholds = np.divide(sums, sizes, out=np.full(num_classes, np.inf), where=sizes > 0)
    claims = np.where(np.expand_dims(judged, 1) & (probabilities >= thresholds), probabilities, -1)
    is_claimed = (claims.max(axis=1) >= 0) & (own < MOST_PROBABLE)
    return np.where(is_claimed, claims.argmax(axis=1), labels)
