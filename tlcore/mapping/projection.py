"""From features to places on a plane: principal components at once, t-SNE with patience."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

COMPONENTS = 50
"""t-SNE works on so many principal components, which takes out noise and most of the time.

Source:
    van der Maaten and Hinton 2008, "Visualizing data using t-SNE", section 4.2: 30 of them; scikit-learn's guide: 50.
"""
PERPLEXITY = 30.0
ITERATIONS = 1000
FEWEST_POINTS = 5
"""With fewer there are no neighbourhoods that t-SNE could keep."""

_ITERATION = re.compile(r"Iteration (\d+)")


def principal_components(features: NDArray[np.generic], number: int) -> tuple[NDArray[np.float32], float]:
    """Return the coordinates of pictures along the directions in which they differ most.

    Args:
        features: Float of shape `(pictures, channels)`.
        number: How many directions; fewer where pictures or channels are fewer.

    Returns:
        float32 of shape `(pictures, number)`, each column with a mean of 0 and the first with the largest variance,
        and the share of all variance that these hold, in `[0, 1]`.
    """
    from sklearn.decomposition import PCA

    number = min(number, *features.shape)
    rows = features.astype(np.float32)
    if not number or not np.ptp(rows, axis=0).any():  # one picture, or all alike: there is no direction
        return np.zeros((len(rows), number), np.float32), 0.0
    # Randomized: a second for 5,000 pictures, a sixth of what the exact way takes, and equal in four digits.
    found = PCA(number, svd_solver="randomized", random_state=0)
    return found.fit_transform(rows).astype(np.float32), float(found.explained_variance_ratio_.sum())


def neighbour_embedding(
    features: NDArray[np.generic], on_iteration: Callable[[int, int], object] = lambda done, total: None
) -> NDArray[np.float32]:
    """Return places on a plane where pictures that are alike are neighbours (t-SNE).

    Args:
        features: Float of shape `(pictures, channels)`.
        on_iteration: Called with the number of iterations done and of all, every second or so; what it raises ends
            the work.

    Returns:
        float32 of shape `(pictures, 2)`. Very few pictures, or such that are all alike, are placed by their principal
        components.
    """
    rows, _ = principal_components(features, COMPONENTS)
    if len(rows) < FEWEST_POINTS or not rows.any() or rows.shape[1] < 2:
        return plane(rows)
    from sklearn.manifold import TSNE

    # It is told to speak, since it takes no callback: its words come here and not to the terminal.
    with contextlib.redirect_stdout(_Listener(lambda done: on_iteration(done, ITERATIONS))):
        found = TSNE(
            init="pca",
            perplexity=min(PERPLEXITY, (len(rows) - 1) / 3),
            max_iter=ITERATIONS,
            random_state=0,
            verbose=2,
        ).fit_transform(rows)
    return np.asarray(found, np.float32)


def plane(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the first two columns, of shape `(pictures, 2)`; zeros where there are fewer."""
    return np.pad(rows[:, :2], ((0, 0), (0, max(0, 2 - rows.shape[1]))))


class _Listener(io.TextIOBase):
    """Takes what is printed, and passes on at which iteration it is; anything else as the one before."""

    def __init__(self, on_iteration: Callable[[int], object]) -> None:
        self._on_iteration = on_iteration
        self._done = 0

    def write(self, text: str) -> int:
        if found := _ITERATION.search(text):
            self._done = int(found[1])
        self._on_iteration(self._done)
        return len(text)
