"""Remarks on curves: what each rule sees, what it leaves alone, and that its next step can be taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tlcore.backbones.registry import small_cnn_name
from tlcore.config import AugmentationConfig, FineTuningConfig, HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.model.architecture import check_phases, without_contradictions
from tlcore.results.comparison import PairedComparison
from tlcore.results.curves.coach import remarks, went_well
from tlcore.results.curves.history import History, RunFacts, loss_words
from tlcore.results.curves.remark import Remark, RemarkKind
from tlcore.results.evaluation import Evaluation
from tlcore.settings.augmentation_controls import PRESETS
from tlcore.storage.runs import MetricPoint

PLAIN = RunConfig(model=ModelConfig(image_size=64, head=HeadConfig(dropout=0.0)))
FEW = (40, 40, 40)
"""Training pictures of three classes."""

GUESSING = math.log(3)


def history(
    loss: Sequence[float],
    val_loss: Sequence[float] = (),
    accuracy: Sequence[float] | None = None,
    val_accuracy: Sequence[float] | None = None,
) -> History:
    """Return a history; accuracies that are not given follow from the losses, as they would if it were as sure."""
    accuracy = [math.exp(-value) for value in loss] if accuracy is None else accuracy
    val_accuracy = [math.exp(-value) for value in val_loss] if val_accuracy is None else val_accuracy
    return History(tuple(loss), tuple(accuracy), tuple(val_loss), tuple(val_accuracy))


def facts(curves: History, config: RunConfig = PLAIN, **fields: object) -> RunFacts:
    """Return what is known of a run with 100 validation pictures."""
    return RunFacts(curves, config, **{"train": FEW, "validation_pictures": 100, **fields})  # type: ignore[arg-type]


def kinds(found: RunFacts) -> list[RemarkKind]:
    return [remark.kind for remark in remarks(found)]


def only(found: RunFacts) -> Remark:
    (remark,) = remarks(found)
    return remark


def with_training(config: RunConfig = PLAIN, **fields: object) -> RunConfig:
    return replace(config, training=replace(config.training, **fields))


GOOD = history(
    [0.9, 0.5, 0.3, 0.2, 0.15, 0.12, 0.1, 0.09, 0.08, 0.07], [0.7, 0.5, 0.35, 0.28, 0.25, 0.23, 0.22, 0.22, 0.22, 0.22]
)
OVERFITTED = history(
    [0.9, 0.6, 0.4, 0.2, 0.1, 0.05, 0.02, 0.01], [0.95, 0.8, 0.75, 0.8, 0.9, 1.0, 1.1, 1.2], val_accuracy=[0.7] * 8
)


def test_points_become_epochs_and_those_inside_of_an_epoch_are_left_out() -> None:
    points = [
        MetricPoint(0.5, "loss", 3.0),
        MetricPoint(1.0, "loss", 2.0),
        MetricPoint(1.0, "val_loss", 2.5),
        MetricPoint(1.4, "loss", 1.5),
        MetricPoint(2.0, "loss", 1.0),
        MetricPoint(2.0, "val_loss", 1.5),
    ]
    assert History.of_points(points) == History(loss=(2.0, 1.0), val_loss=(2.5, 1.5))
    assert History.of_points([]) == History()


def test_a_quantity_that_misses_an_epoch_is_left_out() -> None:
    points = [MetricPoint(1, "loss", 2.0), MetricPoint(1, "accuracy", 0.5), MetricPoint(2, "loss", 1.0)]
    assert History.of_points(points) == History(loss=(2.0, 1.0))


def test_a_run_that_went_well_gets_no_remark_but_a_word() -> None:
    found = facts(GOOD)
    assert remarks(found) == ()
    assert went_well(found).startswith("It went well: the validation loss fell from 0.70 to 0.22 in epoch 7")
    assert went_well(replace(found, is_active=True)) == ""


def test_a_run_that_learned_nothing_is_told_so_and_never_that_it_went_well() -> None:
    config = RunConfig(model=ModelConfig(backbone=small_cnn_name((8,)), image_size=32, first_trainable="conv1"))
    noise = [GUESSING + 0.002 * (epoch % 2) for epoch in range(20)]
    found = facts(history(noise, noise), config)
    remark = only(found)
    assert (remark.kind, remark.lead) == ("nothing_learned", "Nothing learned.")
    assert "After 20 epochs the loss is 1.10, and mere guessing has 1.10" in remark.sentences
    assert remark.step.config is not None
    assert remark.step.config.training.learning_rate == pytest.approx(config.training.learning_rate / 10)
    assert kinds(replace(found, is_active=True)) == []
    for curves in (history(noise, noise), history([1.05, 1.04, 1.03], [1.05, 1.04, 1.03])):
        assert went_well(facts(curves, config)) == ""


def test_a_loss_that_was_good_from_the_first_epoch_on_is_not_said_to_have_fallen() -> None:
    said = went_well(facts(history([0.2, 0.1, 0.08], [0.1, 0.11, 0.11])))
    assert said.startswith("It went well: the validation loss was 0.10 in epoch 1, where mere guessing has 1.10")


def test_a_run_without_curves_gets_nothing() -> None:
    assert remarks(facts(History())) == ()
    assert went_well(facts(History())) == ""


@pytest.mark.parametrize("missing", ["loss", "accuracy", "val_loss", "val_accuracy"])
def test_rules_that_lack_a_series_are_silent(missing: str) -> None:
    for curves in (GOOD, OVERFITTED):
        remarks(facts(replace(curves, **{missing: ()})))
    assert "overfitting" not in kinds(facts(replace(OVERFITTED, val_loss=(), val_accuracy=())))


def test_overfitting_is_told_from_the_epoch_after_the_best_one() -> None:
    remark = only(facts(OVERFITTED))
    assert (remark.kind, remark.lead) == ("overfitting", "Overfitting from epoch 4 on.")
    assert "After epoch 3 the validation loss rose from 0.75 to 1.20" in remark.sentences
    assert remark.step.config is not None
    assert remark.step.config.augmentation == PRESETS["light"]


def test_overfitting_is_told_by_the_accuracies_too() -> None:
    curves = history([0.5, 0.1, 0.05, 0.02], [0.8, 0.7, 0.7, 0.7], [0.8, 0.98, 1, 1], [0.7, 0.72, 0.74, 0.73])
    remark = only(facts(curves))
    assert (remark.kind, remark.lead) == ("overfitting", "Overfitting.")
    assert "99 % of the training pictures right, but only 73 %" in remark.sentences
    # With five pictures such a gap is what chance makes.
    smaller = history([0.5, 0.2, 0.15, 0.1], [0.8, 0.7, 0.7, 0.7], [0.8, 0.96, 0.96, 0.96], [0.7, 0.8, 0.8, 0.8])
    assert kinds(facts(smaller)) == ["overfitting"]
    assert "overfitting" not in kinds(facts(smaller, validation_pictures=5))


def test_a_validation_loss_that_still_falls_is_no_overfitting_yet() -> None:
    curves = history([0.5, 0.1, 0.05, 0.02], [1.5, 1.3, 1.1, 0.9], [0.8, 0.98, 1, 1], [0.7, 0.72, 0.74, 0.73])
    assert "overfitting" not in kinds(facts(curves))


def test_from_a_few_pictures_no_block_shall_thaw() -> None:
    assert "frozen_too_much" not in kinds(facts(PLATEAU, train=(5, 5, 5)))


def test_a_validation_loss_that_rises_together_with_the_training_loss_is_no_overfitting() -> None:
    curves = history([0.9, 0.5, 0.3, 0.32, 0.34, 0.36], [0.9, 0.6, 0.4, 0.6, 0.7, 0.8])
    assert "overfitting" not in kinds(facts(curves))


def test_a_model_that_does_no_better_on_its_own_pictures_does_not_overfit() -> None:
    """As under strong dropout and augmentation."""
    curves = history([2.5, 2.0, 1.6, 1.4, 1.3], [1.1, 0.7, 0.8, 0.85, 0.9])
    assert "overfitting" not in kinds(facts(curves))


def test_a_loss_that_rises_while_more_answers_become_right_is_no_overfitting() -> None:
    """As where a class with one picture gets ever surer wrong answers, and the other classes ever better ones."""
    losses = {"loss": [1.3, 1.0, 0.8, 0.7, 0.6], "val_loss": [1.5, 1.6, 1.7, 1.75, 1.75]}
    rises = history(**losses, val_accuracy=[0.3, 0.4, 0.5, 0.55, 0.55])
    assert "overfitting" not in kinds(facts(rises))
    assert "overfitting" in kinds(facts(history(**losses, val_accuracy=[0.5, 0.5, 0.52, 0.51, 0.5])))


def test_the_step_against_overfitting_is_one_that_is_not_taken_yet() -> None:
    light = replace(PLAIN, augmentation=PRESETS["light"])
    flat = replace(light, model=replace(light.model, head=HeadConfig(pooling="flatten", dropout=0.0)))
    strong = replace(light, model=replace(light.model, head=HeadConfig(dropout=0.5)))
    steps = [remarks(facts(OVERFITTED, config))[0].step for config in (flat, light, strong)]
    assert steps[0].config is not None
    assert steps[0].config.model.head.pooling == "average"
    assert steps[1].config is not None
    assert steps[1].config.model.head.dropout == 0.5
    assert steps[2].config is None


def test_thawed_pretrained_blocks_that_learn_by_heart_are_frozen_too_little() -> None:
    thawed = replace(PLAIN, model=replace(PLAIN.model, first_trainable="block6a"))
    remark = only(facts(OVERFITTED, thawed))
    assert remark.kind == "frozen_too_little"
    assert "the 6 blocks from block6a on" in remark.sentences
    assert remark.step.config == PLAIN


def test_thawed_blocks_with_many_pictures_overfit_as_others_do() -> None:
    thawed = replace(PLAIN, model=replace(PLAIN.model, first_trainable="top"))
    assert kinds(facts(OVERFITTED, thawed, train=(200, 100, 120))) == ["overfitting"]
    assert kinds(facts(OVERFITTED, thawed, train=(60, 50, 40))) == ["frozen_too_little"]


def test_a_second_phase_that_learns_by_heart_is_left_out() -> None:
    config = with_training(epochs=3, fine_tuning=FineTuningConfig("block6a"))
    remark = only(facts(OVERFITTED, config))
    assert remark.kind == "frozen_too_little"
    assert remark.step.config == with_training(epochs=3)
    # By the sixth epoch the head had done so alone.
    assert kinds(
        facts(OVERFITTED, with_training(epochs=7, patience=None, fine_tuning=FineTuningConfig("block6a")))
    ) == ["overfitting"]


def test_a_run_whose_blocks_will_thaw_is_not_told_that_they_are_frozen() -> None:
    config = with_training(fine_tuning=FineTuningConfig("block6a"))
    assert kinds(facts(PLATEAU, config, is_active=True)) == []
    (remark,) = remarks(facts(PLATEAU, config))
    assert remark.kind == "frozen_too_much"
    assert remark.step.config is not None
    assert remark.step.config.training.fine_tuning == FineTuningConfig("block4a")


def test_a_loss_that_exploded_in_either_phase_makes_both_gentler() -> None:
    config = with_training(fine_tuning=FineTuningConfig("block6a", learning_rate=1e-3))
    step = remarks(facts(GOOD, config, diverged=True))[0].step
    assert step.config is not None
    assert step.config.training.learning_rate == 0.0003
    assert step.config.training.fine_tuning == FineTuningConfig("block6a", learning_rate=1e-4)


def test_a_bad_first_epoch_that_was_made_good_is_no_remark() -> None:
    assert kinds(facts(history([9.0, 0.6, 0.3, 0.2], [0.8, 0.5, 0.3, 0.25]))) == []


def test_a_network_that_learns_from_nothing_is_never_frozen_too_little() -> None:
    model = ModelConfig(backbone=small_cnn_name((8, 16)), image_size=32, first_trainable="conv1")
    assert kinds(facts(OVERFITTED, RunConfig(model=model))) == ["overfitting"]


PLATEAU = history([1.0, 0.95, 0.92, 0.9, *[0.89] * 12], [1.0, 0.96, 0.93, 0.91, *[0.9] * 12], [0.55] * 16, [0.54] * 16)


def test_a_flat_curve_far_from_right_with_frozen_blocks_is_frozen_too_much() -> None:
    remark = only(facts(PLATEAU))
    assert remark.kind == "frozen_too_much"
    assert "55 % right" in remark.sentences
    assert remark.step.config is not None
    assert remark.step.config.training.fine_tuning is not None


def test_random_frozen_blocks_shall_all_learn() -> None:
    model = ModelConfig(backbone=small_cnn_name((8, 16)), image_size=32)
    config = RunConfig(model=model, training=TrainingConfig(learning_rate=1.0))
    (remark,) = remarks(facts(PLATEAU, config))
    assert remark.step.config is not None
    assert remark.step.config.model.first_trainable == "conv1"
    assert remark.step.config.training.learning_rate == 0.001


def test_where_everything_learns_nothing_is_frozen_too_much() -> None:
    model = ModelConfig(backbone=small_cnn_name((8, 16)), image_size=32, first_trainable="conv1")
    assert "frozen_too_much" not in kinds(facts(PLATEAU, RunConfig(model=model)))


@pytest.mark.parametrize(
    ("loss", "words", "rate"),
    [
        ([40.0, 9.0, 3.0, 2.0], "In the first epoch the loss was 40.00", 0.0003),
        ([1.2, 1.0, 2.5, 2.0], "rose from 1.20 to 2.50 in epoch 3", 0.0003),
        ([1.3, 1.1, 1.1, 1.1, 1.1, 1.1], "stays at 1.10", 0.0003),
        ([1.0, 0.5, 0.9, 0.5, 1.0, 0.6], "2 times in 6 epochs it jumped up", 0.001),
    ],
)
def test_steps_that_are_too_large_are_told_by_the_loss(loss: list[float], words: str, rate: float) -> None:
    remark = remarks(facts(history(loss, loss)))[0]
    assert remark.kind == "rate_too_high"
    assert words in remark.sentences
    assert remark.step.config is not None
    assert remark.step.config.training.learning_rate == rate


def test_a_training_loss_that_dropout_moves_is_not_too_high_a_rate() -> None:
    curves = history([1.0, 0.5, 0.9, 0.5, 1.0, 0.6], [1.0, 0.7, 0.6, 0.55, 0.5, 0.5])
    assert "rate_too_high" not in kinds(facts(curves))


def test_an_infinite_loss_is_told_at_once_even_without_an_epoch() -> None:
    remark = only(facts(History(), diverged=True))
    assert remark.kind == "rate_too_high"
    assert "became infinite" in remark.sentences
    assert remark.step.text == "Try learning rate 0.0003"


def test_small_steps_near_guessing_are_too_low_a_rate() -> None:
    slow = [GUESSING * 1.1 * 0.99**epoch for epoch in range(8)]
    remark = only(facts(history(slow, slow)))
    assert remark.kind == "rate_too_low"
    assert "guessing has 1.10" in remark.sentences
    assert remark.step.config is not None
    assert remark.step.config.training.learning_rate == 0.03
    faster = [GUESSING * 1.1 * 0.96**epoch for epoch in range(8)]
    step = only(facts(history(faster, faster))).step
    assert step.config is not None
    assert step.config.training.learning_rate == 0.009


def test_a_bad_start_does_not_hide_that_the_steps_are_small() -> None:
    # Of a real training: a head on large features begins far above guessing, and that is mended first.
    losses = [3.73, 2.91, 2.44, 2.25, 2.15, 2.07, 1.99, 1.92, 1.85, 1.79, 1.73, 1.68, 1.63, 1.58, 1.54, 1.50, 1.46]
    remark = remarks(facts(history(losses, losses), train=(30,) * 8))[0]
    assert remark.kind == "rate_too_low"
    assert "fell only from 2.44 to 1.46" in remark.sentences


def test_the_epochs_of_a_warm_up_are_no_sign_of_too_low_a_rate() -> None:
    warming = [1.1, 1.09, 1.08, 1.07, 1.06, 0.6, 0.4, 0.3]
    assert "rate_too_low" not in kinds(facts(history(warming[:5], warming[:5]), with_training(warmup_epochs=5)))
    assert "rate_too_low" in kinds(facts(history(warming[:5], warming[:5])))


def test_a_second_phase_does_not_hide_what_the_first_one_was_like() -> None:
    tuned = with_training(fine_tuning=FineTuningConfig("block6a"), epochs=6, patience=None)
    slow = [1.15 * 0.99**epoch for epoch in range(6)]
    assert kinds(facts(history([*slow, 0.3, 0.2], [*slow, 0.3, 0.2]), tuned))[0] == "rate_too_low"


FALLING = history([0.9, 0.8, 0.7, 0.6, 0.5, 0.42, 0.36, 0.3], [0.9, 0.82, 0.73, 0.64, 0.56, 0.48, 0.42, 0.36])


def test_a_training_that_ended_while_the_loss_fell_wants_more_epochs() -> None:
    config = with_training(epochs=8)
    remark = only(facts(FALLING, config))
    assert remark.kind == "still_improving"
    assert "in the last 2 epochs the validation loss fell from 0.48 to 0.36" in remark.sentences
    assert remark.step.config == with_training(config, epochs=16)
    assert kinds(facts(FALLING, config, is_active=True)) == []


def test_a_model_that_names_all_of_its_pictures_right_is_not_told_to_go_on() -> None:
    config = with_training(epochs=8)
    assert kinds(facts(replace(FALLING, accuracy=(0.9, *[1.0] * 7)), config)) == []
    assert kinds(facts(replace(FALLING, accuracy=(0.9, *[0.99] * 7)), config)) == ["still_improving"]


def test_a_training_that_was_ended_early_is_not_told_to_go_on() -> None:
    assert "still_improving" not in kinds(facts(FALLING, with_training(epochs=20)))


def test_a_second_phase_that_still_improves_gets_more_epochs() -> None:
    config = with_training(epochs=4, patience=None, fine_tuning=FineTuningConfig("block6a", epochs=4))
    step = only(facts(FALLING, config)).step
    assert step.config is not None
    assert step.config.training.epochs == 4
    assert step.config.training.fine_tuning is not None
    assert step.config.training.fine_tuning.epochs == 8


def test_few_pictures_are_said_with_what_one_of_them_counts() -> None:
    remark = only(facts(GOOD, validation_pictures=20))
    assert remark.kind == "too_little_data"
    assert "20 validation pictures one of them moves the accuracy by 5 %" in remark.sentences
    assert remark.step.config is None
    assert "no validation pictures" in only(facts(GOOD, validation_pictures=0)).sentences
    assert "only 3 training pictures" in only(facts(GOOD, train=(40, 3, 40))).sentences


def test_validation_above_training_is_explained_where_dropout_or_augmentation_make_it() -> None:
    curves = history(
        [1.0, 0.8, 0.7, 0.6, 0.55, 0.5], [0.9, 0.6, 0.5, 0.4, 0.36, 0.34], [0.4, 0.5, 0.6, 0.65, 0.68, 0.7], [0.8] * 6
    )
    assert kinds(facts(curves)) == []
    dropout = replace(PLAIN, model=replace(PLAIN.model, head=HeadConfig(dropout=0.5)))
    remark = only(facts(curves, dropout))
    assert remark.kind == "validation_above"
    assert "dropout switches off 50 % of what the head sees" in remark.sentences
    assert remark.step.config is not None
    assert remark.step.config.model.head.dropout == 0.25
    augmented = replace(PLAIN, augmentation=AugmentationConfig(rotation_range=90))
    assert "changed at random" in only(facts(curves, augmented)).sentences


def answers(y_true: Sequence[int], y_pred: Sequence[int], names: tuple[str, ...] = ("cat", "dog", "owl")) -> Evaluation:
    probabilities = np.eye(len(names), dtype=np.float32)[list(y_pred)]
    return Evaluation(names, tuple(map(str, range(len(y_true)))), np.array(y_true, np.int64), probabilities)


def test_a_class_that_is_never_predicted_is_named() -> None:
    never = answers([0] * 20 + [1] * 20 + [2] * 10, [0] * 20 + [1] * 20 + [0] * 10)
    remark = only(facts(GOOD, validation=never, train=(60, 60, 12)))
    assert remark.kind == "class_never_predicted"
    assert "Of 50 validation pictures it called none \u201cowl\u201d, though 10 of them are." in remark.sentences
    assert remark.step.config is not None
    assert remark.step.config.training.balance == "weights"
    few = only(facts(GOOD, validation=never, train=(60, 60, 4)))
    assert few.kind == "class_never_predicted"
    assert "only 4 pictures of that kind" in few.sentences
    assert few.step.config is None


def test_a_model_that_has_hardly_learned_is_not_told_which_class_it_misses() -> None:
    never = answers([0] * 20 + [1] * 20 + [2] * 10, [0] * 50)
    hardly = history([1.2, 1.09, 1.08, 1.05], [1.1, 1.09, 1.1, 1.11])
    assert "class_never_predicted" not in kinds(facts(hardly, validation=never))


def test_a_class_without_validation_pictures_need_not_be_predicted() -> None:
    assert kinds(facts(GOOD, validation=answers([0] * 20 + [1] * 20, [0] * 20 + [1] * 20))) == []


def test_epochs_that_do_not_differ_are_told_where_training_was_not_ended_early() -> None:
    flat = history(
        [0.9, 0.3, *[0.1] * 10], [0.7, 0.4, *[0.3] * 10], [0.7, 0.9, *[0.95] * 10], [0.6, 0.8, *[0.9, 0.88] * 5]
    )
    config = with_training(patience=None)
    remark = only(facts(flat, config))
    assert (remark.kind, remark.lead) == ("no_difference", "No difference since epoch 3.")
    assert "stayed between 88 % and 90 %" in remark.sentences
    assert remark.step.config == with_training(patience=5)
    assert kinds(facts(flat)) == []


def test_epochs_whose_loss_still_falls_are_not_alike() -> None:
    losses = [0.6 * 0.97**epoch for epoch in range(12)]
    curves = history(losses, losses, val_accuracy=[0.8, 0.82, 0.81, *[0.83, 0.84] * 4, 0.85])
    assert "no_difference" not in kinds(facts(curves, with_training(epochs=20, patience=None)))


def test_a_run_that_is_not_better_for_sure_is_told_so() -> None:
    remark = only(facts(GOOD, earlier=("Run 3", PairedComparison(100, 6, 4, 0.75))))
    assert remark.kind == "no_difference"
    assert "6 only this run named right, and 4 only Run 3" in remark.sentences
    assert "By chance alone such a difference comes in 75 of 100 cases" in remark.sentences
    assert kinds(facts(GOOD, earlier=("Run 3", PairedComparison(100, 20, 2, 0.0001)))) == []


def test_there_are_at_most_three_remarks_and_none_before_the_third_epoch() -> None:
    curves = OVERFITTED.until(2)
    assert kinds(facts(curves, validation_pictures=5, is_active=True)) == []
    never = answers([0, 1, 2], [0, 1, 1])
    many = facts(OVERFITTED, validation_pictures=3, validation=never, earlier=("Run 1", PairedComparison(3, 1, 1, 1.0)))
    assert kinds(many) == ["overfitting", "class_never_predicted", "too_little_data"]


@pytest.mark.parametrize("curves", [OVERFITTED, PLATEAU, FALLING, GOOD])
@pytest.mark.parametrize("first_trainable", [None, "stem", "block7a"])
@pytest.mark.parametrize("tuning", [None, FineTuningConfig("stem", epochs=1000), FineTuningConfig("block6a")])
def test_every_step_can_be_taken(curves: History, first_trainable: str | None, tuning: FineTuningConfig | None) -> None:
    config = with_training(epochs=1, patience=None, fine_tuning=tuning, learning_rate=10.0)
    config = without_contradictions(replace(config, model=replace(config.model, first_trainable=first_trainable)))
    for remark in remarks(facts(curves, config, diverged=True)) + remarks(facts(curves, config)):
        if remark.step.config is not None:
            check_phases(remark.step.config)
            assert without_contradictions(remark.step.config) == remark.step.config
            assert remark.step.config != config


def test_losses_are_written_with_what_counts_of_them() -> None:
    assert [loss_words(value) for value in (0.7712, 0.0023, 1.3, 754.2, 1e-9)] == ["0.77", "0.0023", "1.30", "754", "0"]
