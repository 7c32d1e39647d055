"""Whether more epochs would bring more, or the last ones brought nothing."""

from __future__ import annotations

from dataclasses import replace

from tlcore.results.comparison import UNLIKELY, cases
from tlcore.results.curves.history import RunFacts, loss_words, percent
from tlcore.results.curves.remark import NextStep, Remark
from tlcore.results.evaluation import accuracy_interval
from tlcore.settings.words import count

STILL_FALLS = 0.05
"""A loss that fell by more than this part of itself in the last quarter of the epochs will go on."""
WORTH_IT = 0.08
"""Below this part of the loss of guessing there is little left to win."""
ALL_RIGHT = 0.995
"""From this accuracy on its own pictures on, more epochs only make the same answers surer."""
MOST_EPOCHS = 1000
"""What `TrainingConfig` takes."""

LEAST_EPOCHS = 10
ALIKE = 0.5
"""The epochs that are alike make up at least this part of the run."""
PATIENCE = 5


def still_improving(facts: RunFacts) -> Remark | None:
    """Remark on a training that ended, by its number of epochs, while the loss still fell."""
    losses = facts.history.judged
    if facts.is_active or facts.diverged or len(losses) < max(3, facts.epochs_asked_for):
        return None
    back = max(2, len(losses) // 4)
    before, last = losses[-1 - back], losses[-1]
    if not _falls(before, last, facts) or min(losses) < min(losses[-2:]):
        return None
    if min(facts.history.accuracy[-1 - back :], default=0.0) >= ALL_RIGHT:
        return None
    training, tuning = facts.config.training, facts.config.training.fine_tuning
    if tuning is None:
        epochs = min(MOST_EPOCHS, 2 * training.epochs)
        longer = replace(training, epochs=epochs)
    else:
        epochs = min(MOST_EPOCHS, 2 * tuning.epochs)
        longer = replace(training, fine_tuning=replace(tuning, epochs=epochs))
    kind = "validation loss" if facts.history.val_loss else "loss"
    return Remark(
        "still_improving",
        "Still improving.",
        f"The training ended while it still got better: in the last {count(back, 'epoch')} the {kind} fell from "
        f"{loss_words(before)} to {loss_words(last)}. More epochs would bring more.",
        NextStep(
            f"Try {epochs} epochs" + (" in the second phase" if tuning else ""), replace(facts.config, training=longer)
        ),
    )


def _falls(before: float, last: float, facts: RunFacts) -> bool:
    return before - last >= STILL_FALLS * before and last >= WORTH_IT * facts.guessing


def epochs_alike(facts: RunFacts) -> Remark | None:
    """Remark on epochs whose accuracies differ by less than the interval of one of them, while no loss still falls."""
    accuracies, losses = facts.history.val_accuracy, facts.history.judged
    total, training = facts.validation_pictures, facts.config.training
    if facts.is_active or training.patience is not None or not total:
        return None
    if min(len(accuracies), len(losses)) < LEAST_EPOCHS:
        return None
    low, high = accuracy_interval(round(accuracies[-1] * total), total)
    alike = 0
    for accuracy, loss in zip(reversed(accuracies), reversed(losses), strict=True):
        if not low <= accuracy <= high or _falls(loss, losses[-1], facts):
            break
        alike += 1
    if alike < ALIKE * len(accuracies):
        return None
    first = len(accuracies) - alike + 1
    lowest, highest = percent(min(accuracies[first - 1 :])), percent(max(accuracies[first - 1 :]))
    seen = f"at {lowest}" if lowest == highest else f"between {lowest} and {highest}"
    return Remark(
        "no_difference",
        f"No difference since epoch {first}.",
        f"From then on the validation accuracy stayed {seen}. With "
        f"{count(total, 'validation picture')} a single value is only sure to lie between {percent(low)} and "
        f"{percent(high)} (95 % interval): too few to tell these epochs apart, and the loss has stopped falling too. "
        "Stop early, and save the time.",
        NextStep("Try with early stopping", replace(facts.config, training=replace(training, patience=PATIENCE))),
    )


def runs_alike(facts: RunFacts) -> Remark | None:
    """Remark on a run that is not better or worse than the one before for sure."""
    if facts.earlier is None:
        return None
    name, compared = facts.earlier
    differing = compared.only_first + compared.only_second
    if not compared.total or compared.p_value < UNLIKELY or not differing:
        return None
    return Remark(
        "no_difference",
        f"No sure difference to {name}.",
        f"Of {count(compared.total, 'validation picture')} {compared.only_first:,} only this run named right, and "
        f"{compared.only_second:,} only {name}. By chance alone such a difference comes in {cases(compared.p_value)} "
        "cases (exact McNemar test), so neither is better for sure. More validation pictures would tell.",
        NextStep("Bring more pictures"),
    )
