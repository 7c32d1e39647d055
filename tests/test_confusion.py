"""What a confusion matrix says, checked against scikit-learn, and an order in which look-alikes stand together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from tests.test_evaluation import an_evaluation, answers
from tlcore.results.confusion import ConfusionCell, alike_order, answered_in, confusion_cells, row_shares
from tlcore.results.evaluation import confusion_matrix

Matrix = NDArray[np.int64]


def test_row_shares_are_those_of_scikit_learn() -> None:
    evaluation = an_evaluation()
    expected = metrics.confusion_matrix(evaluation.y_true, evaluation.y_pred, labels=range(5), normalize="true")
    np.testing.assert_allclose(row_shares(confusion_matrix(evaluation)), expected)


def test_the_row_of_a_class_without_pictures_is_empty() -> None:
    assert row_shares(confusion_matrix(answers([0, 0, 1], [0, 2, 1], 3))).tolist() == [
        [0.5, 0, 0.5],
        [0, 1, 0],
        [0] * 3,
    ]


def test_cells_with_pictures_begin_with_the_most_frequent_mistake() -> None:
    matrix = np.array([[9, 1, 0], [3, 0, 2], [0, 0, 4]])
    assert confusion_cells(matrix) == (
        ConfusionCell(1, 0, 3),
        ConfusionCell(1, 2, 2),
        ConfusionCell(0, 1, 1),
        ConfusionCell(0, 0, 9),
        ConfusionCell(2, 2, 4),
    )


def test_every_picture_is_in_one_cell_and_the_telling_ones_come_first() -> None:
    evaluation = an_evaluation()
    cells = confusion_cells(confusion_matrix(evaluation))
    seen = []
    for cell in cells:
        found = answered_in(evaluation, cell.y_true, cell.y_pred)
        assert len(found) == cell.count
        assert {(one.y_true, one.y_pred) for one in found} == {(cell.y_true, cell.y_pred)}
        probabilities = [one.probability for one in found]
        assert probabilities == sorted(probabilities, reverse=cell.y_true != cell.y_pred)
        seen += [one.image for one in found]
    assert sorted(seen) == sorted(evaluation.images)


def planted(num_classes: int, group_size: int, seed: int = 0) -> tuple[Matrix, NDArray[np.int64]]:
    """Return a matrix in which classes of the same group are mixed up, and the group of each class."""
    generator = np.random.default_rng(seed)
    group_of = generator.permutation(np.arange(num_classes) // group_size)
    together = group_of[:, None] == group_of[None]
    matrix = np.where(together, generator.integers(3, 9, (num_classes, num_classes)), 0)
    matrix += (generator.random(matrix.shape) < 0.05) & ~together  # and a little noise between them
    np.fill_diagonal(matrix, 60)
    return matrix, group_of


def runs_of_groups(order: Sequence[int], group_of: NDArray[np.int64]) -> list[int]:
    """Return the groups in the order of their classes, once for each time that one begins."""
    return [int(group) for group, _ in itertools.groupby(group_of[list(order)])]


@pytest.mark.parametrize(("num_classes", "group_size"), [(6, 2), (10, 5), (37, 4), (100, 10)])
def test_planted_groups_of_look_alikes_stand_together(num_classes: int, group_size: int) -> None:
    matrix, group_of = planted(num_classes, group_size)
    order = alike_order(matrix)
    assert sorted(order) == list(range(num_classes))
    runs = runs_of_groups(order, group_of)
    assert len(runs) == len(set(group_of))
    assert alike_order(matrix) == order


def test_neighbours_of_a_chain_stand_beside_each_other() -> None:
    chain = np.random.default_rng(1).permutation(30)
    matrix = np.diag(np.full(30, 100))
    matrix[chain[:-1], chain[1:]] = np.arange(40, 11, -1)
    order = list(alike_order(matrix))
    assert order in (chain.tolist(), chain[::-1].tolist())


def test_without_mix_ups_the_order_stays_as_it_was() -> None:
    assert alike_order(np.diag([3, 0, 5, 1])) == (0, 1, 2, 3)
    assert alike_order(np.zeros((0, 0), np.int64)) == ()
    matrix = np.diag([9, 9, 9, 9, 9])
    matrix[1, 4] = 3
    assert alike_order(matrix) == (0, 1, 4, 2, 3)
