"""Pictures unlike anything that a model learned from: told by the distance to the nearest training pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlcore.dataset import Dataset
from tlcore.home import DataRoot
from tlcore.results.neighbours import Neighbours, even_share, read_vectors

FALSE_ALARMS = 0.05
"""The share of the validation pictures that lie beyond the limit."""
ENOUGH_VALIDATION = 40
"""With fewer validation pictures the limit rests on one or two of them."""
MIN_VALIDATION = 10
"""With fewer there is no limit."""
# More make the limit hardly better, by which one in a hundred goes astray, and each is compared with all training
# pictures.
MAX_VALIDATION = 500


@dataclass(frozen=True, slots=True, eq=False)
class Strangers:
    """Tells pictures that are unlike anything in training.

    Attributes:
        neighbours: The training pictures.
        limit: The largest strangeness that is still usual: 95 of 100 validation pictures have no more.
        judged_by: How many validation pictures said so.
    """

    neighbours: Neighbours
    limit: float
    judged_by: int

    def is_strange(self, vector: NDArray[np.float32]) -> bool:
        """Whether a picture is less like the training pictures than 95 in 100 validation pictures.

        Args:
            vector: Its features, of length 1, float32 of shape `(channels,)`.
        """
        return bool(self.neighbours.strangeness(vector[np.newaxis])[0] > self.limit)


def load_strangers(neighbours: Neighbours, dataset: Dataset, home: DataRoot) -> Strangers | None:
    """Find how strange validation pictures are, from the cache of features.

    Args:
        neighbours: The training pictures of a model.
        dataset: What the model learned from.
        home: The data root.

    Returns:
        `None` where there are too few validation pictures, or their features are not there.

    Source:
        Sun, Ming, Zhu and Li 2022, "Out-of-distribution detection with deep nearest neighbors",
        https://arxiv.org/abs/2204.06507: features of length 1, the distance to the nearest, and a limit that keeps 95 %
        of what is known; here with the mean distance to the five nearest instead of that to the k-th.
    """
    comparison = neighbours.comparison
    share = even_share(comparison, dataset.subset("validation"), MAX_VALIDATION)
    items, vectors = read_vectors(comparison, share, home)
    if len(items) < MIN_VALIDATION:
        return None
    return Strangers(neighbours, usual_limit(neighbours.strangeness(vectors)), len(items))


def usual_limit(scores: NDArray[np.float32]) -> float:
    """Return the smallest of some scores that 95 % of them do not exceed."""
    return float(np.quantile(scores, 1 - FALSE_ALARMS, method="inverted_cdf"))
