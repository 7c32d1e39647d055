"""Schedules, balance, smoothing, penalties and the second phase: each does to the numbers what it says."""

import functools
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.metrics import log_loss

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tlcore.config import RANDOM, FineTuningConfig, HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.errors import RunError
from tlcore.features.store import FeatureTable, LabelledFeatures
from tlcore.home import DataRoot
from tlcore.intake.pictures.decoding import pixels_of
from tlcore.model.classifier import build_classifier, cut_model
from tlcore.model.cut import plan_model
from tlcore.progress import StopRequested
from tlcore.results.evaluation import load_evaluation
from tlcore.results.prediction import load_predictor
from tlcore.storage.images import ImageStore
from tlcore.training import steps
from tlcore.training.batches import balanced_order
from tlcore.training.loop import train_suffix
from tlcore.training.run import train_classifier
from tlcore.training.schedules import learning_rate_at
from tlcore.training.steps import class_weights

RANDOM_MODEL = ModelConfig(image_size=64, weights=RANDOM)
TUNED = RunConfig(
    model=ModelConfig(image_size=64),
    training=TrainingConfig(
        epochs=3,
        batch_size=8,
        learning_rate=0.01,
        patience=None,
        fine_tuning=FineTuningConfig("block7a", epochs=2, learning_rate=1e-7),
    ),
)


def rates(config: TrainingConfig) -> list[float]:
    return [learning_rate_at(epoch, config) / config.learning_rate for epoch in range(config.epochs)]


def test_a_constant_rate_stays_and_steps_are_tenths() -> None:
    assert rates(TrainingConfig(epochs=6)) == [1.0] * 6
    assert rates(TrainingConfig(epochs=6, schedule="step")) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_falls_smoothly_to_nothing() -> None:
    config = TrainingConfig(epochs=10, schedule="cosine")
    assert rates(config)[0] == 1.0
    assert rates(config) == sorted(rates(config), reverse=True)
    assert learning_rate_at(5, config) == pytest.approx(config.learning_rate / 2)
    assert learning_rate_at(10, config) == pytest.approx(0)


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
def test_warm_up_grows_to_the_full_rate_before_the_schedule_begins(schedule: str) -> None:
    config = TrainingConfig(epochs=12, warmup_epochs=3, schedule=schedule)  # type: ignore[arg-type]
    warm = [learning_rate_at(epoch / 4, config) for epoch in range(12)]
    assert warm == sorted(warm)
    assert 0 < warm[0] < 0.05 * config.learning_rate
    assert learning_rate_at(3, config) == config.learning_rate


@pytest.mark.parametrize(("epochs", "warmup"), [(12, 3), (4, 3), (1, 0), (10, 0)])
def test_what_is_left_after_the_warm_up_takes_the_whole_schedule(epochs: int, warmup: int) -> None:
    config = TrainingConfig(epochs=epochs, warmup_epochs=warmup, schedule="cosine")
    middle = warmup + (epochs - warmup) / 2
    assert learning_rate_at(middle, config) == pytest.approx(config.learning_rate / 2)
    assert learning_rate_at(epochs, config) == pytest.approx(0)
    steps = replace(config, schedule="step")
    assert learning_rate_at(epochs - 0.01, steps) == pytest.approx(config.learning_rate / 100)


def test_the_optimizer_gets_the_rate_of_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = steps.Steps.set_learning_rate
    monkeypatch.setattr(steps.Steps, "set_learning_rate", lambda self, rate: (seen.append(rate), real(self, rate))[1])
    config = TrainingConfig(epochs=2, batch_size=10, schedule="cosine", patience=None)
    train_suffix(new_suffix(), lambda _: clusters(20, 20), None, config, RecordingProgress())
    assert seen == [learning_rate_at(step / 4, config) for step in range(8)]


def test_class_weights_make_all_classes_weigh_the_same() -> None:
    labels = np.repeat([0, 1, 3], [60, 30, 10])
    weights = class_weights(labels, 4)
    assert weights[2] == 0
    totals = weights * np.bincount(labels, minlength=4)
    np.testing.assert_allclose(totals[[0, 1, 3]], len(labels) / 3)


def test_a_balanced_order_has_every_class_equally_often_and_other_pictures_each_time() -> None:
    labels = np.repeat([0, 1], [90, 10])
    generator = np.random.default_rng(0)
    first, second = balanced_order(labels, generator), balanced_order(labels, generator)
    for order in (first, second):
        assert len(order) == 100
        assert np.bincount(labels[order]).tolist() == [50, 50]
        assert set(order[labels[order] == 1]) == set(range(90, 100))
    assert set(first) != set(second)


def clusters(*sizes: int) -> LabelledFeatures:
    """Classes that overlap, with so many records each."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rows = rng.normal(size=(len(labels), 8)) + labels[:, None] * 0.4
    places = np.array([(0, row) for row in range(len(labels))])
    return LabelledFeatures(FeatureTable([rows.astype(np.float16)], places), labels)


def new_suffix(l2: float = 0.0) -> keras.Model:
    inputs = keras.Input((8,))
    kernel = keras.initializers.GlorotUniform(seed=1)
    dense = keras.layers.Dense(
        2, "softmax", kernel_initializer=kernel, kernel_regularizer=keras.regularizers.L2(l2) if l2 else None
    )
    return keras.Model(inputs, dense(inputs))


@functools.cache
def trained(changes: tuple[tuple[str, object], ...] = (), l2: float = 0.0) -> keras.Model:
    config = TrainingConfig(epochs=30, batch_size=16, learning_rate=0.02, patience=None)
    suffix = new_suffix(l2)
    config = replace(config, **dict(changes))  # type: ignore[arg-type]
    train_suffix(suffix, lambda _: clusters(190, 10), None, config, RecordingProgress())
    return suffix


def share_of_rare_answers(suffix: keras.Model) -> float:
    rows = clusters(100, 100).table.take(np.arange(200)).astype(np.float32)
    return float(np.mean(suffix.predict_on_batch(rows).argmax(axis=1)))


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_a_balance_makes_rare_classes_heard(balance: str) -> None:
    plain = share_of_rare_answers(trained())
    balanced = share_of_rare_answers(trained((("balance", balance),)))
    assert plain < 0.2
    assert balanced > plain + 0.2


def test_label_smoothing_takes_certainty_away() -> None:
    rows = clusters(100, 100).table.take(np.arange(200)).astype(np.float32)
    plain = trained().predict_on_batch(rows).max(axis=1).mean()
    smooth = trained((("label_smoothing", 0.4),)).predict_on_batch(rows).max(axis=1).mean()
    assert smooth < plain - 0.05


def test_the_validation_loss_leaves_label_smoothing_out() -> None:
    suffix, progress, validation = new_suffix(), RecordingProgress(), clusters(60, 60)
    config = TrainingConfig(epochs=3, batch_size=16, learning_rate=0.02, patience=None, label_smoothing=0.4)
    result = train_suffix(suffix, lambda _: clusters(50, 50), validation, config, progress)
    rows = validation.table.take(np.arange(120)).astype(np.float32)
    expected = log_loss(validation.labels, suffix.predict_on_batch(rows))
    shown = [values["val_loss"] for epoch, values in progress.curve if epoch == int(epoch)]
    assert result.best_value == min(shown) == pytest.approx(expected, rel=1e-5)


def test_a_penalty_keeps_weights_small() -> None:
    def size(suffix: keras.Model) -> float:
        return float(np.abs(suffix.layers[-1].get_weights()[0]).sum())

    assert size(trained(l2=0.1)) < 0.6 * size(trained())


def test_the_head_gets_the_penalty_that_was_chosen() -> None:
    config = replace(RANDOM_MODEL, head=HeadConfig(dense_units=(4,), l2=0.25))
    model = build_classifier(plan_model(config), 3, DataRoot.configured()).model
    penalized = [layer for layer in model.layers if getattr(layer, "kernel_regularizer", None) is not None]
    assert [float(layer.kernel_regularizer.l2) for layer in penalized] == [0.25, 0.25]


def test_no_epoch_better_than_before_leaves_the_weights_alone() -> None:
    suffix = new_suffix()
    before = suffix.get_weights()
    result = train_suffix(
        suffix, lambda _: clusters(20, 20), None, TrainingConfig(epochs=2), RecordingProgress(), best_value=0.0
    )
    assert (result.best_epoch, result.epochs, result.best_value) == (0, 2, 0.0)
    for old, new in zip(before, suffix.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_phases_of_a_run() -> None:
    (only,) = replace(TUNED, training=replace(TUNED.training, fine_tuning=None)).phases
    first, second = TUNED.phases
    assert only == first
    assert (first.model.first_trainable, first.training.epochs, first.training.learning_rate) == (None, 3, 0.01)
    assert (second.model.first_trainable, second.training.epochs, second.training.learning_rate) == ("block7a", 2, 1e-7)
    assert first.training.fine_tuning is second.training.fine_tuning is None


def test_a_model_can_be_cut_again_elsewhere_and_keeps_its_weights() -> None:
    frozen = build_classifier(plan_model(RANDOM_MODEL), 3, DataRoot.configured())
    assert len(frozen.model.trainable_variables) == 2
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    expected = frozen.model.predict_on_batch(pixels)
    tuned = cut_model(frozen.model, plan_model(replace(RANDOM_MODEL, first_trainable="block7a")))
    assert tuned.prefix is not None
    assert len(tuned.model.trainable_variables) > 2
    features = tuned.prefix.predict_on_batch(pixels)
    np.testing.assert_allclose(tuned.suffix.predict_on_batch(features), expected, atol=1e-5)


def test_a_block_behind_the_line_can_stay_frozen() -> None:
    config = replace(RANDOM_MODEL, first_trainable="block6d")
    free = build_classifier(plan_model(config), 3, DataRoot.configured()).model
    partly = build_classifier(plan_model(replace(config, also_frozen=("block7a",))), 3, DataRoot.configured()).model
    frozen = {variable.path for variable in free.trainable_variables} - {
        variable.path for variable in partly.trainable_variables
    }
    assert frozen
    assert all("block7a" in path for path in frozen)


def test_a_run_in_two_phases_goes_on_from_its_head_and_leaves_one_model(ready_home: DataRoot, tmp_path: Path) -> None:
    dataset = coloured_dataset(ready_home)
    progress = RecordingProgress()
    result = train_classifier(dataset, TUNED, tmp_path / "run", progress, ready_home)
    assert result.summary is not None
    assert result.summary.epochs == 5
    whole = [epoch for epoch, _ in progress.curve if epoch == int(epoch)]
    assert whole == [1, 2, 3, 4, 5]
    assert progress.phase_names.index("fine_tuning") > progress.phase_names.index("training")
    assert ("fine_tuning", 5, 5) in progress.phases
    # Steps this small change nothing, so the second phase shows where it began: at the best epoch of the first.
    losses = [values["val_loss"] for epoch, values in progress.curve if epoch == int(epoch)]
    assert losses[3] == pytest.approx(min(losses[:3]), rel=0.02)
    evaluation = load_evaluation(tmp_path / "run")
    images = ImageStore(ready_home)
    pictures = [pixels_of(images.read(image)) for image in evaluation.images]
    answers = load_predictor(tmp_path / "run", ready_home).predict(pictures)
    np.testing.assert_allclose(answers, evaluation.probabilities, atol=0.02)
    exported = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert len(exported.trainable_variables) > 2


class StopsBetweenPhases(RecordingProgress):
    """Asks to stop as soon as the second phase gets ready."""

    def check(self) -> None:
        if self.curve and self.phases[-1][0] not in ("training", "fine_tuning"):
            raise StopRequested


def test_a_run_that_is_stopped_between_its_phases_keeps_the_head(ready_home: DataRoot, tmp_path: Path) -> None:
    dataset = coloured_dataset(ready_home)
    result = train_classifier(dataset, TUNED, tmp_path / "run", StopsBetweenPhases(), ready_home)
    assert result.stopped
    assert result.summary is not None
    assert result.summary.epochs == 3
    assert result.summary.trainable_parameters < 10_000
    evaluation = load_evaluation(tmp_path / "run")
    images = ImageStore(ready_home)
    pictures = np.stack([pixels_of(images.read(image)) for image in evaluation.images])
    answers = load_predictor(tmp_path / "run", ready_home).predict(list(pictures))
    np.testing.assert_allclose(answers, evaluation.probabilities, atol=0.02)
    assert len(keras.models.load_model(tmp_path / "run" / "model.keras").trainable_variables) == 2


def test_a_second_phase_that_thaws_nothing_is_refused_before_any_work(ready_home: DataRoot, tmp_path: Path) -> None:
    config = replace(TUNED, model=replace(TUNED.model, first_trainable="block7a"))
    with pytest.raises(RunError, match="learns in the first phase already"):
        train_classifier(coloured_dataset(ready_home), config, tmp_path / "run", RecordingProgress(), ready_home)
