"""Whether the steps of a training were too large or too small."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from tlcore.config import RunConfig, TrainingConfig
from tlcore.results.curves.history import RunFacts, loss_words, mean
from tlcore.results.curves.remark import NextStep, Remark
from tlcore.settings.words import count, decimal

LARGEST_RATE, SMALLEST_RATE = 10.0, 1e-8
"""What `TrainingConfig` takes."""

EXPLODED_FIRST = 6.0
"""So many times the loss of guessing, as the mean of a whole first epoch, is no start but an explosion: heads on large
features begin with up to four and a half."""
RECOVERED, STILL_FAR = 0.5, 3.0
"""A training loss below this part of that of guessing makes a bad first epoch good, unless validation is far off."""
RISEN = 1.3
"""A later epoch whose training loss is so many times what it began with."""
JUMP, JUMP_OF_GUESSING = 1.2, 0.08
"""An epoch jumps whose training loss is so many times that of the one before, and rises by so much of the loss of
guessing: small losses wander by large factors without harm."""
JUMPS = 2
ABOVE_GUESSING, STUCK = 1.1, 0.05
"""A first epoch so far above guessing, and from half of the run on a loss so close to it: a network knocked out."""

SLOW_FALL = 0.06
"""A loss that falls by less than this part of itself in each epoch is slow."""
HIGH = 0.68
"""At this part of the loss of guessing, or above, nearly everything is still to be learned."""
STEADY = 0.8
"""So many of the moves go down."""
UNABATED = 0.5
"""The later moves are at least this part of the earlier ones; a curve that nears its end slows down more."""
SMALL_FALL = 0.012
"""Falls as small as this want ten times the rate, larger ones three times."""
BEGINNING = 1.25
"""Above so many times the loss of guessing, even small steps mend a bad start quickly; what counts comes after."""
LEAST_EPOCHS = 5
"""A first epoch or two in which little happens are usual."""
NOTHING = 0.97
"""No loss is below this part of that of guessing: nothing has been learned."""


def rate_too_high(facts: RunFacts) -> Remark | None:
    """Remark on steps that jump over the goal: the loss explodes, rises above its start or goes up and down."""
    history, guessing = facts.first_phase, facts.guessing
    loss = history.loss
    if facts.diverged:
        return _smaller(facts, "The loss became infinite: the steps threw the weights ever further away.", 10)
    if len(loss) >= 2 and loss[0] > EXPLODED_FIRST * guessing and not _is_made_good(facts):
        return _smaller(
            facts,
            f"In the first epoch the loss was {loss_words(loss[0])} on average, while mere guessing has "
            f"{loss_words(guessing)}: the first steps threw the weights far away.",
            10,
        )
    if len(loss) < 3:
        return None
    highest = max(loss[1:])
    if highest > RISEN * max(loss[0], guessing):
        return _smaller(
            facts,
            f"The training loss rose from {loss_words(loss[0])} to {loss_words(highest)} in epoch "
            f"{loss.index(highest) + 1}: the steps made it worse instead of better.",
            10,
        )
    if is_knocked_out(facts) and not _falls_steadily(history.judged):
        return _smaller(
            facts,
            f"After a first epoch at {loss_words(loss[0])} the loss stays at {loss_words(guessing)}, that of guessing: "
            "the first steps were so large that the network answers the same to every picture.",
            10,
        )
    jumps = _jumps(loss, guessing)
    # Dropout and random changes move the training loss; steps that jump over the goal move that of validation too.
    if min(len(jumps), len(_jumps(history.judged, guessing))) < JUMPS:
        return None
    before, after = max(jumps, key=lambda jump: jump[1] - jump[0])
    return _smaller(
        facts,
        f"The training loss goes up and down: {len(jumps)} times in {count(len(loss), 'epoch')} it jumped up, once "
        f"from {loss_words(before)} to {loss_words(after)}. Such steps jump over the goal.",
        3,
    )


def _is_made_good(facts: RunFacts) -> bool:
    history, guessing = facts.first_phase, facts.guessing
    return history.loss[-1] < RECOVERED * guessing and history.judged[-1] < STILL_FAR * guessing


def is_knocked_out(facts: RunFacts) -> bool:
    """Whether a training loss that began above that of guessing has come down to it, and stays there."""
    loss, guessing = facts.first_phase.loss, facts.guessing
    # Networks that learn from nothing may take a while to begin, so a run at work gets half of its epochs for that.
    least = max(LEAST_EPOCHS, facts.config.training.epochs // 2) if facts.is_active else LEAST_EPOCHS
    if len(loss) < least or loss[0] < ABOVE_GUESSING * guessing:
        return False
    return all(abs(value / guessing - 1) < STUCK for value in loss[len(loss) // 2 :])


def _falls_steadily(losses: tuple[float, ...]) -> bool:
    moves = list(pairwise(losses))
    return sum(after < before for before, after in moves) >= STEADY * len(moves)


def _jumps(loss: tuple[float, ...], guessing: float) -> list[tuple[float, float]]:
    return [(a, b) for a, b in pairwise(loss) if b > JUMP * a and b - a > JUMP_OF_GUESSING * guessing]


def _smaller(facts: RunFacts, seen: str, factor: int) -> Remark:
    rate = with_rate(facts.config, facts.config.training.learning_rate / factor)
    tuning = facts.config.training.fine_tuning
    if tuning is not None:  # nobody knows which phase it was, and the second one's rate follows from the first one's
        gentler = replace(tuning, learning_rate=_rounded(tuning.learning_rate / factor))
        rate = replace(rate, training=replace(rate.training, fine_tuning=gentler))
    part = {3: "A third", 10: "A tenth"}[factor]
    return Remark(
        "rate_too_high",
        "Learning rate too high.",
        f"{seen} {part} of the learning rate takes smaller steps.",
        NextStep(f"Try learning rate {decimal(rate.training.learning_rate)}", rate),
    )


def rate_too_low(facts: RunFacts) -> Remark | None:
    """Remark on a loss that is still near that of guessing and falls by small steps of the same size."""
    training = facts.config.training
    losses = facts.first_phase.judged[training.warmup_epochs :]
    if training.schedule != "constant":  # whose steps become small by themselves
        losses = losses[: max(LEAST_EPOCHS, training.epochs // 2)]
    learned = facts.first_phase.loss[training.warmup_epochs :][: len(losses)]
    if len(losses) < LEAST_EPOCHS or any(_has_learned(series, facts.guessing) for series in (losses, learned)):
        return None
    bad_start = next((epoch for epoch, loss in enumerate(losses) if loss < BEGINNING * facts.guessing), 0)
    losses = losses[min(bad_start, len(losses) - LEAST_EPOCHS) :]
    falls = [(before - after) / before for before, after in pairwise(losses)]
    half = len(falls) // 2
    is_slow = 0 < mean(falls) < SLOW_FALL and mean(falls[-half:]) > UNABATED * mean(falls[:half])
    if not is_slow or not _falls_steadily(losses):
        return None
    factor = 10 if mean(falls) < SMALL_FALL else 3
    config = with_rate(facts.config, training.learning_rate * factor)
    kind = "validation loss" if facts.first_phase.val_loss else "loss"
    return Remark(
        "rate_too_low",
        "Learning rate too low.",
        f"In {count(len(losses), 'epoch')} the {kind} fell only from {loss_words(losses[0])} to "
        f"{loss_words(losses[-1])}, in small steps of the same size; mere guessing has {loss_words(facts.guessing)}. "
        f"Steps that are {'ten' if factor == 10 else 'three'} times as large get there sooner.",
        NextStep(f"Try learning rate {decimal(config.training.learning_rate)}", config),
    )


def nothing_learned(facts: RunFacts) -> Remark | None:
    """Remark on a training that ended where it could as well have begun: at the loss of guessing."""
    learned, judged = facts.history.loss, facts.history.judged
    if facts.is_active or not judged or min(*judged, *learned) < NOTHING * facts.guessing:
        return None
    rate = facts.config.training.learning_rate
    factor = 10 if rate < TrainingConfig().learning_rate else 0.1
    config = with_rate(facts.config, rate * factor)
    return Remark(
        "nothing_learned",
        "Nothing learned.",
        f"After {count(len(judged), 'epoch')} the loss is {loss_words(judged[-1])}, and mere guessing has "
        f"{loss_words(facts.guessing)}. Either its steps are too {'small' if factor > 1 else 'large'}, or these "
        "pictures do not show what tells the classes apart: could you tell them yourself?",
        NextStep(f"Try learning rate {decimal(config.training.learning_rate)}", config),
    )


def _has_learned(losses: tuple[float, ...], guessing: float) -> bool:
    return bool(losses) and losses[-1] < HIGH * min(guessing, losses[0])


def with_rate(config: RunConfig, rate: float) -> RunConfig:
    """Return settings with another learning rate, rounded to one digit that counts, as the choices on Train are."""
    return replace(config, training=replace(config.training, learning_rate=_rounded(rate)))


def _rounded(rate: float) -> float:
    return min(LARGEST_RATE, max(SMALLEST_RATE, float(f"{rate:.0e}")))
