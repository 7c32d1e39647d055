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

    Two classes are as alike as the mean of the shares in which each is taken for the other. The most alike are joined
    first, then groups by the mean over their pairs (average linkage), as long as any of their pictures are mixed up.
    Of all orders that keep each group together, it is the one in which neighbours are most alike in sum. Groups that
    nothing connects follow each other by their first class, so without mistakes the order stays as it was.

    Args:
        matrix: From `confusion_matrix`, of n classes; takes time in the order of n³.

    Returns:
        The index of every class once. The same for the same matrix.

    Source:
        Bar-Joseph, Gifford and Jaakkola 2001, "Fast optimal leaf ordering for hierarchical clustering",
        https://doi.org/10.1093/bioinformatics/17.suppl_1.S22.
    """
    shares = row_shares(matrix)
    alike = (shares + shares.T) / 2
    np.fill_diagonal(alike, 0)
    orders = [_best_order(group, alike) for group in _groups(alike)]
    return tuple(index for order in sorted(orders, key=min) for index in order)


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Classes that were joined; a single class has no parts."""

    members: tuple[int, ...]
    parts: tuple[_Group, _Group] | None = None


def _groups(alike: NDArray[np.float64]) -> list[_Group]:
    """Join the most alike until no two groups have anything in common; the first pair wins where several are equal."""
    groups: dict[int, _Group] = {index: _Group((index,)) for index in range(len(alike))}
    between = alike.copy()  # mean over the pairs of two groups, in the row and column of each group's first place
    while len(groups) > 1:
        first, second = divmod(int(between.argmax()), len(between))
        if between[first, second] <= 0:
            break
        joined, gone = groups[first], groups.pop(second)
        sizes = len(joined.members), len(gone.members)
        means = (sizes[0] * between[first] + sizes[1] * between[second]) / sum(sizes)
        between[first], between[:, first] = means, means
        between[second], between[:, second] = 0, 0
        between[first, first] = 0
        groups[first] = _Group(joined.members + gone.members, (joined, gone))
    return list(groups.values())


def _best_order(group: _Group, alike: NDArray[np.float64]) -> list[int]:
    """Return the members so that the sum over neighbours is the largest that the group's parts allow."""
    best = np.full(alike.shape, -np.inf)  # largest sum of the smallest group with both classes, when these are its ends
    np.fill_diagonal(best, 0)
    _fill_best(group, alike, best)
    members = np.array(group.members)
    ends = np.unravel_index(int(best[np.ix_(members, members)].argmax()), (len(members), len(members)))
    left, right = sorted(int(members[end]) for end in ends)
    return _order_between(group, left, right, alike, best)


def _fill_best(group: _Group, alike: NDArray[np.float64], best: NDArray[np.float64]) -> None:
    # Depth first and without recursion: a chain of 1,000 classes is as deep as Python allows.
    for part in reversed(_from_the_top(group)):
        if part.parts is None:
            continue
        for ours in _halves(part.parts[0]):
            for theirs in _halves(part.parts[1]):
                (outer, inner), (nearer, farther) = ours, theirs
                reached = _max_plus(best[np.ix_(outer, inner)], alike[np.ix_(inner, nearer)])
                sums = _max_plus(reached, best[np.ix_(nearer, farther)])
                best[np.ix_(outer, farther)] = sums
                best[np.ix_(farther, outer)] = sums.T


def _from_the_top(group: _Group) -> list[_Group]:
    """Return a group and all that it is made of, each before its parts."""
    found, waiting = [], [group]
    while waiting:
        part = waiting.pop()
        found.append(part)
        waiting += part.parts or ()
    return found


def _halves(group: _Group) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return which members can be at the two ends of a group, both ways round."""
    if group.parts is None:
        return [(group.members, group.members)]
    first, second = (part.members for part in group.parts)
    return [(first, second), (second, first)]


def _max_plus(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest `left[i, k] + right[k, j]` over all k."""
    result = np.full((left.shape[0], right.shape[1]), -np.inf)
    for k in range(left.shape[1]):
        np.maximum(result, left[:, k, None] + right[None, k], out=result)
    return result


def _order_between(
    group: _Group, left: int, right: int, alike: NDArray[np.float64], best: NDArray[np.float64]
) -> list[int]:
    """Return the best order of a group that begins and ends with two of its members."""
    order, waiting = [], [(group, left, right)]
    while waiting:
        part, left, right = waiting.pop()
        if part.parts is None:
            order.append(left)
            continue
        one, other = part.parts if left in part.parts[0].members else part.parts[::-1]
        inner = next(theirs for ours, theirs in _halves(one) if left in ours)
        nearer = next(theirs for ours, theirs in _halves(other) if right in ours)
        sums = best[left, list(inner)][:, None] + alike[np.ix_(inner, nearer)] + best[list(nearer), right][None]
        end, start = np.unravel_index(int(sums.argmax()), sums.shape)
        waiting += [(other, nearer[start], right), (one, left, inner[end])]  # the last one is looked at first
    return order
