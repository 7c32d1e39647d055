"""Whether a model learns by heart, and whether too much or too little of it is frozen."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

from tlcore.config import RunConfig
from tlcore.model.architecture import blocks_to_thaw, usual_fine_tuning
from tlcore.results.curves.history import RunFacts, loss_words, mean, percent
from tlcore.results.curves.learning_rate import is_knocked_out, with_rate
from tlcore.results.curves.remark import NextStep, Remark
from tlcore.results.evaluation import accuracy_interval
from tlcore.settings.augmentation_controls import PRESETS

RISE, RISE_OF_GUESSING = 0.12, 0.08
"""The validation loss has risen by this part of its lowest value, and by this part of the loss of guessing."""
AFTER, AFTER_AT_WORK = 2, 3
"""Epochs after the lowest validation loss that must agree, of a run that has ended and of one that may still turn."""
BY_HEART = 0.95
GAP = 0.15
FLAT = 0.97
"""Nearly all training pictures right, so many fewer of those for validation, whose loss has become hardly better: at
least this part of what it was two epochs before."""

PLATEAU = 0.04
"""A training loss that falls by less than this part of itself from one quarter of the run to the next is flat."""
LEAST_EPOCHS = 12
"""Fewer are too short a way to call flat."""
LOW = 0.85
"""Below this accuracy there is something left to learn."""
FEW_TRAINING = 10
"""Pictures of a class; fewer are learned by heart."""
ENOUGH_TO_THAW = 100
"""Pictures of a class; from so many, blocks of a backbone learn more than those pictures."""
MORE_DROPOUT = 0.5
GENTLE_RATE = 1e-4
"""For blocks of a backbone that learned before; those that did not take a larger one."""
FRESH_RATE = 1e-3


def overfitting_from(facts: RunFacts) -> int | None:
    """Return the epoch after which the validation loss rises while the training loss falls; `None` if it does not.

    Nor is it found in a model that does no better on its own pictures than on others, or whose answers to others became
    better since by more than chance explains.
    """
    history, losses = facts.history, facts.history.val_loss
    if not losses or not history.loss:
        return None
    lowest = min(losses)
    best = losses.index(lowest)
    later = losses[best + 1 :]
    if len(later) < (AFTER_AT_WORK if facts.is_active else AFTER) or history.loss[-1] >= history.loss[best]:
        return None
    now = median(later[-3:])
    if history.loss[-1] >= now or _has_improved(facts, best):
        return None
    return best + 1 if now - lowest > max(RISE * lowest, RISE_OF_GUESSING * facts.guessing) else None


def _has_improved(facts: RunFacts, position: int) -> bool:
    """Whether the validation accuracy is by more than chance above what it was at this position of the history."""
    accuracies, total = facts.history.val_accuracy, facts.validation_pictures
    if not accuracies or not total:
        return False
    low, _ = accuracy_interval(round(median(accuracies[-3:]) * total), total)
    return accuracies[position] < low


def learns_by_heart(facts: RunFacts) -> str | None:
    """Say what shows that a model learns its pictures by heart; `None` when nothing does."""
    history = facts.history
    best = overfitting_from(facts)
    if best is not None:
        return (
            f"After epoch {best} the validation loss rose from {loss_words(history.val_loss[best - 1])} to "
            f"{loss_words(history.val_loss[-1])}, while the training loss fell to {loss_words(history.loss[-1])}"
        )
    if len(history.accuracy) < 3 or not history.val_accuracy:
        return None
    if history.val_loss and history.val_loss[-1] < FLAT * history.val_loss[-3]:
        return None
    learned, held = mean(history.accuracy[-3:]), mean(history.val_accuracy[-3:])
    total = facts.validation_pictures
    _, high = accuracy_interval(round(held * total), total)
    if learned < BY_HEART or learned - held < GAP or learned < high:
        return None
    return (
        f"It names {percent(learned)} of the training pictures right, but only {percent(held)} of those for validation"
    )


def overfitting(facts: RunFacts) -> Remark | None:
    """Remark on a model that gets better on its own pictures only."""
    seen = learns_by_heart(facts)
    if seen is None:
        return None
    best = overfitting_from(facts)
    kept = "" if best is None else " The best epoch is kept, so nothing is lost."
    why, step = _against_learning_by_heart(facts.config)
    return Remark(
        "overfitting",
        "Overfitting." if best is None else f"Overfitting from epoch {best + 1} on.",
        f"{seen}: it learns its pictures by heart instead of what they show.{kept} {why}",
        step,
    )


def _against_learning_by_heart(config: RunConfig) -> tuple[str, NextStep]:
    head = config.model.head
    if config.augmentation.is_identity:
        changed = replace(config, augmentation=PRESETS["light"])
        return (
            "Small random changes show it each picture in new ways (augmentation).",
            NextStep("Try light augmentation", changed),
        )
    if head.pooling == "flatten":
        changed = with_head(config, pooling="average")
        return (
            "One average per channel instead of every position leaves far fewer weights to learn by heart with.",
            NextStep("Try one average per channel", changed),
        )
    if head.dropout < MORE_DROPOUT:
        changed = with_head(config, dropout=MORE_DROPOUT)
        return (
            "More dropout makes learning by heart harder.",
            NextStep(f"Try dropout {percent(MORE_DROPOUT)}", changed),
        )
    return "More pictures are what helps now: it cannot learn all of them by heart.", NextStep("Bring more pictures")


def frozen_too_little(facts: RunFacts) -> Remark | None:
    """Remark on blocks of a pre-trained backbone that learn a few pictures by heart and forget what they knew."""
    if not facts.is_pretrained or not facts.learning_blocks:
        return None
    config = facts.config
    if config.model.first_trainable is not None and is_knocked_out(facts):
        stays, guessing = loss_words(facts.first_phase.loss[-1]), loss_words(facts.guessing)
        seen = f"The training loss stays at {stays}, where mere guessing has {guessing}"
    else:
        if mean(facts.train) >= ENOUGH_TO_THAW:
            return None
        found = learns_by_heart(facts)
        # What the head did alone, before the second phase, is no fault of the blocks that thawed later.
        by_head = config.training.fine_tuning is not None and learns_by_heart(replace(facts, history=facts.first_phase))
        if found is None or by_head:
            return None
        seen = found
    blocks = facts.learning_blocks
    which = f"block {blocks[0]}" if len(blocks) == 1 else f"the {len(blocks)} blocks from {blocks[0]} on"
    model, training = config.model, config.training
    if training.fine_tuning is not None:
        changed, text = replace(config, training=replace(training, fine_tuning=None)), "Try without the second phase"
    else:
        frozen = replace(config, model=replace(model, first_trainable=None, also_frozen=()))
        changed, text = frozen, "Try with all blocks frozen"
    return Remark(
        "frozen_too_little",
        "Frozen too little.",
        f"{seen}. With {which} it has very many weights to learn from {sum(facts.train):,} pictures, and may forget "
        "what the backbone knew. Freeze more, and only the rest learns.",
        NextStep(text, changed),
    )


def frozen_too_much(facts: RunFacts) -> Remark | None:
    """Remark on a model that has learned all it can and is wrong even about the pictures that it learned from."""
    history, will_thaw = facts.history, facts.is_active and facts.config.training.fine_tuning is not None
    if len(history.loss) < LEAST_EPOCHS or not history.accuracy or not facts.has_frozen_blocks or will_thaw:
        return None
    if min(facts.train, default=0) < FEW_TRAINING:  # from so few pictures blocks learn nothing
        return None
    quarter = max(3, len(history.loss) // 4)
    before, after = mean(history.loss[-2 * quarter : -quarter]), mean(history.loss[-quarter:])
    learned = mean(history.accuracy[-quarter:])
    held = mean(history.val_accuracy[-quarter:]) if history.val_accuracy else learned
    if before - after > PLATEAU * before or max(learned, held) > LOW or learned - held > GAP:
        return None
    step = _thaw(facts)
    if step is None:
        return None
    return Remark(
        "frozen_too_much",
        "Frozen too much.",
        f"The training loss has stopped falling, at {loss_words(after)}, and even of the pictures that it learns from "
        f"it names only {percent(learned)} right. What the frozen blocks see is not enough to tell these classes "
        "apart; let some of them learn too.",
        step,
    )


def _thaw(facts: RunFacts) -> NextStep | None:
    """Let blocks learn: all of those that never have, else the last ones of the frozen, gently."""
    config = facts.config
    thawable = blocks_to_thaw(config)
    if not thawable:
        return None
    if not facts.is_pretrained:
        model = replace(config.model, first_trainable=thawable[0], also_frozen=())
        training = replace(config.training, fine_tuning=None)
        changed = replace(config, model=model, training=training)
        rate = min(config.training.learning_rate, FRESH_RATE)
        return NextStep("Try with all blocks learning", with_rate(changed, rate))
    tuning = config.training.fine_tuning
    if tuning is None:
        changed = replace(config, training=replace(config.training, fine_tuning=usual_fine_tuning(config)))
        return NextStep("Try a second phase that thaws the last blocks", changed)
    earlier = thawable[: thawable.index(tuning.first_trainable)] if tuning.first_trainable in thawable else []
    if not earlier:
        return None
    deeper = replace(tuning, first_trainable=earlier[len(earlier) // 2])
    changed = replace(config, training=replace(config.training, fine_tuning=deeper))
    return NextStep(f"Try thawing from {deeper.first_trainable} on", changed)


def with_head(config: RunConfig, **fields: object) -> RunConfig:
    """Return settings with another head."""
    head = replace(config.model.head, **fields)  # type: ignore[arg-type]
    return replace(config, model=replace(config.model, head=head))
