"""What a confusion matrix says: its rows as shares, its cells, and an order in which look-alikes stand together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlcore.results.evaluation import Answered, Evaluation, answered_at


@dataclass(frozen=True, slots=True)
class ConfusionCell:
    """A cell of a confusion matrix that has pictures.

    Attributes:
        y_true: Index of the class that the pictures are: the row.
        y_pred: Index of the class that the model said: the column.
        count: How many pictures.
    """

    y_true: int
    y_pred: int
    count: int


def row_shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each cell as a share of its row.

    Args:
        matrix: From `confusion_matrix`.

    Returns:
        float64 of the same shape, in `[0, 1]`: each row adds up to 1, or is 0 where the class has no pictures.
    """
    totals = matrix.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    return shares


def confusion_cells(matrix: NDArray[np.int64]) -> tuple[ConfusionCell, ...]:
    """Return the cells that have pictures: first mistakes, the most frequent on top, then the right answers."""
    found = [ConfusionCell(row, column, int(matrix[row, column])) for row, column in np.argwhere(matrix).tolist()]
    return tuple(sorted(found, key=lambda cell: 0 if cell.y_true == cell.y_pred else -cell.count))


def answered_in(evaluation: Evaluation, y_true: int, y_pred: int) -> tuple[Answered, ...]:
    """Return the pictures of a cell: of mistakes the surest first, of right answers the least sure first."""
    found = answered_at(evaluation, (evaluation.y_true == y_true) & (evaluation.y_pred == y_pred))
    sign = 1 if y_true == y_pred else -1
    return tuple(sorted(found, key=lambda answered: sign * answered.probability))


def alike_order(matrix: NDArray[np.int64]) -> tuple[int, ...]:
    """Return the classes in an order in which those that are taken for each other stand together.

    Two classes are as alike as the mean of the shares in which each is taken for the other. Classes that nothing
    connects follow each other by their first class, so without mistakes the order stays as it was. Those that are
    connected are clustered (average linkage) and put into the order in which neighbours are most alike.

    Args:
        matrix: From `confusion_matrix`.

    Returns:
        The index of every class once. The same for the same matrix.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial.distance import squareform

    shares = row_shares(matrix)
    alike = (shares + shares.T) / 2
    np.fill_diagonal(alike, 1)
    order: list[int] = []
    number, part_of = connected_components(alike > 0, directed=False) if len(alike) else (0, np.zeros(0))
    for part in range(number):
        members = np.flatnonzero(part_of == part)
        if len(members) > 1:
            distances = squareform(1 - alike[np.ix_(members, members)], checks=False)
            members = members[leaves_list(linkage(distances, "average", optimal_ordering=True))]
        order += members.tolist()
    return tuple(order)
