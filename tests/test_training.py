"""Training on cached features: the best epoch is kept, wishes are obeyed, an infinite loss is noticed."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.coloured_pictures import RecordingProgress
from tlcore.config import OPTIMIZERS, AugmentationConfig, TrainingConfig
from tlcore.errors import RunError
from tlcore.features.store import FeatureTable, LabelledFeatures
from tlcore.images.views import view_of_epoch
from tlcore.training import loop as training
from tlcore.training.batches import Batches
from tlcore.training.loop import TrainingResult, predict_features, train_suffix
from tlcore.training.steps import Steps, build_optimizer

FEATURES = 8
CONFIG = TrainingConfig(epochs=6, batch_size=10, learning_rate=0.05, patience=None)


def labelled(rows: np.ndarray, labels: np.ndarray) -> LabelledFeatures:
    places = np.array([(0, row) for row in range(len(rows))])
    return LabelledFeatures(FeatureTable([rows.astype(np.float16)], places), labels)


@pytest.fixture(scope="module")
def clusters() -> LabelledFeatures:
    """Three classes that a straight line tells apart, most of the time."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    return labelled(rng.normal(size=(3, FEATURES))[labels] * 2 + rng.normal(size=(60, FEATURES)), labels)


@pytest.fixture(scope="module")
def contrary(clusters: LabelledFeatures) -> LabelledFeatures:
    """The same features under other labels: the better the training, the worse this gets."""
    return LabelledFeatures(clusters.table, (clusters.labels + 1) % 3)


def new_suffix(dropout: float = 0.0) -> keras.Model:
    inputs = keras.Input((FEATURES,))
    x = keras.layers.Dropout(dropout, seed=3)(inputs)
    x = keras.layers.Dense(3, activation="softmax", kernel_initializer=keras.initializers.GlorotUniform(seed=3))(x)
    return keras.Model(inputs, x)


def fit(
    config: TrainingConfig,
    train: LabelledFeatures | Callable[[int], LabelledFeatures],
    validation: LabelledFeatures | None,
    *,
    suffix: keras.Model | None = None,
    progress: RecordingProgress | None = None,
) -> SimpleNamespace:
    suffix = suffix or new_suffix()
    progress = progress or RecordingProgress()
    source = train if callable(train) else lambda _: train
    result = train_suffix(suffix, source, validation, config, progress)
    epochs = [values for epoch, values in progress.curve if epoch == int(epoch)]
    return SimpleNamespace(result=result, kernel=suffix.layers[-1].get_weights()[0], epochs=epochs, suffix=suffix)


def test_training_learns(clusters: LabelledFeatures) -> None:
    run = fit(CONFIG, clusters, clusters)
    assert run.result.validation_accuracy > 0.9
    answers = predict_features(run.suffix, clusters.table)
    assert (answers.argmax(axis=1) == clusters.labels).mean() == pytest.approx(run.result.validation_accuracy)


def test_the_best_epoch_is_kept(clusters: LabelledFeatures, contrary: LabelledFeatures) -> None:
    run = fit(CONFIG, clusters, contrary)
    assert run.result == TrainingResult(1, 6, run.epochs[0]["val_accuracy"], stopped=False)
    np.testing.assert_array_equal(run.kernel, fit(replace(CONFIG, epochs=1), clusters, contrary).kernel)


@pytest.mark.parametrize(
    ("label_smoothing", "weights"), [(0.0, [1, 1, 1]), (0.3, [1, 1, 1]), (0.0, [0.5, 1, 2]), (0.1, [0.5, 1, 2])]
)
def test_steps_are_those_of_keras(clusters: LabelledFeatures, label_smoothing: float, weights: list[float]) -> None:
    ours, theirs = new_suffix(), new_suffix()
    steps = Steps(ours, build_optimizer(CONFIG), np.array(weights), label_smoothing)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)
    theirs.compile(build_optimizer(CONFIG), loss, weighted_metrics=[])
    for batch in np.split(np.random.default_rng(0).permutation(60), 4):
        rows, labels = clusters.table.take(batch), clusters.labels[batch]
        truth, sample_weight = np.eye(3)[labels], np.array(weights)[labels]
        answers = theirs(rows.astype(np.float32)).numpy()
        expected = sample_weight * keras.losses.categorical_crossentropy(
            truth, answers, label_smoothing=label_smoothing
        )
        losses, right = steps.learn(tf.constant(rows), tf.constant(labels))
        np.testing.assert_allclose(losses, expected, atol=1e-4)
        np.testing.assert_array_equal(right, answers.argmax(axis=1) == labels)
        theirs.train_on_batch(rows.astype(np.float32), truth, sample_weight=sample_weight)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_step_is_as_large_as_the_rate_that_was_set_last(clusters: LabelledFeatures) -> None:
    moves = []
    for rates in ((0.5,), (0.01,), (0.5, 0.02), (0.02, 0.01, 0.02)):
        suffix = new_suffix()
        before = suffix.layers[-1].get_weights()[0]
        steps = Steps(suffix, build_optimizer(replace(CONFIG, optimizer="sgd", learning_rate=0.5)), np.ones(3))
        for rate in rates:
            steps.set_learning_rate(rate)
        steps.learn(tf.constant(clusters.table.take(np.arange(60))), tf.constant(clusters.labels))
        moves.append((suffix.layers[-1].get_weights()[0] - before) / rates[-1])
    for move in moves[1:]:
        np.testing.assert_allclose(move, moves[0], rtol=1e-2, atol=1e-4)


def test_dropout_works_in_steps_and_not_in_answers(clusters: LabelledFeatures) -> None:
    records = tf.constant(clusters.table.take(np.arange(60))), tf.constant(clusters.labels)
    steps = Steps(new_suffix(dropout=0.5), build_optimizer(CONFIG), np.ones(3))
    steps.set_learning_rate(0.0)
    first, second = (steps.learn(*records)[0].numpy() for _ in range(2))
    assert not np.allclose(first, second)
    plain = Steps(new_suffix(), build_optimizer(CONFIG), np.ones(3)).answer(*records)[0]
    np.testing.assert_allclose(steps.answer(*records)[0], plain, rtol=1e-5)


def test_without_validation_the_training_loss_decides(clusters: LabelledFeatures) -> None:
    run = fit(CONFIG, clusters, None)
    assert run.result.best_epoch == 1 + int(np.argmin([values["loss"] for values in run.epochs]))
    assert run.result.validation_accuracy is None


def test_patience_ends_a_training_that_gets_no_better(clusters: LabelledFeatures, contrary: LabelledFeatures) -> None:
    result = fit(replace(CONFIG, epochs=20, patience=2), clusters, contrary).result
    assert (result.best_epoch, result.epochs, result.stopped) == (1, 3, False)


def test_a_wish_to_stop_in_the_middle_of_an_epoch_keeps_the_best_so_far(clusters: LabelledFeatures) -> None:
    # Each epoch looks 2 times for its phase, 6 times for its batches and once for its validation.
    run = fit(CONFIG, clusters, clusters, progress=RecordingProgress(stop_after=2 * 9 + 4))
    assert (run.result.stopped, run.result.epochs, run.result.best_epoch) == (True, 2, 2)
    np.testing.assert_array_equal(run.kernel, fit(replace(CONFIG, epochs=2), clusters, clusters).kernel)


def test_a_wish_to_stop_in_the_first_epoch_leaves_no_best_one(clusters: LabelledFeatures) -> None:
    result = fit(CONFIG, clusters, clusters, progress=RecordingProgress(stop_after=4)).result
    assert (result.stopped, result.epochs, result.best_epoch) == (True, 0, 0)


def test_an_infinite_loss_ends_the_training_at_once_with_the_best_epoch_before_it(
    clusters: LabelledFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "REPORT_SECONDS", 0.0)
    broken = LabelledFeatures(FeatureTable([np.full((60, FEATURES), np.inf)], clusters.table._places), clusters.labels)
    progress = RecordingProgress()
    run = fit(CONFIG, lambda epoch: clusters if epoch < 3 else broken, clusters, progress=progress)
    assert run.result.diverged
    assert max(epoch for epoch, _ in progress.curve) <= 3 + 1 / 6
    assert not run.result.stopped
    assert (run.result.best_epoch, run.result.epochs) == (3, 3)
    np.testing.assert_array_equal(run.kernel, fit(replace(CONFIG, epochs=3), clusters, clusters).kernel)


def test_a_loss_that_is_infinite_from_the_start_is_said_with_what_to_do(clusters: LabelledFeatures) -> None:
    huge = clusters.table.take(np.arange(60)).astype(np.float32) * 1e20
    steep = LabelledFeatures(FeatureTable([huge], clusters.table._places), clusters.labels)
    with pytest.raises(RunError, match="smaller learning rate"):
        fit(TrainingConfig(epochs=50, optimizer="sgd", learning_rate=10), steep, clusters)


def test_the_same_seed_makes_the_same_run_again(clusters: LabelledFeatures) -> None:
    first, second = (fit(CONFIG, clusters, clusters, suffix=new_suffix(dropout=0.5)) for _ in range(2))
    other = fit(replace(CONFIG, seed=1), clusters, clusters, suffix=new_suffix(dropout=0.5))
    assert first.epochs == second.epochs
    np.testing.assert_array_equal(first.kernel, second.kernel)
    assert first.epochs != other.epochs


def test_the_curve_has_whole_epochs_and_points_between(
    clusters: LabelledFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "REPORT_SECONDS", 0.0)
    progress = RecordingProgress()
    fit(replace(CONFIG, epochs=2), clusters, clusters, progress=progress)
    curve = progress.curve
    assert [round(epoch * 6) for epoch, _ in curve] == list(range(1, 13))
    for epoch, values in curve:
        whole = epoch == int(epoch)
        assert set(values) == {"loss", "accuracy"} | ({"val_loss", "val_accuracy"} if whole else set())
        assert all(type(value) is float for value in values.values())


def test_progress_counts_the_epochs(clusters: LabelledFeatures) -> None:
    progress = RecordingProgress()
    fit(replace(CONFIG, epochs=2), clusters, clusters, progress=progress)
    assert progress.phases == [("training", 0, 2), ("training", 1, 2), ("training", 1, 2), ("training", 2, 2)]


def test_each_epoch_asks_for_its_features_once_and_trains_on_them(clusters: LabelledFeatures) -> None:
    asked = []

    def train(epoch: int) -> LabelledFeatures:
        asked.append(epoch)
        return LabelledFeatures(clusters.table, np.full_like(clusters.labels, epoch % 3))

    epochs = fit(replace(CONFIG, epochs=3, learning_rate=1e-8), train, None).epochs
    assert asked == [0, 1, 2]
    # With weights that stand still the share of answers `c` is the accuracy of the epoch labelled `c` throughout.
    assert sum(values["accuracy"] for values in epochs) == pytest.approx(1.0, abs=1e-5)


def test_every_record_is_used_once_in_an_epoch_and_in_another_order_each_time(clusters: LabelledFeatures) -> None:
    batches = Batches(clusters, 25, np.random.default_rng(0))
    first, second = (np.concatenate([rows.numpy() for rows, _ in batches]) for _ in range(2))
    assert [len(labels) for _, labels in batches] == [25, 25, 10]
    everything = np.sort(clusters.table.take(np.arange(60)).astype(np.float32), axis=0)
    for rows in (first, second):
        np.testing.assert_array_equal(np.sort(rows, axis=0), everything)
    assert not np.array_equal(first, second)


@pytest.mark.filterwarnings("error")
def test_training_says_nothing_that_the_person_cannot_use(clusters: LabelledFeatures) -> None:
    fit(replace(CONFIG, epochs=1), clusters, clusters)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_can_be_built_with_its_learning_rate(name: str) -> None:
    optimizer = build_optimizer(TrainingConfig(optimizer=name, learning_rate=0.125))
    assert type(optimizer).__name__.lower() == name
    assert float(optimizer.learning_rate.numpy()) == 0.125
    if name == "sgd":
        assert optimizer.momentum == 0.9


# --- which view an epoch trains on

PICTURES = [f"{number:08x}" + 56 * "0" for number in range(7)]
TURNING = AugmentationConfig(rotation_range=20)


def views(
    config: TrainingConfig, augmentation: AugmentationConfig = TURNING, epochs: int = 6
) -> list[list[int | None]]:
    """Return the view of every epoch for each picture."""
    return [
        [view_of_epoch(picture, epoch, augmentation, config).view for epoch in range(epochs)] for picture in PICTURES
    ]


def test_epochs_walk_through_the_bank_of_views() -> None:
    for walk in views(TrainingConfig(views=3)):
        assert set(walk[:3]) == {0, 1, 2}
        assert walk[3:] == walk[:3]
        assert all(now != then for now, then in itertools.pairwise(walk))


def test_in_one_epoch_the_pictures_are_under_different_views() -> None:
    first_epoch = {walk[0] for walk in views(TrainingConfig(views=3))}
    assert first_epoch == {0, 1, 2}


def test_new_views_in_every_epoch_never_come_twice() -> None:
    for walk in views(TrainingConfig(views=3, new_views_every_epoch=True)):
        assert len(set(walk)) == len(walk)


def test_without_augmentation_there_is_only_the_plain_picture() -> None:
    for new_views in (False, True):
        config = TrainingConfig(views=3, new_views_every_epoch=new_views)
        assert {view for walk in views(config, AugmentationConfig()) for view in walk} == {None}
