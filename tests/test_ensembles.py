"""Groups of runs: averaged answers, fitted weights, and what is kept of them."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa
from scipy.optimize import minimize
from sklearn import metrics

from tlcore.errors import NotFoundError, RunError
from tlcore.home import DataRoot
from tlcore.results.ensembles import (
    ensemble_evaluation,
    ensemble_predictor,
    equal_weights,
    fit_weights,
)
from tlcore.results.evaluation import Evaluation
from tlcore.storage.database import open_database
from tlcore.storage.deletion import delete_project
from tlcore.storage.ensembles import EnsembleConfig, create_ensemble, delete_ensemble, list_ensembles
from tlcore.storage.projects import create_project

NAMES = ("cat", "dog", "fish")
PAIR = EnsembleConfig(("a", "b"), (0.5, 0.5))


def answers(skill: float, seed: int, total: int = 300) -> Evaluation:
    """Return answers to the same pictures, the better the larger `skill` is; another seed errs elsewhere."""
    y_true = np.random.default_rng(0).integers(0, len(NAMES), total)
    scores = np.random.default_rng(seed).normal(size=(total, len(NAMES))) + skill * np.eye(len(NAMES))[y_true]
    powers = np.exp(scores)
    images = tuple(f"{number:064x}" for number in range(total))
    return Evaluation(NAMES, images, y_true, (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32))


class Always:
    """A member that always gives the same answer."""

    class_names = ("cat", "dog")
    class_colors = (4, 2)
    grey_range = (0.0, 4095.0)

    def __init__(self, *probabilities: float, image_size: int = 64) -> None:
        self.image_size = image_size
        self.asked = 0
        self._row = probabilities

    def predict(self, images: list[np.ndarray]) -> np.ndarray:
        self.asked += 1
        return np.array([self._row] * len(images), np.float32).reshape(len(images), 2)


def test_a_group_answers_the_weighted_average() -> None:
    first, second = answers(1.5, 1), answers(1.5, 2)
    group = ensemble_evaluation([first, second], [0.25, 0.75])
    np.testing.assert_allclose(group.probabilities, 0.25 * first.probabilities + 0.75 * second.probabilities, atol=1e-6)
    np.testing.assert_allclose(group.probabilities.sum(axis=1), 1, atol=1e-6)
    assert group.images == first.images
    assert group.class_names == NAMES


def test_members_that_err_elsewhere_are_better_together() -> None:
    assert equal_weights(3) == (1 / 3, 1 / 3, 1 / 3)
    members = [answers(1.5, seed) for seed in (1, 2, 3)]
    group = ensemble_evaluation(members, equal_weights(3))
    assert group.correct > max(member.correct for member in members)


@pytest.mark.parametrize("change", ["pictures", "classes", "truth"])
def test_runs_on_different_pictures_are_no_group(change: str) -> None:
    one = answers(1, 1)
    other = {
        "pictures": Evaluation(NAMES, one.images[::-1], one.y_true, one.probabilities),
        "classes": Evaluation(("cat", "dog", "bird"), one.images, one.y_true, one.probabilities),
        "truth": Evaluation(NAMES, one.images, (one.y_true + 1) % 3, one.probabilities),
    }[change]
    with pytest.raises(RunError, match="different pictures"):
        ensemble_evaluation([one, other], [0.5, 0.5])
    with pytest.raises(RunError, match="different pictures"):
        fit_weights([one, other])


def log_loss(one: Evaluation) -> float:
    probabilities = one.probabilities.astype(float)
    return float(metrics.log_loss(one.y_true, probabilities / probabilities.sum(axis=1, keepdims=True)))


def test_fitted_weights_have_the_smallest_log_loss() -> None:
    members = [answers(0.3, 1), answers(2.0, 2), answers(1.5, 3)]
    weights = fit_weights(members)
    assert min(weights) >= 0
    assert sum(weights) == pytest.approx(1)

    def loss(free: np.ndarray) -> float:
        shares = np.exp(free) / np.exp(free).sum()
        return log_loss(ensemble_evaluation(members, shares))

    reference = minimize(loss, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9})
    assert log_loss(ensemble_evaluation(members, weights)) <= reference.fun + 1e-4
    assert weights[1] == max(weights)
    assert log_loss(ensemble_evaluation(members, weights)) < log_loss(ensemble_evaluation(members, equal_weights(3)))


def test_fitted_weights_of_members_that_are_worth_about_the_same() -> None:
    members = [answers(1.5, 1), answers(1.4, 2), answers(1.5, 3)]
    weights = fit_weights(members)
    assert min(weights) > 0.1
    assert sum(weights) == pytest.approx(1)
    best = log_loss(ensemble_evaluation(members, weights))
    for change in np.eye(3) - 1 / 3:
        for step in (0.03, -0.03):
            assert log_loss(ensemble_evaluation(members, weights + step * change)) > best


def test_a_member_that_only_guesses_gets_no_weight() -> None:
    good = answers(3, 1)
    wrong = Evaluation(NAMES, good.images, good.y_true, np.roll(good.probabilities, 1, axis=1))
    assert fit_weights([good, wrong]) == (1.0, 0.0)


def test_without_validation_pictures_no_weights_are_fitted() -> None:
    empty = Evaluation(NAMES, (), np.zeros(0, np.int64), np.zeros((0, 3), np.float32))
    with pytest.raises(RunError, match="no validation pictures"):
        fit_weights([empty, empty])


def test_the_predictor_of_a_group_averages_and_skips_who_counts_nothing() -> None:
    members = [Always(1, 0), Always(0, 1, image_size=96), Always(0, 1, image_size=224)]
    group = ensemble_predictor(members, (0.25, 0.75, 0.0))
    pictures = [np.zeros((8, 8, 3), np.uint8)] * 2
    np.testing.assert_allclose(group.predict(pictures), [[0.25, 0.75]] * 2)
    assert [member.asked for member in members] == [1, 1, 0]
    assert (group.class_names, group.class_colors, group.image_size) == (("cat", "dog"), (4, 2), 96)
    assert group.grey_range == (0.0, 4095.0)
    assert group.predict([]).shape == (0, 2)


def test_models_of_other_classes_are_no_group() -> None:
    other = Always(1, 0)
    other.class_names = ("cat", "cow")
    with pytest.raises(RunError, match="different classes"):
        ensemble_predictor([Always(1, 0), other], (0.5, 0.5))


@pytest.mark.parametrize(
    ("run_ids", "weights"),
    [
        (("a",), (1.0,)),
        (("a", "a"), (0.5, 0.5)),
        (tuple("abcdef"), (1 / 6,) * 6),
        (("a", "b"), (1.0,)),
        (("a", "b"), (1.5, -0.5)),
        (("a", "b"), (0.5, 0.4)),
    ],
)
def test_a_group_that_makes_no_sense_is_refused(run_ids: tuple[str, ...], weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="Received"):
        EnsembleConfig(run_ids, weights)


def keep(engine: sa.Engine, project_id: str, name: str = "Best two", config: EnsembleConfig = PAIR) -> str:
    return create_ensemble(engine, project_id, name, 3, config, test_correct=8, test_total=10)


def test_a_group_is_kept_once_and_deleted_without_its_runs(home: DataRoot) -> None:
    engine = open_database(home)
    project_id, other_id = (create_project(engine, "ann", name).id for name in ("Cats", "Dogs"))
    group_id = keep(engine, project_id)
    assert "." in group_id
    assert keep(engine, project_id) == group_id
    other = keep(engine, project_id, "Another\tname", EnsembleConfig(("a", "b"), (0.9, 0.1), "validation"))
    keep(engine, other_id)
    newest, oldest = list_ensembles(open_database(home), project_id)
    assert (newest.id, newest.name, newest.config.weighting) == (other, "Another name", "validation")
    assert (oldest.id, oldest.config, oldest.version, oldest.test_correct, oldest.test_total) == (
        group_id,
        PAIR,
        3,
        8,
        10,
    )
    delete_ensemble(engine, other)
    assert [one.id for one in list_ensembles(engine, project_id)] == [group_id]


def test_groups_go_with_their_project(home: DataRoot) -> None:
    engine = open_database(home)
    project = create_project(engine, "ann", "Cats")
    keep(engine, project.id)
    delete_project(engine, project.id, home)
    assert list_ensembles(engine, project.id) == []
    with pytest.raises(NotFoundError, match="deleted"):
        keep(engine, project.id)
